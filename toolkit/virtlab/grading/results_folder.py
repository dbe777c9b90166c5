"""How a result folder comes to its place: whole, or not at all.

While it is written it is called .NAME.partial and locked, so that two gradings never write the
same results. The kernel lets go of the lock of a grading that is killed; the next one finds what it
left, puts older results back where they were just being replaced, and begins anew. A reader takes
no lock: it looks at `identity` before and after, and reads again where the folder was replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from virtlab.errors import EnvironmentLackError, UsageError

__all__ = [
    "RESULTS_FORMAT",
    "being_replaced",
    "check_target",
    "half_written",
    "holds_results",
    "identity",
    "is_full_disk",
    "is_written_by_us",
    "prepared",
    "translated",
    "write_file",
]

RESULTS_FORMAT = "virtlab-results-1"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PARTIAL = ".partial"
_LOCK_TRIES, _LOCK_PAUSE_S = 10, 0.1


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a folder that must not be replaced; to be asked before anything runs.

    Raises:
        UsageError: it is a file, or a folder with something in it that is not to be replaced.
    """
    with translated(path):
        if not path.exists():
            return
        if not path.is_dir():
            raise UsageError(f"{path} is a file.", fix="name a folder for the results.")
        if not any(path.iterdir()):
            return
    if not holds_results(path):
        raise UsageError(
            f"{path} holds files that are no results of virtlab.",
            fix="name a new or an empty folder.",
        )
    if not overwrite:
        raise UsageError(
            f"{path} holds results already.",
            fix="name another folder, or ask for these to be replaced with --overwrite.",
        )


@contextlib.contextmanager
def prepared(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to write results in, which gets its name when the block is done.

    If the block or the writing fails, nothing is left behind and an older folder stays.

    Raises:
        UsageError: the folder must not be replaced, cannot be written, or is being written.
        EnvironmentLackError: the disk is full.
    """
    check_target(path, overwrite=overwrite)
    path = path.absolute()
    missing = [folder for folder in path.parents if not folder.exists()]
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _claimed(path) as partial:
            check_target(path, overwrite=overwrite)  # another grading may have ended just now
            new = partial / "new"
            with translated(path):
                new.mkdir()
            yield new
            with translated(path):
                _put_in_place(new, path, partial / "old")
    finally:
        if not path.exists():
            with contextlib.suppress(OSError):  # somebody else's results came in between
                for folder in missing:
                    folder.rmdir()


def write_file(path: Path, text: str) -> None:
    """Write a single file of results, whole or not at all; an older one is replaced.

    Raises:
        UsageError: it cannot be written there.
        EnvironmentLackError: the disk is full.
    """
    with translated(path):
        handle, unfinished = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(unfinished).chmod(0o666 & ~_umask())
            Path(unfinished).replace(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def holds_results(path: Path) -> bool:
    """Tell whether a folder has results, whole."""
    try:
        info = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(info, dict) and info.get("format") == RESULTS_FORMAT


def is_written_by_us(path: Path) -> bool:
    """Tell whether a folder holds results, whole or half-written: it is no part of a submission."""
    return holds_results(path) or (path.name.startswith(".") and path.name.endswith(_PARTIAL))


def _put_in_place(new: Path, path: Path, old: Path) -> None:
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise


def half_written(path: Path) -> bool:
    """Tell whether a grading into a folder has begun and is not at its end."""
    return _partial(path.absolute()).exists()


def being_replaced(path: Path) -> bool:
    """Tell whether the results of a folder are between the two steps in which others come."""
    return not path.exists() and (_partial(path.absolute()) / "old").exists()


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}{_PARTIAL}")


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[Path]:
    """Give the empty folder in which the results of a path are prepared, held by us alone."""
    partial = _partial(path)
    with translated(path):
        lock = _lock(partial)
    if lock is None:
        raise UsageError(
            f"{path} is being written by another grading.",
            fix="wait for its end, or name another folder.",
        )
    try:
        with translated(path):
            if (partial / "old").exists() and not path.exists():
                (partial / "old").rename(path)  # it was killed while it replaced these
            for left in partial.iterdir():
                shutil.rmtree(left)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds a folder, which is made where missing; None: another does."""
    for _ in range(_LOCK_TRIES):
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # its holder was just done with it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            time.sleep(_LOCK_PAUSE_S)  # the workers of a killed grading die a moment later
            continue
        except OSError:
            return descriptor  # a file system without locks
        if identity(folder) == identity(descriptor):
            return descriptor
        os.close(descriptor)
    return None


def identity(folder: Path | int) -> tuple[int, int] | None:
    """Return what stays the same as long as a folder is the same one; None where there is none."""
    try:
        status = os.stat(folder)  # noqa: PTH116  # of a descriptor, too
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_full_disk(error: OSError) -> bool:
    """Tell whether an error is the lack of room on a disk."""
    if isinstance(error, shutil.Error):  # the errors of a whole tree, as texts
        return any(os.strerror(number) in str(error) for number in _NO_ROOM)
    return error.errno in _NO_ROOM


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the system refuses while results are written into an error that says so."""
    try:
        yield
    except OSError as err:
        if is_full_disk(err):
            raise EnvironmentLackError(
                f"The disk is full: the results in {path} could not be written.",
                fix="free some space, or name a folder on another disk.",
            ) from err
        reason = os.strerror(err.errno) if err.errno else str(err)
        raise UsageError(
            f"The results in {path} could not be written: {reason}.",
            fix="name a folder that you may write to.",
        ) from err
