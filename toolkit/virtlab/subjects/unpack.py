"""Take in what was handed in: a folder, a zip or tar archive, or one file, as a copy of our own.

Archives in the submission are opened where a program is still missing: people pack `cpu.zip` and
`memory.zip`, and upload pages pack what they get once more.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from virtlab.errors import SubmissionError
from virtlab.subjects.archives import archive_kind, named_as_archive, stem, unpack
from virtlab.subjects.intake import Intake, UnpackLimits, printable
from virtlab.subjects.layout import KINDS, find_programs

__all__ = ["UnpackLimits", "UnpackedSubmission", "open_submission"]

_INNER_LEVELS = 2  # archives in an archive in the submission
_INNER_MAX = 8  # more of them are a class, not a submission
_NOTES_SHOWN = 5
_FIX_PERMISSION = "check its permissions"


@dataclass(frozen=True, slots=True)
class UnpackedSubmission:
    """Our own copy of a submission."""

    root: Path
    name: str  # of what was handed in, without its suffix
    given: str  # the same with its suffix, as commands name it
    notes: tuple[str, ...] = ()  # what was left out
    one_file: bool = False  # a single file was handed in, and no archive


def open_submission(
    path: Path,
    into: Path,
    limits: UnpackLimits | None = None,
    *,
    leave_out: Callable[[Path], bool] = lambda _folder: False,
) -> UnpackedSubmission:
    """Copy or unpack a submission into a new folder.

    Args:
        path: a folder, an archive or a single file.
        into: the folder to make; it must not exist yet.
        limits: what is refused as too large.
        leave_out: tells of a folder in a folder that it is none of the submission's.

    Raises:
        SubmissionError: it cannot be read, is unsafe or too large; nothing is left of the copy.
        EnvironmentLackError: the copy cannot be written.
    """
    status = _status(path)
    into.mkdir(mode=0o755)
    intake = Intake(path, into, limits or UnpackLimits())
    try:
        name, one_file = _fill(path, status, intake, leave_out)
        if intake.files == 0:
            but = "".join(f"\n  {note}" for note in intake.notes[:_NOTES_SHOWN])
            raise SubmissionError(
                f"{path}: there is no file in it{but}",
                fix="hand in the folder that holds the sources and the Makefile",
            )
        _open_inner(intake)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    given = printable(os.path.basename(os.path.realpath(path)))  # noqa: PTH119 - links may dangle
    return UnpackedSubmission(into, printable(name), given, tuple(intake.notes), one_file)


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise SubmissionError(f"{path}: does not exist", fix="check the path") from error
    except OSError as error:
        raise SubmissionError(
            f"{path}: cannot be read: {error.strerror}", fix="check the path"
        ) from error
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise SubmissionError(f"{path}: is neither a file nor a folder", fix="check the path")
    return status


def _fill(
    path: Path, status: os.stat_result, intake: Intake, leave_out: Callable[[Path], bool]
) -> tuple[str, bool]:
    """Copy or unpack it; return its name, and whether it is a single file and no archive."""
    if stat.S_ISDIR(status.st_mode):
        _copy_folder(path, intake, leave_out)
        return path.resolve().name or "submission", False
    with _reading(path):
        kind = archive_kind(path)
    if kind is not None:
        unpack(path, kind, intake)
        return stem(path), False
    with _reading(path), path.open("rb") as source:
        intake.file(path.name, source, executable=bool(status.st_mode & 0o111))
    return path.stem, True


# --- folders


def _copy_folder(path: Path, intake: Intake, leave_out: Callable[[Path], bool]) -> None:
    """Copy files and folders; links are left out unless they lead to a file of the folder."""
    top = path.resolve()
    for folder, folders, names in os.walk(top, onerror=_raise):
        relative = Path(folder).relative_to(top)
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = sorted(
            name
            for name in set(folders) - set(linked)
            if not intake.skips(str(relative / name)) and not leave_out(Path(folder) / name)
        )
        if relative.parts:
            intake.folder(str(relative))
        for name in sorted([*names, *linked]):
            if not intake.skips(name):
                _copy_file(top, relative / name, intake)


def _copy_file(top: Path, relative: Path, intake: Intake) -> None:
    source = top / relative
    if source.is_symlink():
        target = Path(os.path.realpath(source))  # unlike resolve, it bears loops
        if not target.is_relative_to(top) or not target.is_file():
            intake.note(str(relative), "a link out of the folder or to no file, left out")
            return
    with _reading(source):
        if stat.S_ISREG(source.stat().st_mode):
            # Non-blocking, as it may have become a pipe, which waits for a writer for ever.
            descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                mode = os.fstat(descriptor).st_mode
                if stat.S_ISREG(mode):
                    intake.file(str(relative), stream, executable=bool(mode & 0o111))
                    return
    intake.note(str(relative), "no ordinary file, left out")


# --- archives in the submission


def _open_inner(intake: Intake) -> None:
    """Open the archives of a submission in which a program is missing, each in a folder beside."""
    tried: set[Path] = set()
    for _ in range(_INNER_LEVELS):
        have = _programs_found(intake.root)
        found = [path for path in _inner_archives(intake.root) if path not in tried]
        if have == len(KINDS) or not found:
            return
        if len(found) > _INNER_MAX:
            if have:
                return
            raise SubmissionError(
                f"{intake.origin}: holds {len(found)} archives, as many as a class",
                fix="unpack it, and grade what is in it: virtlab grade FOLDER/*",
            )
        for path in found:
            tried.add(path)
            _open_one(path, intake, needed=not have)


def _programs_found(root: Path) -> int:
    try:
        return len(find_programs(root))
    except SubmissionError:
        return 0


def _inner_archives(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if named_as_archive(path) and path.is_file())


def _open_one(path: Path, intake: Intake, *, needed: bool) -> None:
    """Put an archive's contents into a folder beside it; one that is broken may stay as it is."""
    shown = printable(str(path.relative_to(intake.root)))
    folder = path.with_name(stem(path))
    if folder.exists():
        folder = path.with_name(f"{path.name}.unpacked")
    try:
        kind = archive_kind(path, shown=f"{intake.origin}: {shown}")
        if kind is None:
            return
        intake.within, intake.inner = str(folder.relative_to(intake.root)), shown
        unpack(path, kind, intake)
    except SubmissionError as error:
        if needed:
            raise
        shutil.rmtree(folder, ignore_errors=True)
        intake.notes.append(str(error).splitlines()[0].removeprefix(f"{intake.origin}: "))
    finally:
        intake.within = intake.inner = ""


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SubmissionError(
            f"{path}: cannot be read: {error.strerror}", fix=_FIX_PERMISSION
        ) from error


def _raise(error: OSError) -> None:
    raise SubmissionError(
        f"{error.filename}: cannot be read: {error.strerror}", fix=_FIX_PERMISSION
    ) from error
