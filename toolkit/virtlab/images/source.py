"""Where images come from: a simplestreams mirror over HTTP or in a folder, and what it offers."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from virtlab.errors import EnvironmentLackError, InputError, UsageError
from virtlab.images.pieces import PartialFile
from virtlab.images.signature import Clock, unsigned_text, verified
from virtlab.images.streams import StreamImage, parse_index, parse_products

__all__ = [
    "SMALL_MAX_BYTES",
    "UBUNTU_RELEASES",
    "Location",
    "NotThereError",
    "Source",
    "offered",
    "open_source",
    "too_large",
]

UBUNTU_RELEASES: Final = "https://cloud-images.ubuntu.com/releases/"
SMALL_MAX_BYTES: Final = 64 << 20  # the products of all of Ubuntu's releases take 2 MB
_STREAMS: Final = "streams/v1/"
_SIGNED: Final = _STREAMS + "index.sjson"
_UNSIGNED: Final = _STREAMS + "index.json"

OnBytes = Callable[[int], None]
OnSigned = Callable[[str, int], None]  # told a file's URL, and when it was signed: s since 1970


class NotThereError(InputError):
    """The source has no such file."""


class Source(Protocol):
    """A mirror."""

    def url(self, path: str) -> str:
        """Return where a file of it is, as messages and records name it."""

    def read(self, path: str) -> bytes:
        """Return a small file.

        Raises:
            NotThereError: it has none of this name.
            InputError: the file is larger than `SMALL_MAX_BYTES`.
            EnvironmentLackError: the source cannot be reached.
        """

    def fetch(self, path: str, part: PartialFile, on_bytes: OnBytes) -> None:
        """Bring what a partial file lacks; `on_bytes` is told how much is there.

        Raises:
            NotThereError, InputError: the source has no such file, or one of another size.
            EnvironmentLackError: the source cannot be reached, or breaks off.
            OSError: there is no room.
        """


@dataclass(frozen=True, slots=True)
class Location:
    """A source as the user named it."""

    base: str  # ends with a slash; paths of images are below it
    indexes: tuple[str, ...]  # the paths of the index to try in turn
    keyring: Path | None  # None: nothing is checked

    @classmethod
    def named(cls, source: str, keyring: Path | None) -> Location:
        """Return where a source's index is.

        Args:
            source: the URL or folder above `streams/v1/`, or that of an index itself.
            keyring: whose keys have to have signed it; None takes what is not signed, too.

        Raises:
            UsageError: the index is one that is never signed, and has to be.
        """
        base, found, name = source.rpartition(_STREAMS)
        if found and name.endswith((".json", ".sjson")):
            if keyring is not None and name.endswith(".json"):
                raise UsageError(
                    f"--source {source}: an index.json is not signed.",
                    fix=f"name {base}, whose index.sjson is, or say --no-authentication",
                )
            return cls(base or "./", (_STREAMS + name,), keyring)
        base = source if source.endswith("/") else source + "/"
        return cls(base, (_SIGNED,) if keyring is not None else (_SIGNED, _UNSIGNED), keyring)


@contextmanager
def open_source(base: str) -> Iterator[Source]:
    """Give the source at a URL or in a folder, for a while.

    Raises:
        UsageError: it is neither.
        EnvironmentLackError: what speaks HTTP is not installed.
    """
    try:
        parts = urllib.parse.urlsplit(base)
    except ValueError as err:
        raise UsageError(
            f"--source {base}: this is no URL: {err}.", fix=f"such as {UBUNTU_RELEASES}"
        ) from err
    if parts.scheme in ("http", "https") and parts.netloc:
        try:
            from virtlab.images.http_source import HttpSource
        except ImportError as err:
            raise EnvironmentLackError(
                "httpx is not installed, which reads sources over HTTP.",
                fix="pip install 'virtlab[real]'",
            ) from err
        with HttpSource(base) as source:
            yield source
        return
    from virtlab.images.folder_source import FolderSource

    local = parts.scheme == "file" and not parts.netloc
    folder = Path(urllib.parse.unquote(parts.path)) if local else Path(base)
    if not local and (parts.scheme or not folder.is_dir()):
        raise UsageError(
            f"--source {base}: this is neither an http(s) URL nor a folder.",
            fix=f"such as {UBUNTU_RELEASES}, or the folder above {_STREAMS} of a mirror",
        )
    yield FolderSource(folder)


def too_large(url: str) -> InputError:
    """Return that a file is larger than any index."""
    return InputError(
        f"{url} is larger than {SMALL_MAX_BYTES >> 20} MiB, so it is no index.",
        fix="name another source",
    )


def offered(
    source: Source,
    location: Location,
    on_signed: OnSigned = lambda _url, _signed_s: None,
    clock: Clock = time.time,
) -> list[StreamImage]:
    """Return all images that a source offers, by signed word unless the location needs none.

    Args:
        source: where to read.
        location: the source as it was named.
        on_signed: told of each file that is signed, and may refuse it.
        clock: seconds since 1970.

    Raises:
        InputError: the source's files are unsigned, changed, or no simplestreams files.
        EnvironmentLackError: it cannot be reached, or keyring or clock does not do.
    """
    index, data = _first(source, location)

    def text(path: str, data: bytes) -> bytes:
        if location.keyring is None:
            return unsigned_text(data)
        signed = verified(data, location.keyring, source.url(path), clock)
        on_signed(source.url(path), signed.signed_s)
        return signed.text

    found: list[StreamImage] = []
    for path in parse_index(text(index, data), source.url(index)):
        found += parse_products(text(path, source.read(path)), source.url(path))
    return found


def _first(source: Source, location: Location) -> tuple[str, bytes]:
    """Return the first index that is there, with its path."""
    for path in location.indexes[:-1]:
        try:
            return path, source.read(path)
        except NotThereError:
            continue
    return location.indexes[-1], source.read(location.indexes[-1])
