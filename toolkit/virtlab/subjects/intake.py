"""Write what others hand in below one folder of our own, and count it while it comes.

Names, links and sizes are chosen by others. Nothing is written outside the folder, no link is ever
made, and sizes are counted as they are unpacked rather than believed. Memory and time are bounded
too: an archive is read through `BoundedReader`, and work ends at `UnpackLimits.real_s`.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import IO

from virtlab.errors import EnvironmentLackError, SubmissionError

__all__ = ["FIX_BROKEN", "BoundedReader", "Intake", "UnpackLimits", "name_parts", "printable"]

FIX_BROKEN = "pack the folder again as zip or tar.gz, and try to unpack it yourself"
_FIX_LESS = "hand in the sources only"
_FIX_PATH = "pack the folder itself, without absolute paths and '..'"
_SKIPPED = frozenset({".git", ".hg", ".svn", "__MACOSX", "__pycache__", ".DS_Store", ".vagrant"})
_BLOCK_BYTES = 64 * 1024
_RATIO_FROM_BYTES = 8 * 1024 * 1024
_NAME_BYTES = 255  # NAME_MAX
_PATH_BYTES = 1024  # of PATH_MAX, 4096, as the compiler puts more before and behind


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How large a submission may be; the course's are below 1 MiB, logs included."""

    files: int = 5_000
    bytes: int = 256 * 1024 * 1024  # unpacked, all files together
    ratio: int = 1_000  # unpacked to packed, once 8 MiB came out; text is below 20
    depth: int = 30  # folders in folders
    members: int = 100_000  # of an archive, what is left out included: a version history is long
    real_s: float = 60.0  # of work; the largest that the other limits permit takes some seconds


class Intake:
    """Writes below one folder only, and counts what it writes."""

    def __init__(self, origin: Path, root: Path, limits: UnpackLimits) -> None:
        """Take the submission as the user named it, the folder to fill, and how far to go."""
        self.origin = origin
        self.root = root
        self.limits = limits
        self.within = ""  # the folder below the root where an archive in the archive goes
        self.inner = ""  # that archive, as messages show it
        self.files = 0
        self.notes: list[str] = []
        self._bytes = 0
        self._entries = 0
        self._members = 0
        self._deadline_s = monotonic() + limits.real_s
        # A folder is as large as it is; only an archive may grow while it is read.
        self._packed = origin.stat().st_size if origin.is_file() else None

    def skips(self, name: str) -> bool:
        """Count a member, and tell whether it is of no use here, such as a version history."""
        self._members += 1
        if self._members > self.limits.members:
            raise self.refusal(
                name, f"is one too many, there are more than {self.limits.members}", _FIX_LESS
            )
        self.check_time(name)
        return not _SKIPPED.isdisjoint(name_parts(name))

    def folder(self, name: str) -> None:
        """Make a folder."""
        self._make(self._place(name), name)

    def file(self, name: str, source: IO[bytes], *, executable: bool) -> None:
        """Write a file; a later one of the same name replaces it, as in the archives' tools."""
        target = self._place(name)
        self._make(target.parent, name)
        if target.is_dir():
            raise self._clash(name)
        if target.exists():
            self.note(name, "is there twice; the later one counts")
            self.files -= 1
        with self._writing(name):
            sink = target.open("wb", buffering=0)  # a full disk is to be met here, not at the end
        with sink:
            while block := source.read(_BLOCK_BYTES):
                self._count(len(block), name)
                with self._writing(name):
                    left = memoryview(block)
                    while left:
                        left = left[sink.write(left) :]
        target.chmod(0o755 if executable else 0o644)
        self.files += 1

    def copy(self, name: str, source: str) -> bool:
        """Write a file with the contents of another that is here already; tell whether it could.

        So a link becomes a file of its own.
        """
        top = self.root / self.within
        here = top.joinpath(*name_parts(source))
        if top.joinpath(*name_parts(name)).exists() or not here.is_file():
            return False
        with here.open("rb") as stream:
            self.file(name, stream, executable=os.access(here, os.X_OK))
        return True

    def note(self, name: str, what: str) -> None:
        """Say of a member what the user should know about it."""
        self.notes.append(f"{self._shown(name)}: {what}")

    def refusal(self, name: str, what: str, fix: str) -> SubmissionError:
        """Return the error for one member."""
        return SubmissionError(f"{self.origin}: {self._shown(name)}: {what}", fix=fix)

    def failure(self, what: str, fix: str) -> SubmissionError:
        """Return the error for the archive, or for the one in it that is being opened."""
        where = f"{self.origin}: {self.inner}" if self.inner else f"{self.origin}"
        return SubmissionError(f"{where}: {what}", fix=fix)

    def _shown(self, name: str) -> str:
        return f"{self.inner}: {printable(name)}" if self.inner else printable(name)

    def check_time(self, name: str) -> None:
        """Refuse to go on for ever."""
        if monotonic() > self._deadline_s:
            raise self.refusal(
                name, f"unpacking took more than {self.limits.real_s:g} s until here", _FIX_LESS
            )

    def _place(self, name: str) -> Path:
        self._entries += 1
        if self._entries > self.limits.files:
            raise self.refusal(
                name,
                f"is one too many, there are more than {self.limits.files} files and folders",
                _FIX_LESS,
            )
        parts = name_parts(name)
        if name.startswith("/") or name[1:3] == ":/" or ".." in parts:
            raise self.refusal(name, "leads out of the archive", _FIX_PATH)
        sizes = [len(os.fsencode(part)) for part in parts]
        if "\0" in name or any(size > _NAME_BYTES for size in sizes):
            raise self.refusal(name, "is no name for a file", FIX_BROKEN)
        if len(parts) > self.limits.depth:
            raise self.refusal(
                name, f"lies more than {self.limits.depth} folders deep", "hand in less"
            )
        if sum(sizes) + len(sizes) > _PATH_BYTES:
            raise self.refusal(
                name, f"is longer than {_PATH_BYTES} bytes", "use shorter names for folders"
            )
        return self.root.joinpath(self.within, *parts)

    def _make(self, folder: Path, name: str) -> None:
        with self._writing(name):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    def _clash(self, name: str) -> SubmissionError:
        return self.refusal(name, "is a file and a folder", FIX_BROKEN)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self._clash(name) from error
        except OSError as error:
            if error.errno in (errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG):
                raise self.refusal(name, "is no name for a file", FIX_BROKEN) from error
            raise EnvironmentLackError(
                f"{self.origin}: its copy in {self.root.parent} could not be written: "
                f"{error.strerror}.",
                fix="free some space there, or set TMPDIR to a folder on another disk.",
            ) from error

    def _count(self, size: int, name: str) -> None:
        self._bytes += size
        limits = self.limits
        self.check_time(name)
        if self._bytes > limits.bytes:
            mib = limits.bytes / 1024 / 1024
            raise self.refusal(name, f"more than {mib:g} MiB come out by here", _FIX_LESS)
        if self._packed is not None and self._bytes > max(
            _RATIO_FROM_BYTES, self._packed * limits.ratio
        ):
            raise self.refusal(
                name,
                f"unpacks to more than {limits.ratio} times its size, as only a bomb does",
                _FIX_LESS,
            )


class BoundedReader(io.BufferedIOBase):
    """What an archive's reader sees of it: as much as there is, but never much at a time.

    A header of an archive tells how long the next one is, and its reader takes memory for that.
    """

    def __init__(self, source: IO[bytes], *, piece_bytes: int, total_bytes: int | None) -> None:
        """Take the stream, and the bounds.

        Args:
            source: where bytes come from.
            piece_bytes: the most that may be asked for at a time.
            total_bytes: the most that may be read in all; None where it cannot grow.
        """
        self.last = b""  # what was read last
        self._source = source
        self._piece_bytes = piece_bytes
        self._total_bytes = total_bytes
        self._read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            ValueError: that is more than an honest archive asks for.
        """
        wanted = self._piece_bytes if size is None or size < 0 else size
        if wanted > self._piece_bytes:
            raise ValueError(f"its directory takes {wanted} bytes, as only a bomb's does")
        data = self._source.read(wanted)
        self._read_bytes += len(data)
        if self._total_bytes is not None and self._read_bytes > self._total_bytes:
            mib = self._total_bytes / 1024 / 1024
            raise ValueError(f"more than {mib:g} MiB come out")
        self.last = data
        return data

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be gone through in any order, as far as its source can."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._source.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position; where contents are decompressed, what lies between is read."""
        if self._total_bytes is None or whence != os.SEEK_SET:
            return self._source.seek(offset, whence)
        if offset < self.tell():
            return self._source.seek(offset)
        while (left := offset - self.tell()) > 0 and self.read(min(left, _BLOCK_BYTES)):
            pass
        return self.tell()


def name_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file that a member's name consists of."""
    return tuple(part for part in PurePosixPath(name).parts if part not in ("/", "//"))


def printable(name: str) -> str:
    """Return a name that changes no terminal: control characters and broken bytes are shown."""
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)
    return shown.encode("utf-8", errors="backslashreplace").decode("utf-8")
