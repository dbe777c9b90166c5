"""Take in what was handed in: a folder, a zip or tar archive, or one file, as a copy of our own.

An archive is a program of a kind: its names, links and sizes are chosen by others. Nothing is
written outside the new folder, links are never followed out of it, and sizes are counted while
they are unpacked rather than believed.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from virtlab.errors import SubmissionError

__all__ = ["UnpackLimits", "UnpackedSubmission", "open_submission"]

_BLOCK_BYTES = 256 * 1024
_LINK_BYTES = 4096  # PATH_MAX
_SKIPPED = frozenset({".git", ".hg", ".svn", "__MACOSX", "__pycache__", ".DS_Store", ".vagrant"})
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError)
_FIX_BROKEN = "pack the folder again as zip or tar.gz, and try to unpack it yourself"
_FIX_PATH = "pack the folder itself, without absolute paths, '..' and links that leave it"


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How large a submission may be; the course's are below 1 MiB, logs included."""

    files: int = 5_000
    bytes: int = 256 * 1024 * 1024  # unpacked, all files together
    ratio: int = 1_000  # unpacked to packed, once 8 MiB came out; text is below 20
    depth: int = 30  # folders in folders


_RATIO_FROM_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UnpackedSubmission:
    """Our own copy of a submission."""

    root: Path
    name: str  # of what was handed in, without its suffix
    notes: tuple[str, ...] = ()  # what was left out


def open_submission(
    path: Path, into: Path, limits: UnpackLimits | None = None
) -> UnpackedSubmission:
    """Copy or unpack a submission into a new folder.

    Args:
        path: a folder, an archive or a single file.
        into: the folder to make; it must not exist yet.
        limits: what is refused as too large.

    Raises:
        SubmissionError: it cannot be read, is unsafe or too large; nothing is left of the copy.
    """
    into.mkdir(mode=0o755)
    intake = _Intake(path, into, limits or UnpackLimits())
    try:
        name = _fill(path, intake)
        if intake.files == 0:
            raise SubmissionError(
                f"{path}: there is no file in it",
                fix="hand in the folder that holds the sources and the Makefile",
            )
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return UnpackedSubmission(into, name, tuple(intake.notes))


def _fill(path: Path, intake: _Intake) -> str:
    if not path.exists():
        raise SubmissionError(f"{path}: does not exist", fix="check the path")
    if path.is_dir():
        _copy_folder(path, intake)
        return path.resolve().name
    if not path.is_file():
        raise SubmissionError(f"{path}: is neither a file nor a folder", fix="check the path")
    if _names_a_tar(path) or _is_tar(path):
        _unpack_tar(path, intake)
        return _stem(path)
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        _unpack_zip(path, intake)
        return _stem(path)
    with _reading(path), path.open("rb") as source:
        intake.file(path.name, source, executable=bool(path.stat().st_mode & 0o111))
    return path.stem


class _Intake:
    """Writes below one folder only, and counts what it writes."""

    def __init__(self, origin: Path, root: Path, limits: UnpackLimits) -> None:
        self.origin = origin
        self.files = 0
        self.notes: list[str] = []
        self._root = root
        self._limits = limits
        self._bytes = 0
        self._entries = 0
        # A folder is as large as it is; only an archive may grow while it is read.
        self._packed = origin.stat().st_size if origin.is_file() else None

    def folder(self, name: str) -> None:
        """Make a folder."""
        self._make(self._place(name), name)

    def file(self, name: str, source: IO[bytes], *, executable: bool) -> None:
        """Write a file; a later one of the same name replaces it, as in the archives' tools."""
        target = self._place(name)
        self._make(target.parent, name)
        if target.is_dir():
            raise self.refusal(name, "is a file and a folder", _FIX_BROKEN)
        with self._writing(name), target.open("wb") as sink:
            while block := source.read(_BLOCK_BYTES):
                self._count(len(block), name)
                sink.write(block)
        target.chmod(0o755 if executable else 0o644)
        self.files += 1

    def refusal(self, name: str, what: str, fix: str) -> SubmissionError:
        """Return the error for one member."""
        return SubmissionError(f"{self.origin}: {_printable(name)}: {what}", fix=fix)

    def skips(self, name: str) -> bool:
        """Tell whether a member is of no use here, such as a version history."""
        return not _SKIPPED.isdisjoint(_parts(name))

    def _place(self, name: str) -> Path:
        self._entries += 1
        if self._entries > self._limits.files:
            raise self.refusal(
                name,
                f"is one too many, there are more than {self._limits.files} files and folders",
                "hand in the sources only",
            )
        parts = _parts(name)
        if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":") or ".." in parts:
            raise self.refusal(name, "leads out of the archive", _FIX_PATH)
        if "\0" in name or any(len(os.fsencode(part)) > 255 for part in parts):
            raise self.refusal(name, "is no name for a file", _FIX_BROKEN)
        if len(parts) > self._limits.depth:
            raise self.refusal(
                name, f"lies more than {self._limits.depth} folders deep", "hand in less"
            )
        return self._root.joinpath(*parts)

    def _make(self, folder: Path, name: str) -> None:
        with self._writing(name):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileExistsError, NotADirectoryError) as error:
            raise self.refusal(name, "is a file and a folder", _FIX_BROKEN) from error

    def _count(self, size: int, name: str) -> None:
        self._bytes += size
        limits = self._limits
        if self._bytes > limits.bytes:
            mib = limits.bytes / 1024 / 1024
            raise self.refusal(
                name, f"more than {mib:g} MiB come out by here", "hand in the sources only"
            )
        if self._packed is not None and self._bytes > max(
            _RATIO_FROM_BYTES, self._packed * limits.ratio
        ):
            raise self.refusal(
                name,
                f"unpacks to more than {limits.ratio} times its size, as only a bomb does",
                "hand in the sources only",
            )


def _copy_folder(path: Path, intake: _Intake) -> None:
    """Copy files and folders; links are left out unless they lead to a file of the folder."""
    top = path.resolve()
    for folder, folders, names in os.walk(top, onerror=_raise):
        relative = Path(folder).relative_to(top)
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(linked) - _SKIPPED)
        if relative.parts:
            intake.folder(str(relative))
        for name in sorted([*names, *linked]):
            if name not in _SKIPPED:
                _copy_file(top, relative / name, intake)


def _copy_file(top: Path, relative: Path, intake: _Intake) -> None:
    source = top / relative
    if source.is_symlink():
        target = Path(os.path.realpath(source))  # unlike resolve, it bears loops
        if not target.is_relative_to(top) or not target.is_file():
            intake.notes.append(f"{relative}: a link out of the folder or to no file, left out")
            return
    # Non-blocking, as opening a named pipe would wait for a writer for ever.
    with _reading(source):
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                intake.notes.append(f"{relative}: no ordinary file, left out")
                return
            intake.file(str(relative), stream, executable=bool(status.st_mode & 0o111))


def _unpack_zip(path: Path, intake: _Intake) -> None:
    with _unpacking(path), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if intake.skips(member.filename):
                continue
            mode = member.external_attr >> 16
            if member.flag_bits & 1:
                raise intake.refusal(
                    member.filename, "is encrypted", "pack the folder without a password"
                )
            if stat.S_ISLNK(mode):
                with archive.open(member) as stream:
                    target = stream.read(_LINK_BYTES).decode("utf-8", errors="replace")
                _check_link(member.filename, target, intake)
            elif member.is_dir() or stat.S_ISDIR(mode):
                intake.folder(member.filename)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise intake.refusal(member.filename, "is a device or a pipe", _FIX_PATH)
            else:
                with archive.open(member) as stream:
                    intake.file(member.filename, stream, executable=bool(mode & 0o111))


def _unpack_tar(path: Path, intake: _Intake) -> None:
    with _unpacking(path), tarfile.open(path, "r:*", errors="surrogateescape") as archive:
        for member in archive:
            if intake.skips(member.name):
                continue
            if member.issym() or member.islnk():
                target = member.linkname
                # A hard link's name counts from the archive's top, a symbolic one's from its own.
                if member.islnk():
                    target = "../" * (len(_parts(member.name)) - 1) + target
                _check_link(member.name, target, intake)
            elif member.isdir():
                intake.folder(member.name)
            elif not member.isreg():
                raise intake.refusal(member.name, "is a device or a pipe", _FIX_PATH)
            elif (stream := archive.extractfile(member)) is not None:
                intake.file(member.name, stream, executable=bool(member.mode & 0o111))


def _check_link(name: str, target: str, intake: _Intake) -> None:
    """Refuse a link that leaves the archive; leave out any other, as nothing needs one."""
    depth = len(_parts(name)) - 1
    for part in _parts(target):
        depth += -1 if part == ".." else 1
        if depth < 0:
            break
    if target.startswith("/") or depth < 0:
        raise intake.refusal(name, f"is a link out of the archive, to {target}", _FIX_PATH)
    intake.notes.append(f"{_printable(name)}: a link, left out")


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a member's name; archives made on Windows have backslashes."""
    return tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part != "/")


def _printable(name: str) -> str:
    return name.encode("utf-8", errors="replace").decode("utf-8")


def _names_a_tar(path: Path) -> bool:
    return path.name.lower().endswith(_TAR_SUFFIXES)


def _is_tar(path: Path) -> bool:
    """Tell whether a file is a tar by its contents; an executable is none, whatever is in it."""
    with _reading(path), path.open("rb") as stream:
        if stream.read(4) == b"\x7fELF":
            return False
    try:
        return tarfile.is_tarfile(path)
    except _BROKEN:
        return False


def _stem(path: Path) -> str:
    lower = path.name.lower()
    for suffix in (*sorted(_TAR_SUFFIXES, key=len, reverse=True), ".zip"):
        if lower.endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    try:
        yield
    except SubmissionError:
        raise
    except (*_BROKEN, NotImplementedError, RuntimeError, ValueError) as error:
        what = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise SubmissionError(f"{path}: cannot be unpacked: {what}", fix=_FIX_BROKEN) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SubmissionError(
            f"{path}: cannot be read: {error.strerror}", fix="check its permissions"
        ) from error


def _raise(error: OSError) -> None:
    raise SubmissionError(
        f"{error.filename}: cannot be read: {error.strerror}", fix="check its permissions"
    ) from error
