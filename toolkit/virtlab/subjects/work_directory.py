"""Work folders that do not outlive their owner for long, even where it is killed.

Each holds a file that its owner has locked. The kernel lets go of the lock when the owner dies, and
the next one to need a work folder removes those that nobody holds. Before it has its lock, and
while it is being removed, a folder has another name: once it is old, that tells it for a rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virtlab.errors import EnvironmentLackError
from virtlab.subjects.trees import remove_tree

__all__ = ["make_work_directory", "work_directory"]

_PREFIX = "virtlab-"
_PASSING = ".virtlab-passing-"  # not yet locked, or no longer
_PASSING_MAX_S = 3600  # to make one takes less than a millisecond, to remove one some seconds
_LOCK = ".lock"
# The path of a socket has room for 107 bytes (unix(7)); the longest is, below this folder,
# virtlab-12345678/libvirt/libvirt-sock-ro.
_PLACE_BYTES = 66


@contextmanager
def work_directory(parent: Path | None = None, *, sockets: bool = False) -> Iterator[Path]:
    """Give a new folder that any user may enter but not list; it is removed afterwards.

    Args:
        parent: where to make it; where temporary files go if not given.
        sockets: a run's sockets lie in it, or in one beside it.

    Raises:
        EnvironmentLackError: there is no place for temporary files, or its path is too long.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    if sockets and len(os.fsencode(place)) > _PLACE_BYTES:
        raise EnvironmentLackError(
            f"{place}: the path of the folder for temporary files has more than {_PLACE_BYTES} "
            "bytes, too many for the sockets in it.",
            fix="set TMPDIR to a shorter path.",
        )
    try:
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
        _discard(folder)
        os.close(lock)


def make_work_directory(parent: Path | None = None) -> Path:
    """Return a new folder that any user may enter but not list; the caller removes it.

    Programs run by the other user reach what lies in it only by its full name.
    """
    return _made(_PREFIX, parent)


def _made(prefix: str, parent: Path | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    folder.chmod(0o711)
    return folder


def _make_locked(parent: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor that keeps it; it has its name once it is locked."""
    made = _made(_PASSING, parent)
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return made.rename(parent / made.name.replace(_PASSING, _PREFIX)), lock


def _discard(folder: Path) -> None:
    """Remove a work folder so that what a kill leaves of it is known for a rest."""
    with contextlib.suppress(OSError):
        folder = folder.rename(folder.parent / folder.name.replace(_PREFIX, _PASSING))
    remove_tree(folder)


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
                _discard(folder)
        finally:
            os.close(lock)
    for folder in sorted(parent.glob(f"{_PASSING}*")):
        with contextlib.suppress(OSError):  # gone meanwhile
            found = folder.lstat()
            old = time.time() - found.st_mtime > _PASSING_MAX_S
            if old and stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                remove_tree(folder)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
