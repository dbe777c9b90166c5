"""What shipped files say, kept on disk once it was read and checked.

Reading a scenario takes YAML, a schema and every check of it; that costs more than all else that a
run loads. Shipped files do not change from run to run, so what came of them is kept in the cache,
under a name that changes with any file of theirs and of the code that reads them. Files of users
are read anew each time.

Nothing is taken from the cache but plain values of our own classes, and no file that somebody else
owns or may write to. What cannot be kept or read is made anew, without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from virtlab import __version__
from virtlab.resources import testcases_dir

__all__ = ["cache_directory", "kept"]

T = TypeVar("T")

_PACKAGE: Final = Path(__file__).resolve().parent
_ROOMS: Final = ("model", "scenario", "grading")  # whose code reads and checks shipped files
_VALUES: Final = ("virtlab.model.", "virtlab.grading.rubric")  # modules of the values kept
_BROKEN: Final = (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError,
                  IndexError, TypeError, ValueError)  # fmt: skip


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for what can be built again: VIRTLAB_CACHE_DIR, else `virtlab` in XDG's."""
    if chosen := environment.get("VIRTLAB_CACHE_DIR"):
        return Path(chosen)
    xdg = environment.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "virtlab"


def kept(name: str, make: Callable[[], T], cache: Path | None = None) -> T:
    """Return what a shipped file says: from the cache, or else from `make`, and then keep it.

    Args:
        name: of the file, as a file name.
        make: reads it; its errors are passed on.
        cache: the folder, if not the usual one.
    """
    try:
        path = (cache or cache_directory()) / f"{name}.{_fingerprint()}.kept"
        return _read(path)  # type: ignore[no-any-return]  # the name says what it is
    except _BROKEN:
        pass
    value = make()
    # A home that is full, missing or not ours to write in is no reason to fail.
    with contextlib.suppress(OSError, RuntimeError):
        _write((cache or cache_directory()), name, value)
    return value


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{path} is not ours alone")
        return _PlainValues(io.BytesIO(file.read())).load()


def _write(folder: Path, name: str, value: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}.*.kept"):
        old.unlink(missing_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=folder, suffix=".keeping")
    with os.fdopen(handle, "wb") as file:
        file.write(pickle.dumps(value, protocol=5))
    # Renaming is atomic: a second process sees the whole file or none.
    Path(unfinished).rename(folder / f"{name}.{_fingerprint()}.kept")


class _PlainValues(pickle.Unpickler):
    """Makes instances of our own value classes, and of nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "frozenset"):
            return frozenset
        if not module.startswith(_VALUES):
            raise pickle.UnpicklingError(f"{module}.{name} is no value of ours")
        found = super().find_class(module, name)
        if not isinstance(found, type) or found.__module__ != module:
            raise pickle.UnpicklingError(f"{module}.{name} is no class of that module")
        return found


@lru_cache(maxsize=1)
def _fingerprint() -> str:
    """Name the state of shipped files and of the code by their names, sizes and times."""
    digest = hashlib.sha256(f"{__version__} {sys.hexversion} {_PACKAGE}".encode())
    for folder in (*(_PACKAGE / room for room in _ROOMS), testcases_dir()):
        for path, found in sorted(_files(str(folder))):
            digest.update(f"\0{path} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            else:
                yield entry.path, entry.stat()
