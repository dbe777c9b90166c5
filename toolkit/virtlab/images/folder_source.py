"""A mirror in a folder of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.images.pieces import PartialFile
from virtlab.images.source import NotThereError, OnBytes

__all__ = ["FolderSource"]

_CHUNK: Final = 1 << 20


class FolderSource:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, path: str) -> str:
        """Return the file's path."""
        return str(self._folder / path)

    def read(self, path: str) -> bytes:
        """Return a small file; see `Source`."""
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError as err:
            raise _not_there(self.url(path)) from err
        except OSError as err:
            raise EnvironmentLackError(
                f"{self.url(path)} cannot be read: {err.strerror}", fix="look at its permissions"
            ) from err

    def fetch(self, path: str, part: PartialFile, on_bytes: OnBytes) -> None:
        """Copy what a partial file lacks; see `Source`."""
        try:
            file = (self._folder / path).open("rb")
        except FileNotFoundError as err:
            raise _not_there(self.url(path)) from err
        with file:
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


def _not_there(url: str) -> NotThereError:
    return NotThereError(
        f"{url} is not there.", fix="name the folder or URL above streams/v1/ of a mirror"
    )
