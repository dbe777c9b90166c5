"""The same bytes from a wheel, with other hash seeds, and from every Python that is here.

    python -m benchmarks --only elsewhere

Each newer Python on the PATH gets an environment of its own with the project's wheel in it, which
takes the package index that pip knows.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.commands import REFERENCE, ROOT, VIRTLAB, environment
from benchmarks.figure import Figure
from benchmarks.repeats import digest

_MINORS = range(11, 20)  # the oldest that the project supports, and what may come


def identical() -> list[Figure]:
    """Grade with each; count the results that differ from this checkout's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = _wheel(folder)
        commands = {"this checkout": VIRTLAB}
        for python in _pythons():
            version = _output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
            commands[f"wheel on {version}"] = _installed(python, wheel, folder / version)
        found = {
            label: _graded(command, folder / f"results-{seed}", str(seed))
            for seed, (label, command) in enumerate(commands.items())
        }
    expected = found["this checkout"]
    others = ", ".join(label for label in found if label != "this checkout")
    different = sum(value != expected for value in found.values())
    return [Figure("different results elsewhere", different, "", 0, note=others)]


def _pythons() -> list[str]:
    """Return the interpreters that run, this one's version among them."""
    named = (shutil.which(f"python3.{minor}") for minor in _MINORS)
    return [python for python in named if python and _runs(python)] or [sys.executable]


def _runs(python: str) -> bool:
    # A name may be a shim of a version manager that has no such version chosen.
    check = [python, "-c", "import venv, ensurepip"]
    return subprocess.run(check, capture_output=True).returncode == 0


def _wheel(folder: Path) -> Path:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(build, check=True, stderr=subprocess.DEVNULL)
    return next(folder.glob("virtlab-*.whl"))


def _installed(python: str, wheel: Path, folder: Path) -> Path:
    subprocess.run([python, "-m", "venv", folder], check=True)
    install = [folder / "bin" / "pip", "install", "--quiet", wheel]
    subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
    return folder / "bin" / "virtlab"


def _graded(command: Path, out: Path, hash_seed: str) -> str:
    grade = [command, "grade", REFERENCE, "--out", out]
    variables = {**environment(), "PYTHONHASHSEED": hash_seed}
    subprocess.run(grade, cwd=out.parent, env=variables, capture_output=True, check=True)
    return digest(out)


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
