"""A small FAT volume as bytes, the same for the same content.

cloud-init takes its seed from a volume labelled CIDATA that holds FAT or ISO 9660. It is FAT here,
because cloud images mount it at each boot for their EFI partition; ISO 9660 is a module that small
kernels lack, and without it a guest boots as if it had no seed. Written here, no tool is needed.

Source: Microsoft, "FAT32 File System Specification" 1.03 (FAT12, and names longer than 8.3).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

__all__ = ["vfat_volume"]

_SECTOR: Final = 512
_SECTORS: Final = 2048
_FAT_SECTORS: Final = 6  # 12 bits for each of fewer than 2048 clusters of one sector
_FATS: Final = 2
_ENTRIES: Final = 64  # of the root directory
_ENTRY_BYTES: Final = 32
_DATA: Final = 1 + _FATS * _FAT_SECTORS + _ENTRIES * _ENTRY_BYTES // _SECTOR  # its first sector
_MEDIA: Final = 0xF8  # a fixed disk
_END: Final = 0xFFF  # of a file's chain
_LABEL_ATTRIBUTE: Final = 0x08
_LONG_NAME: Final = 0x0F
_FILE: Final = 0x20
_DAY: Final = 0x21  # 1980-01-01, the first there is
_PART: Final = 13  # letters of a long name in one entry
_CASE: Final = 0  # nothing in lower case by flag


def vfat_volume(label: str, files: Mapping[str, bytes], serial: int = 0) -> bytes:
    """Return a volume of 1 MiB with these files in its root.

    Args:
        label: up to 11 letters in upper case.
        files: by their names.
        serial: the volume's number.

    Raises:
        ValueError: they do not fit.
    """
    entries = [_entry(_padded(label, 11), _LABEL_ATTRIBUTE)]
    chain, data = [_END & 0xF00 | _MEDIA, _END], b""
    for number, (name, content) in enumerate(sorted(files.items()), 1):
        first = len(chain) if content else 0
        clusters = -(-len(content) // _SECTOR)
        chain += [*range(first + 1, first + clusters), _END] if clusters else []
        data += content.ljust(clusters * _SECTOR, b"\0")
        short = _padded(f"FILE~{number}", 11)
        entries += [*_long_name(name, short), _entry(short, _FILE, first, len(content))]
    if len(entries) >= _ENTRIES or len(chain) - 2 > _SECTORS - _DATA:
        raise ValueError(f"{len(files)} files of {len(data)} bytes do not fit into the volume")
    fat = _packed(chain).ljust(_FAT_SECTORS * _SECTOR, b"\0")
    root = b"".join(entries).ljust(_ENTRIES * _ENTRY_BYTES, b"\0")
    return (_boot_sector(label, serial) + fat * _FATS + root + data).ljust(
        _SECTORS * _SECTOR, b"\0"
    )


def _boot_sector(label: str, serial: int) -> bytes:
    head = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x3c\x90", b"MSWIN4.1", _SECTOR, 1, 1, _FATS, _ENTRIES, _SECTORS, _MEDIA,
        _FAT_SECTORS, 32, 2, 0, 0,
    )  # fmt: skip
    more = struct.pack("<BBBI11s8s", 0x80, 0, 0x29, serial, _padded(label, 11), b"FAT12   ")
    return (head + more).ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"


def _packed(chain: list[int]) -> bytes:
    """Return 12-bit numbers, two in three bytes."""
    pairs = [*chain, 0] if len(chain) % 2 else chain
    return b"".join(
        (pairs[i] | pairs[i + 1] << 12).to_bytes(3, "little") for i in range(0, len(pairs), 2)
    )


def _entry(short: bytes, attribute: int, first: int = 0, size: int = 0) -> bytes:
    return struct.pack(
        "<11sBBBHHHHHHHI", short, attribute, _CASE, 0, 0, _DAY, _DAY, 0, 0, _DAY, first, size
    )


def _long_name(name: str, short: bytes) -> list[bytes]:
    """Return the entries that hold a long name, last part first, before its short one."""
    parts = [name[at : at + _PART] for at in range(0, len(name), _PART)]
    check = 0
    for byte in short:
        check = ((check & 1) << 7 | check >> 1) + byte & 0xFF
    entries = []
    for number, part in enumerate(parts, 1):
        text = part.encode("utf-16-le")
        if len(part) < _PART:
            text = (text + b"\0\0").ljust(2 * _PART, b"\xff")
        order = number | (0x40 if number == len(parts) else 0)
        head = struct.pack("<B10sBBB", order, text[:10], _LONG_NAME, 0, check)
        entries.append(head + text[10:22] + b"\0\0" + text[22:])
    return entries[::-1]


def _padded(text: str, length: int) -> bytes:
    data = text.encode("ascii")
    if len(data) > length:
        raise ValueError(f"{text} is longer than {length} letters")
    return data.ljust(length)
