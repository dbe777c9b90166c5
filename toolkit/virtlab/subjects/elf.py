"""What the head of a program tells: its machine, its loader, and whether Go built it.

Source: elf(5); the numbers of machines are in /usr/include/elf.h. Go's linker leaves a note whose
owner is "Go" (its `cmd/link/internal/ld/elf.go`), with and without C in the program.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["ElfHeader", "machine_here", "read_elf"]

_MAGIC = b"\x7fELF"
_HEADER_BYTES = 64
_TYPES = {1: "object", 2: "program", 3: "program or library", 4: "core"}
_MACHINES = {
    3: "x86",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC64",
    22: "s390x",
    40: "ARM",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}
_HERE = {
    "x86_64": "x86-64",
    "i686": "x86",
    "aarch64": "AArch64",
    "armv7l": "ARM",
    "ppc64le": "PowerPC64",
    "s390x": "s390x",
    "riscv64": "RISC-V",
    "loongarch64": "LoongArch",
}
_PT_INTERP, _PT_NOTE = 3, 4
_ENTRIES_MAX = 1_000
_SEGMENT_BYTES_MAX = 65_536  # of a loader's name or of notes; real ones have hundreds
_GO_OWNER = b"Go\0\0"


@dataclass(frozen=True, slots=True)
class ElfHeader:
    """A file in the format of Linux programs, objects and libraries."""

    machine: str  # such as "x86-64"
    kind: str  # "object", "program", "program or library", "core"
    loader: str | None  # the path of its dynamic loader; a static program has none
    go: bool  # linked by Go's tools

    @property
    def dynamic(self) -> bool:
        """Tell whether it names a dynamic loader, so that a library can be preloaded."""
        return self.loader is not None

    @property
    def runs(self) -> bool:
        """Tell whether it is a program: a library names no loader, a static program is type 2."""
        return self.kind == "program" or (self.kind == "program or library" and self.dynamic)


def machine_here() -> str:
    """Return this machine's name as `ElfHeader.machine` has it."""
    name = platform.machine()
    return _HERE.get(name, name)


def read_elf(path: Path) -> ElfHeader | None:
    """Return what a file's header tells; None for a file of another format, or a broken one."""
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER_BYTES)
            if len(header) < _HEADER_BYTES or header[:4] != _MAGIC:
                return None
            wide = header[4] == 2
            order = "<" if header[5] == 1 else ">"
            kind, machine = struct.unpack_from(order + "HH", header, 16)
            start = struct.unpack_from(order + ("Q" if wide else "I"), header, 32 if wide else 28)
            size, count = struct.unpack_from(order + "HH", header, 54 if wide else 42)
            stream.seek(start[0])
            table = stream.read(size * min(count, _ENTRIES_MAX))
            segments = [
                _segment(table, at, order, wide=wide)
                for at in range(0, len(table) - size + 1, max(size, 1))
            ]
            loader = next(_contents(stream, segments, _PT_INTERP), None)
            notes = b"".join(_contents(stream, segments, _PT_NOTE))
    except (OSError, struct.error, OverflowError, ValueError):
        return None
    return ElfHeader(
        machine=_MACHINES.get(machine, f"machine {machine}"),
        kind=_TYPES.get(kind, f"type {kind}"),
        loader=None if loader is None else loader.rstrip(b"\0").decode(errors="replace"),
        go=_GO_OWNER in notes,
    )


def _segment(table: bytes, at: int, order: str, *, wide: bool) -> tuple[int, int, int]:
    """Return (type, place in the file, bytes there) of an entry of the program header table."""
    kind, *words = struct.unpack_from(order + ("IIQQQQ" if wide else "IIIII"), table, at)
    return (kind, words[1], words[4]) if wide else (kind, words[0], words[3])


def _contents(
    stream: BinaryIO, segments: Iterable[tuple[int, int, int]], wanted: int
) -> Iterator[bytes]:
    """Yield what the segments of one type hold."""
    for kind, place, size in segments:
        if kind == wanted:
            stream.seek(place)
            yield stream.read(min(size, _SEGMENT_BYTES_MAX))
