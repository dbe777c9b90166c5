"""Zip and tar archives, whatever they are called, taken in member by member.

What an archive is stands in its first bytes; its name only tells what it was meant to be. Links
are not made: one that leads to a file of the archive becomes a copy of it, any other is left out,
and so are devices, pipes and sockets. What is left out is noted, as a submission may lack it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal, cast

from virtlab.errors import SubmissionError
from virtlab.subjects.intake import FIX_BROKEN, BoundedReader, Intake, name_parts, printable

__all__ = ["ArchiveKind", "archive_kind", "named_as_archive", "stem", "unpack"]

ArchiveKind = Literal["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"]

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")
_COMPRESSED: tuple[tuple[bytes, ArchiveKind], ...] = (
    (b"\x1f\x8b", "tar.gz"),
    (b"BZh", "tar.bz2"),
    (b"\xfd7zXZ\x00", "tar.xz"),
)
# Formats that people hand in and that are not read here, by their first bytes (file(1), magic(5)).
_FOREIGN = (
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x1f\x9d", "compress"),
    (b"LZIP", "lzip"),
    (b"MSCF", "cab"),
    (b"%PDF", "PDF"),
    (b"!<arch>\n", "ar"),
)
_FOREIGN_SUFFIXES = (".7z", ".rar", ".tar.zst", ".tar.z")
_BLOCK = tarfile.BLOCKSIZE
_HEADER_BYTES = 64 * 1024  # of one extended header of a tar: a name and some attributes
_DIRECTORY_BYTES = 4 * 1024 * 1024  # of a zip: 5,000 names are below 1 MiB
_LINK_BYTES = 4096  # PATH_MAX
_LINKS_IN_A_ROW = 40  # as Linux follows at most
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,  # a way of compression that is not built in
    RuntimeError,
    ValueError,  # names in no encoding, and what BoundedReader refuses
)
_FIX_ARCHIVE = "pack the folder as zip or tar.gz and hand that in"


def archive_kind(path: Path, shown: str | None = None) -> ArchiveKind | None:
    """Return what kind of archive a file is by its contents; None where it is none.

    A program is none, whatever is packed behind it.

    Args:
        path: the file.
        shown: what errors call it, where not by its path.

    Raises:
        SubmissionError: it is an archive of a kind that is not read here.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_BLOCK)
    if head.startswith(b"\x7fELF"):
        return None
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise SubmissionError(
                f"{shown or path}: is a {name} file, which is not unpacked here", fix=_FIX_ARCHIVE
            )
    for magic, kind in _COMPRESSED:
        if head.startswith(magic):
            return kind
    if _is_tar_header(head):
        return "tar"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if not head.startswith(b"#!") and zipfile.is_zipfile(path):  # something stands before it
        return "zip"
    return _by_name(path)


def unpack(path: Path, kind: ArchiveKind, intake: Intake) -> None:
    """Take in the members of an archive.

    Raises:
        SubmissionError: it is broken, unsafe or too large.
    """
    with _translated(intake), path.open("rb") as file:
        if kind == "zip":
            _unpack_zip(file, intake)
        else:
            _unpack_tar(file, kind, intake)


def named_as_archive(path: Path) -> bool:
    """Tell whether a file is called as archives are."""
    return path.name.lower().endswith((*_TAR_SUFFIXES, *_FOREIGN_SUFFIXES, ".zip"))


def stem(path: Path) -> str:
    """Return a file's name without the suffix that says how it is packed."""
    lower = path.name.lower()
    for suffix in (*sorted(_TAR_SUFFIXES, key=len, reverse=True), ".zip"):
        if lower.endswith(suffix) and lower != suffix:
            return path.name[: -len(suffix)]
    return path.stem


def _by_name(path: Path) -> ArchiveKind | None:
    """Return what a file that does not begin as an archive was meant to be."""
    lower = path.name.lower()
    if lower.endswith(".zip"):
        return "zip"
    return "tar" if lower.endswith(_TAR_SUFFIXES) else None


def _is_tar_header(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


# --- zip


def _unpack_zip(file: IO[bytes], intake: Intake) -> None:
    reader = BoundedReader(file, piece_bytes=_DIRECTORY_BYTES, total_bytes=None)
    if not zipfile.is_zipfile(cast("IO[bytes]", reader)):
        raise zipfile.BadZipFile("it is cut off, or no zip archive: its directory is missing")
    links: dict[str, str] = {}
    with zipfile.ZipFile(cast("IO[bytes]", reader)) as archive:
        for member in archive.infolist():
            name = _zip_name(member)
            if intake.skips(name):
                continue
            mode = member.external_attr >> 16
            if member.flag_bits & 1:
                raise intake.refusal(name, "is encrypted", "pack the folder without a password")
            if stat.S_ISLNK(mode):
                with archive.open(member) as stream:
                    target = stream.read(_LINK_BYTES).decode("utf-8", errors="surrogateescape")
                links[name] = posixpath.join(posixpath.dirname(name), target)
            elif name.endswith("/") or stat.S_ISDIR(mode):
                intake.folder(name)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                intake.note(name, "a device, a pipe or a socket, left out")
            else:
                with archive.open(member) as stream:
                    intake.file(name, stream, executable=bool(mode & 0o111))
    _copy_linked(links, intake)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name as its maker meant it.

    Archives made on Windows have backslashes, and those of macOS names in UTF-8 without the flag
    that says so, which the library reads as DOS's code page 437.
    """
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):  # it is in the code page, or in one that nobody can tell
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


# --- tar


def _unpack_tar(file: IO[bytes], kind: ArchiveKind, intake: Intake) -> None:
    contents: IO[bytes] = file
    total_bytes = None
    if kind != "tar":
        contents = _decompressed(file, kind)
        total_bytes = 2 * intake.limits.bytes  # with headers, padding, and what is left out
    head = contents.read(_BLOCK)
    if head.strip(b"\0") and not _is_tar_header(head):
        raise tarfile.ReadError("there is no tar archive in it")
    contents.seek(0)
    reader = BoundedReader(contents, piece_bytes=_HEADER_BYTES, total_bytes=total_bytes)
    links: dict[str, str] = {}
    last = "its first member"
    with tarfile.open(
        fileobj=cast("IO[bytes]", reader), mode="r:", errors="surrogateescape"
    ) as archive:
        for member in archive:
            last = member.name
            _take_in(archive, member, links, intake)
            # It would keep every member for ever, and nothing here looks back.
            archive.members = []  # type: ignore[attr-defined]  # documented by the library
        # The library takes a header that it cannot read for the end of the archive.
        if reader.last.strip(b"\0") or len(reader.last) != _BLOCK:
            raise tarfile.ReadError(f"it is damaged or cut off behind {printable(last)}")
    _read_rest(reader)
    _copy_linked(links, intake)


def _decompressed(file: IO[bytes], kind: ArchiveKind) -> IO[bytes]:
    if kind == "tar.gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    return cast("IO[bytes]", bz2.BZ2File(file) if kind == "tar.bz2" else lzma.LZMAFile(file))


def _take_in(
    archive: tarfile.TarFile, member: tarfile.TarInfo, links: dict[str, str], intake: Intake
) -> None:
    if intake.skips(member.name):
        return
    if member.issym():
        links[member.name] = posixpath.join(posixpath.dirname(member.name), member.linkname)
    elif member.islnk():  # its name counts from the archive's top
        links[member.name] = member.linkname
    elif member.isdir():
        intake.folder(member.name)
    elif not member.isreg():
        intake.note(member.name, "a device, a pipe or a socket, left out")
    elif (stream := archive.extractfile(member)) is not None:
        intake.file(member.name, stream, executable=bool(member.mode & 0o111))


def _read_rest(reader: BoundedReader) -> None:
    """Read to the end, where compressed contents have their checksum."""
    try:
        while reader.read(_HEADER_BYTES):
            pass
    except gzip.BadGzipFile as error:
        if not str(error).startswith("Not a gzipped file"):  # gzip(1) ignores what stands behind
            raise


# --- both


def _copy_linked(links: dict[str, str], intake: Intake) -> None:
    """Make a link to a file of the archive a copy of it; leave out any other."""
    by_name = {posixpath.normpath(name): target for name, target in links.items()}
    for name, target in links.items():
        intake.check_time(name)
        end = posixpath.normpath(target)
        for _ in range(_LINKS_IN_A_ROW):
            if end not in by_name:
                break
            end = posixpath.normpath(by_name[end])
        outside = end.startswith("/") or ".." in name_parts(end)
        if outside or not intake.copy(name, end):
            where = "out of the submission" if outside else "to no file of the submission"
            intake.note(name, f"a link {where}, left out")


@contextmanager
def _translated(intake: Intake) -> Iterator[None]:
    try:
        yield
    except SubmissionError:
        raise
    except _BROKEN as error:
        what = printable((str(error) or type(error).__name__).splitlines()[0].rstrip(":"))
        raise intake.failure(f"cannot be unpacked: {what}", FIX_BROKEN) from error
