"""A kernel's file unpacked, where QEMU can boot it so."""

from __future__ import annotations

import gzip
import struct

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.kernel_image import quick_to_boot

PVH_ENTRY, SOME_OTHER = 18, 5


def elf(*xen_notes: int) -> bytes:
    """Return an image of one segment, of notes, by the layout of elf.h."""
    notes = b"".join(
        struct.pack("<III", 4, 4, kind) + b"Xen\0" + b"\x50\x08\0\x01" for kind in (1, *xen_notes)
    )
    linux = struct.pack("<III", 6, 1, PVH_ENTRY) + b"Linux\0\0\0" + b"6\0\0\0"
    head = b"\x7fELF\x02" + bytes(27) + struct.pack("<Q", 64) + bytes(14) + b"\x38\0\x01\0"
    place = struct.pack("<IIQQQQ", 4, 0, 120, 0, 0, len(linux + notes))
    return head.ljust(64, b"\0") + place.ljust(56, b"\0") + linux + notes


def packed(payload: bytes, version: int = 0x020F) -> bytes:
    """Return a kernel's file of one setup sector, by the layout of boot.rst."""
    setup = bytearray(2 * 512)
    setup[0x1F1] = 1
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, version)
    struct.pack_into("<II", setup, 0x248, 16, len(payload) + 4)
    return bytes(setup) + bytes(16) + payload + b"size" + b"behind it"


def unpacked(kernel: bytes) -> bytes:
    return quick_to_boot(
        kernel, lz4=lambda data: b"lz4 " + data, zstd=lambda data: elf(PVH_ENTRY) + data[4:]
    )


def test_a_packed_kernel_is_unpacked() -> None:
    image = elf(SOME_OTHER, PVH_ENTRY)
    assert unpacked(packed(gzip.compress(image))) == image


def test_the_tool_of_its_form_unpacks_it() -> None:
    assert unpacked(packed(b"\x28\xb5\x2f\xfdrest")) == elf(PVH_ENTRY) + b"rest"


@pytest.mark.parametrize("image", [elf(SOME_OTHER), b"\x7fELF\x01" + elf(PVH_ENTRY)[5:], b"no ELF"])
def test_one_that_qemu_could_not_boot_stays_packed(image: bytes) -> None:
    kernel = packed(gzip.compress(image))
    assert unpacked(kernel) == kernel


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (bytes(2000), "has no boot header"),
        (packed(b"\x1f\x8b", version=0x0207), r"too old \(0x0207\)"),
        (packed(b"LZOP12"), r"unknown form \(4c 5a 4f 50 31 32\)"),
    ],
)
def test_what_cannot_be_read_is_told(kernel: bytes, said: str) -> None:
    with pytest.raises(EnvironmentLackError, match=said):
        unpacked(kernel)
