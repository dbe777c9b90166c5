"""A mirror in a folder of this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.images.pieces import PartialFile
from virtlab.images.source import SMALL_MAX_BYTES, NotThereError, OnBytes, too_large

__all__ = ["FolderSource"]

_CHUNK: Final = 1 << 20


class FolderSource:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()  # as what is noted of it outlasts where one stands

    def url(self, path: str) -> str:
        """Return the file's path."""
        return str(self._folder / path)

    def read(self, path: str) -> bytes:
        """Return a small file; see `Source`."""
        with self._open(path) as file:
            found = file.read(SMALL_MAX_BYTES + 1)
        if len(found) > SMALL_MAX_BYTES:
            raise too_large(self.url(path))
        return found

    def fetch(self, path: str, part: PartialFile, on_bytes: OnBytes) -> None:
        """Copy what a partial file lacks; see `Source`."""
        with self._open(path) as file:
            for first, last in part.missing():
                file.seek(first)
                at = first
                while at < last:
                    chunk = file.read(min(_CHUNK, last - at))
                    if not chunk:
                        raise InputError(
                            f"{self.url(path)} has {at} bytes where its index says "
                            f"{part.size_bytes}.",
                            fix="copy the mirror anew",
                        )
                    part.write(at, chunk)
                    at += len(chunk)
                part.note(first)
                on_bytes(part.done_bytes)

    def _open(self, path: str) -> BinaryIO:
        """Open a file; see `Source` for what is wrong with one."""
        try:
            # A pipe would be waited for, and end no more than a device.
            number = os.open(self._folder / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as err:
            raise _not_there(self.url(path)) from err
        except OSError as err:
            raise EnvironmentLackError(
                f"{self.url(path)} cannot be read: {err.strerror}", fix="look at its permissions"
            ) from err
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise InputError(
                f"{self.url(path)} is no file.", fix="name the folder above streams/v1/ of a mirror"
            )
        return os.fdopen(number, "rb")


def _not_there(url: str) -> NotThereError:
    return NotThereError(
        f"{url} is not there.", fix="name the folder or URL above streams/v1/ of a mirror"
    )
