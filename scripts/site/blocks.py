"""Code blocks of pages, and what is said of them: every one is tried, or says why not.

A mark is a comment of its own line above a block:

    <!-- not run: root -->              why it cannot be tried here; REASONS has the words
    <!-- run: exit 1 -->                it ends with this code
    <!-- run: points may be lost -->    commands in it may end with 1
    <!-- run: until "a text" -->        it goes on for ever: once it has said this, Ctrl-C ends it
    <!-- run: until "a text", behind -->  it goes on behind the blocks that follow
    <!-- run: for 5 s -->               Ctrl-C ends it after that time
    <!-- run: slow -->                  only by `make docs-all`; may stand with others
    <!-- file: NAME -->                 it is this file, for the blocks below
    <!-- part of: NAME -->              it has keys of this scenario file, given further up
    <!-- edit: NAME -->                 a C function, in place of the one of the same first line
    <!-- output -->                     what the block above says: these lines, in this order
    <!-- shown -->                      neither: a picture, a protocol, a form

`<!-- setup: COMMANDS -->` runs something that the reader has done already; `output: slow` and
`setup: slow, COMMANDS` belong to slow blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["REASONS", "Block", "blocks_of", "pages"]

# Words of `not run`, and what they mean.
REASONS = {
    "real host": "needs libvirtd and guests",
    "root": "needs root, or changes the machine",
    "vagrant": "needs Vagrant and a provider",
    "long": "takes many minutes",
    "otherwise": "is tried by tests of its own, or by a set-up",
    "internet": "needs the internet",
    "container": "needs a container engine",
    "elsewhere": "belongs on another system, such as Gradescope",
    "this itself": "would run these tests again",
}
_KINDS = ("not run", "run", "file", "part of", "edit", "output", "shown", "setup")
_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_TRIED = frozenset({"sh", "bash", "python"})


@dataclass(frozen=True, slots=True)
class Block:
    """One block, or one set-up, of a page."""

    page: str  # from the root of the repository
    line: int  # of its first line of code
    language: str
    code: str
    kind: str  # one of the marks' kinds, `run` where there is none, or `unclear`
    value: str  # of the mark

    @property
    def slow(self) -> bool:
        """Return whether it is tried by `make docs-all` only."""
        return self.kind in ("run", "setup", "output") and self.value.startswith("slow")

    @property
    def place(self) -> str:
        """Return where it stands, as editors take it."""
        return f"{self.page}:{self.line}"


def pages(root: Path) -> list[Path]:
    """Return every page that users read, in order."""
    found = [root / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")]
    found += [*root.glob("docs/**/*.md"), *root.glob("playbooks/**/*.md")]
    return sorted(found)


def blocks_of(page: Path, root: Path) -> list[Block]:
    """Return the blocks and set-ups of a page, in order.

    Those that are `unclear` are a mark that stands above nothing, or a block that does not say
    what it is.
    """
    name = page.relative_to(root).as_posix()
    return list(_blocks(page.read_text("utf-8").splitlines(), name))


def _blocks(lines: list[str], page: str) -> Iterator[Block]:
    mark: tuple[str, str] | None = None
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if fence := _FENCE.match(line):
            end = next(n for n in range(number, len(lines)) if lines[n].strip() == "```")
            code = "".join(f"{text.removeprefix(fence[1])}\n" for text in lines[number:end])
            kind, value = mark or _unmarked(fence[2])
            if kind == "shown" and fence[2] in _TRIED:
                kind, value = "unclear", "what could be tried is tried, or says why not"
            yield Block(page, number + 1, fence[2], code, kind, value)
            mark, number = None, end + 1
        elif line.lstrip().startswith("<!--"):
            if mark is not None:
                yield _astray(page, number)
            began = number
            while "-->" not in lines[number - 1]:
                number += 1
            text = "\n".join(lines[began - 1 : number]).partition("<!--")[2].rpartition("-->")[0]
            kind, _, value = (part.strip() for part in text.partition(":"))
            if kind == "setup":
                slow = value.startswith("slow,")
                yield Block(page, began, "sh", value.removeprefix("slow,"), kind, "slow" * slow)
            elif kind in _KINDS:
                mark = kind, value
        elif line.strip() and mark is not None:
            yield _astray(page, number)
            mark = None


def _astray(page: str, number: int) -> Block:
    return Block(page, number, "", "", "unclear", "the mark above stands above no block")


def _unmarked(language: str) -> tuple[str, str]:
    if language in _TRIED:
        return "run", ""
    if language in ("", "text"):
        return "shown", ""
    return "unclear", "say what this block is, as scripts/site/blocks.py tells"
