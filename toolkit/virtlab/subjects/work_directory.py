"""Work folders that do not outlive their owner for long, even where it is killed.

Each holds a file that its owner has locked. The kernel lets go of the lock when the owner dies, and
the next one to need a work folder removes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virtlab.errors import EnvironmentLackError

__all__ = ["make_work_directory", "remove_tree", "work_directory"]

_PREFIX = "virtlab-"
_LOCK = ".lock"


@contextmanager
def work_directory(parent: Path | None = None) -> Iterator[Path]:
    """Give a new folder that any user may enter but not list; it is removed afterwards.

    Args:
        parent: where to make it; where temporary files go if not given.

    Raises:
        EnvironmentLackError: there is no place for temporary files.
    """
    try:
        place = Path(tempfile.gettempdir()) if parent is None else parent
        _sweep(place)
        folder, lock = _make_locked(place)
    except OSError as error:
        raise EnvironmentLackError(
            f"no folder for temporary files could be made: {error.strerror or error}.",
            fix="free some space, or set TMPDIR to a folder that you may write to.",
        ) from error
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(lock)


def make_work_directory(parent: Path | None = None) -> Path:
    """Return a new folder that any user may enter but not list; the caller removes it.

    Programs run by the other user reach what lies in it only by its full name.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    folder.chmod(0o711)
    return folder


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours; what a program made in it may have any mode."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for name, folders, _files in os.walk(folder):
            for each in (".", *folders):
                path = Path(name) / each
                if not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def _make_locked(parent: Path) -> tuple[Path, int]:
    while True:
        folder = make_work_directory(parent)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # A sweeper that comes just now takes the folder for one that nobody holds.
        if _lock(lock) and (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)


@functools.cache  # once in a process is often enough
def _sweep(parent: Path) -> None:
    """Remove the work folders of this user whose owners were killed."""
    for folder in sorted(parent.glob(f"{_PREFIX}*")):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # gone meanwhile, or no such folder
        try:
            if _lock(lock):
                remove_tree(folder)
        finally:
            os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
