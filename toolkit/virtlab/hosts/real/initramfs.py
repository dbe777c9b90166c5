"""An initial RAM file system as bytes, the same for the same content.

Written here rather than by `cpio`, which takes owners, times and inode numbers from the files that
it finds, and device nodes only from root.

Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst, for the form "newc".
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["Entry", "device", "file", "initramfs", "link"]

_MAGIC = b"070701"
_END = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its mode with the bits of its kind, its bytes, and a device's numbers."""

    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)  # major, minor


def file(data: bytes, mode: int = 0o644) -> Entry:
    """Return an ordinary file."""
    return Entry(stat.S_IFREG | mode, data)


def link(target: str) -> Entry:
    """Return a symbolic link."""
    return Entry(stat.S_IFLNK | 0o777, target.encode())


def device(major: int, minor: int, mode: int = 0o600) -> Entry:
    """Return a character device."""
    return Entry(stat.S_IFCHR | mode, device=(major, minor))


def initramfs(entries: Mapping[str, Entry], folders: Iterable[str] = ()) -> bytes:
    """Return the archive; folders on the way to an entry are made.

    Args:
        entries: by their paths, such as "bin/busybox".
        folders: empty folders besides, such as "proc".
    """
    whole: dict[str, Entry] = {}
    for path in (*entries, *(f"{folder}/." for folder in folders)):
        for parent in PurePosixPath(path).parents if path in entries else [_folder_of(path)]:
            if str(parent) != ".":
                whole[str(parent)] = Entry(stat.S_IFDIR | 0o755)
    whole.update(entries)
    parts = [_record(path, whole[path], number) for number, path in enumerate(sorted(whole), 1)]
    parts.append(_record(_END, Entry(0), 0))
    return b"".join(parts)


def _folder_of(path: str) -> PurePosixPath:
    return PurePosixPath(path.removesuffix("/."))


def _record(path: str, entry: Entry, number: int) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0
    )  # fmt: skip
    head = _MAGIC + b"".join(b"%08X" % value for value in fields) + name
    return _padded(head) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
