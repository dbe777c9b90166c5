"""What runs a policy as a program under test: our own daemon, laid beside the policy's file.

A graded program sees the system and its own folder, and no Python environment of ours. So the
toolkit and what its command line imports are put there, compiled for the system's Python, in one
archive; it is made once and kept in the cache, under a name that changes with the code in it. The
daemon's flags are those that the course's tests take: affinities are there to be changed, and the
host's memory is what is free.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.kept import cache_directory
from virtlab.model.scenario import ProgramKind

__all__ = ["check_argv", "daemon_argv", "lay_runner"]

_RUNNER: Final = ".virtlab"  # the folder, beside a program
_PYTHON: Final = "/usr/bin/python3"  # the only one that a program sees
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_LIBRARIES: Final = (
    *("typer", "click", "shellingham", "typing_extensions", "annotated_doc"),
    *("pydantic", "annotated_types", "typing_inspection"),
)
_MACHINE_CODE: Final = "pydantic_core"  # which cannot be read out of an archive
_PATH: Final = f"PYTHONPATH={_RUNNER}/lab.zip:{_RUNNER}"
_DAEMONS: Final[Mapping[ProgramKind, tuple[str, ...]]] = MappingProxyType(
    {
        "vcpu_scheduler": ("schedule", "--override-pins"),
        "memory_coordinator": ("coordinate", "--no-host-caches"),
    }
)
_KINDS: Final[Mapping[ProgramKind, str]] = MappingProxyType(
    {"vcpu_scheduler": "scheduling", "memory_coordinator": "coordination"}
)
# Ends with 0 where a file has a policy of a kind, and else says on one line what is wrong.
_CHECK: Final = """
import sys
from virtlab.agent.plugins import find_policy
from virtlab.errors import VirtlabError
try:
    find_policy(sys.argv[1], sys.argv[2])
except VirtlabError as error:
    sys.exit(f"error: {error}")
"""
_ARCHIVE: Final = """
import sys, zipfile
with zipfile.PyZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sys.argv[2:]:
        archive.writepy(path)
"""


def daemon_argv(kind: ProgramKind, policy: str | None = None) -> tuple[str, ...]:
    """Return what starts the daemon in a folder that has the runner; the interval is to follow.

    Args:
        kind: which daemon.
        policy: a policy's file, relative to the folder; our own if not given.
    """
    chosen = () if policy is None else ("--policy", f"./{policy}")
    run = ("/usr/bin/env", _PATH, _PYTHON, "-m", "virtlab.cli.main")
    return (*run, *_DAEMONS[kind], *chosen, "--state", "/tmp/state", "--interval")


def check_argv(kind: ProgramKind, policy: str) -> tuple[str, ...]:
    """Return what ends well where a file has a policy of this kind."""
    return ("/usr/bin/env", _PATH, _PYTHON, "-c", _CHECK, f"./{policy}", _KINDS[kind])


def lay_runner(folder: Path) -> None:
    """Put the runner into a folder.

    Raises:
        EnvironmentLackError: it cannot be made; the system's Python is missing, say.
        OSError: the folder cannot be written.
    """
    shutil.copytree(_kept(), folder / _RUNNER, dirs_exist_ok=True)


def _kept() -> Path:
    """Return the runner's folder in the cache, made if it is not there."""
    place = cache_directory()
    kept = place / f"runner-{_fingerprint()}"
    if kept.is_dir() and kept.stat().st_uid == os.geteuid():
        return kept
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix="runner.partial-") as work:
            made = Path(work) / "runner"
            _make(made, Path(work))
            for old in place.glob("runner-*"):
                shutil.rmtree(old, ignore_errors=True)
            made.rename(kept)
    except OSError as error:
        if kept.is_dir():  # somebody else was faster
            return kept
        raise EnvironmentLackError(
            f"What runs a policy cannot be kept in {place}: {error.strerror or error}.",
            fix="set VIRTLAB_CACHE_DIR to a folder that you may write to.",
        ) from error
    return kept


def _make(folder: Path, work: Path) -> None:
    folder.mkdir()
    paths = [_PACKAGE, *(path for name in _LIBRARIES if (path := _installed(name)) is not None)]
    copied = [_copied(path, work) for path in paths]
    done = subprocess.run(
        [_PYTHON, "-c", _ARCHIVE, folder / "lab.zip", *copied],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise EnvironmentLackError(
            f"What runs a policy could not be made by {_PYTHON}: {said[0]}",
            fix="install Python for the system: apt-get install python3",
        )
    core = _installed(_MACHINE_CODE)
    if core is not None:
        shutil.copytree(core, folder / _MACHINE_CODE)


def _installed(name: str) -> Path | None:
    """Return where a library is installed beside the toolkit; not all of them are everywhere."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _copied(path: Path, work: Path) -> Path:
    """Return a copy that may be compiled in place: others read the original."""
    target = work / path.name
    if path.is_dir():
        shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(path, target)
    return target


def _fingerprint() -> str:
    """Return what changes with any file of the toolkit, and with its libraries."""
    digest = hashlib.sha256(_PYTHON.encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        found = path.stat()
        digest.update(f"{path} {found.st_mtime_ns} {found.st_size}\n".encode())
    for name in (*_LIBRARIES, _MACHINE_CODE):
        place = _installed(name)
        stamp = 0 if place is None else place.stat().st_mtime_ns
        digest.update(f"{place} {stamp}\n".encode())
    return digest.hexdigest()[:16]
