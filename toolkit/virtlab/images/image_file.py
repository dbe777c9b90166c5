"""A disk image as a file: what its header says, and whether it may be the base of guests.

Source: docs/interop/qcow2.txt of QEMU.
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from virtlab.errors import EnvironmentLackError, InputError

__all__ = ["Header", "check_image", "files_behind", "read_header"]

_MAGIC: Final = b"QFI\xfb"
# magic, version, backing_file_offset, backing_file_size, cluster_bits, size
_HEADER: Final = struct.Struct(">4sIQIIQ")
_QEMU_IMG: Final = "qemu-img"
_TIMEOUT_S: Final = 600  # qemu-img check reads all tables of an image; a cloud image takes seconds


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes of a qcow2 say."""

    virtual_size_bytes: int
    has_backing_file: bool


def read_header(path: Path) -> Header | None:
    """Return a qcow2's header; None where the file is another thing."""
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    if len(start) < _HEADER.size or not start.startswith(_MAGIC):
        return None
    _magic, _version, backing_offset, _backing_size, _bits, size = _HEADER.unpack(start)
    return Header(size, backing_offset != 0)


def check_image(path: Path, name: str) -> Header:
    """Return the header of an image that stands alone and whose tables are whole.

    A backing or data file would have guests read any file of the host that the image names.

    Args:
        path: the file.
        name: by which messages speak of it.

    Raises:
        InputError: it is no such image.
        EnvironmentLackError: qemu-img is missing.
    """
    header = read_header(path)
    if header is None:
        raise InputError(
            f"{name}: this is no qcow2 image.", fix="the source serves something else: name another"
        )
    # The header first: with a backing file qemu-img would open what the image names.
    if header.has_backing_file:
        raise _unsafe(name, "it names a backing file")
    found = _asked("info", path, name)
    if "backing-filename" in found:
        raise _unsafe(name, "it names a backing file")
    if "data-file" in found.get("format-specific", {}).get("data", {}):
        raise _unsafe(name, "it keeps its data in another file")
    if found.get("encrypted"):
        raise _unsafe(name, "it is encrypted")
    checked = _asked("check", path, name)
    if checked.get("corruptions") or checked.get("check-errors"):
        raise InputError(
            f"{name}: the image is damaged ({checked.get('corruptions', 0)} corruptions, "
            f"{checked.get('check-errors', 0)} errors).",
            fix="name another source; this one serves a damaged image under a right checksum",
        )
    return header


def files_behind(disks: Iterable[Path]) -> frozenset[Path]:
    """Return disks and all files that they are built on.

    Raises:
        EnvironmentLackError: of a disk that is there it cannot be seen.
    """
    behind: set[Path] = set()
    for disk in sorted(disks):
        if not disk.exists():
            behind.add(disk)
            continue
        try:
            chain = _asked("info", disk, str(disk), "--force-share", "--backing-chain")
        except InputError as err:
            raise EnvironmentLackError(
                f"{disk}: what this disk is built on cannot be seen, so nothing is removed.",
                fix=f"look at it: sudo qemu-img info --backing-chain {disk}",
            ) from err
        for one in chain:
            behind.add(Path(one["filename"]))
            behind.add(Path(one["filename"]).resolve())
    return frozenset(behind)


def _asked(verb: str, path: Path, name: str, *words: str) -> Any:
    """Return what qemu-img says of an image."""
    forced = [] if words else ["-f", "qcow2"]  # else a crafted file could choose its own driver
    command = [_QEMU_IMG, verb, "--output=json", *forced, *words, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
        return json.loads(done.stdout)
    except FileNotFoundError as err:
        raise EnvironmentLackError(
            f"{_QEMU_IMG} is not installed, so {name} cannot be looked at.",
            fix="sudo apt-get install -y --no-install-recommends qemu-utils (Fedora: dnf install "
            "qemu-img)",
        ) from err
    except subprocess.TimeoutExpired as err:
        raise EnvironmentLackError(
            f"{name}: qemu-img {verb} found no end in {_TIMEOUT_S} s", fix="look at the disk's load"
        ) from err
    except ValueError as err:
        said = done.stderr.strip().splitlines()
        raise InputError(
            f"{name}: qemu-img cannot read it: {said[-1] if said else done.returncode}",
            fix="remove the file, and sync again",
        ) from err


def _unsafe(name: str, why: str) -> InputError:
    return InputError(f"{name}: {why}, so it is refused.", fix="name a source that you trust")
