"""Try the blocks of one page in a folder, as a reader would who types them one after the other."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from blocks import Block

__all__ = ["Trial"]

_LIMIT_S = 300  # a block that takes longer hangs
_SHOWN_LINES = 40  # of what a failed block said


class Trial:
    """A reader's folder and shell."""

    def __init__(self, folder: Path, root: Path) -> None:
        """Begin in an empty folder; `$LAB` is the clone."""
        self._folder = folder
        self._home = folder.parent / "home"
        self._home.mkdir()
        bin_folder = Path(sys.executable).parent
        self._env = {
            key: value for key, value in os.environ.items() if not key.startswith("VIRTLAB_")
        } | {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "LAB": str(root),
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "GITHUB_STEP_SUMMARY": "summary.md",
            "NO_MKDOCS_2_WARNING": "1",
        }
        self._said = ""
        self._behind: list[subprocess.Popen[bytes]] = []

    def do(self, block: Block) -> None:
        """Do what one block asks for; fail with its place where it does not hold."""
        match block.kind:
            case "setup":
                self._run(block, block.code, exit_code=0)
            case "run":
                self._try(block)
            case "file":
                path = self._folder / block.value
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.code)
            case "part of":
                self._check_part(block)
            case "edit":
                self._edit(block)
            case "output":
                self._compare(block)

    def _try(self, block: Block) -> None:
        code = block.code
        if block.language == "python":
            file = self._folder / "block.py"
            file.write_text(code)
            code = f"{shlex.quote(sys.executable)} {file.name}"
        until = re.search(r'\buntil "(.*)"', block.value)
        for_s = re.search(r"\bfor (\d+) s\b", block.value)
        if until or for_s:
            limit_s = float(for_s[1]) if for_s else _LIMIT_S
            self._run_until(block, code, until[1] if until else None, limit_s)
        else:
            if "points may be lost" in block.value:
                code = f"set +e; trap '[ $? = 1 ] || exit' ERR\n{code}true\n"
            wanted = re.search(r"\bexit (\d+)", block.value)
            self._run(block, code, exit_code=int(wanted[1]) if wanted else 0)

    def _run(self, block: Block, code: str, *, exit_code: int) -> None:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", code],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        self._said = done.stdout
        rest = "\n".join(self._said.splitlines()[-_SHOWN_LINES:])
        assert done.returncode == exit_code, (
            f"{block.place}: exit code {done.returncode}, not {exit_code}\n{code}\n{rest}"
        )

    def _run_until(self, block: Block, code: str, text: str | None, for_s: float) -> None:
        """Run what has no end by itself until it has said the text, or for some time."""
        process = subprocess.Popen(
            ["bash", "-e", "-c", code],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._behind.append(process)
        assert process.stdout is not None
        said, deadline = b"", time.monotonic() + for_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while text is None or text.encode() not in said:
                left_s = deadline - time.monotonic()
                more = b""
                if left_s > 0 and selector.select(left_s):
                    more = os.read(process.stdout.fileno(), 65_536)
                if not more:
                    break
                said += more
        if "behind" not in block.value:
            said += self._ended(process)
        self._said = said.decode()
        assert (text or "") in self._said, f"{block.place}: {text!r} not said\n{self._said}"

    def leave(self) -> None:
        """End what still goes on, as a reader does who closes the terminal."""
        while self._behind:
            self._ended(self._behind[0])

    def _ended(self, process: subprocess.Popen[bytes]) -> bytes:
        """Press Ctrl-C, and return what was still said."""
        self._behind.remove(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=_LIMIT_S)
        return rest

    def _check_part(self, block: Block) -> None:
        """Put keys into a scenario file that the page has given, and have the whole checked."""
        base = yaml.safe_load((self._folder / block.value).read_text())
        part = yaml.safe_load(block.code)
        whole = self._folder / f"part-{block.line}.yaml"
        whole.write_text(yaml.safe_dump(base | part, sort_keys=False))
        self._run(block, f"virtlab scenarios check {whole.name}", exit_code=0)

    def _edit(self, block: Block) -> None:
        path = self._folder / block.value
        text, first = path.read_text(), block.code.partition("\n")[0] + "\n"
        assert text.count(first) == 1, f"{block.place}: {block.value} has no line {first!r}"
        start = text.index(first)
        end = text.index("\n}\n", start) + 3
        path.write_text(text[:start] + block.code + text[end:])

    def _compare(self, block: Block) -> None:
        """Hold the lines of a block against what was said; `...` stands for any, or for a rest."""
        said = iter([_bare(line) for line in self._said.splitlines()])
        for line in block.code.splitlines():
            wanted = _bare(line)
            if wanted in ("", "..."):
                continue
            parts = [re.escape(part.strip()) for part in wanted.split("...")]
            pattern = re.compile(r".*".join(parts))
            assert any(pattern.fullmatch(other) for other in said), (
                f"{block.place}: not said, or not here: {line}\n{self._said}"
            )


def _bare(line: str) -> str:
    return " ".join(line.split())
