"""A disk image as a file: what its header says, and whether it may be the base of guests.

Source: docs/interop/qcow2.txt of QEMU.
"""

from __future__ import annotations

import json
import os
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
_FEATURES: Final = struct.Struct(">Q")  # incompatible_features, of version 3
_FEATURES_AT: Final = 72
_DATA_FILE: Final = 1 << 2
_NAME_MAX: Final = 1023  # bytes of a backing file's name
_DEPTH_MAX: Final = 64  # of disks that are built on each other
# Of formats whose disks can be built on others, too: QED, VMDK, VHDX, VDI.
_OTHERS: Final = (b"QED\0", b"KDMV", b"# Disk DescriptorFile", b"vhdxfile", b"<<< ")
_QEMU_IMG: Final = "qemu-img"
# What qemu-img says where the reason is no matter of the image's content.
_NOT_OF_CONTENT: Final = (
    "Permission denied", "Failed to get", "Input/output error", "No such file",
)  # fmt: skip
_TIMEOUT_S: Final = 600  # qemu-img check reads all tables of an image; a cloud image takes seconds


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes of a qcow2 say."""

    virtual_size_bytes: int
    has_backing_file: bool
    has_data_file: bool
    backing: tuple[int, int] = (0, 0)  # where the backing file's name stands, and its length


def read_header(path: Path) -> Header | None:
    """Return a qcow2's header; None where the file is another thing."""
    with path.open("rb") as file:
        start = file.read(_FEATURES_AT + _FEATURES.size)
    if len(start) < _HEADER.size or not start.startswith(_MAGIC):
        return None
    _magic, version, backing_offset, backing_size, _bits, size = _HEADER.unpack_from(start)
    features = 0
    if version >= 3 and len(start) == _FEATURES_AT + _FEATURES.size:
        [features] = _FEATURES.unpack_from(start, _FEATURES_AT)
    data_file = bool(features & _DATA_FILE)
    return Header(size, backing_offset != 0, data_file, (backing_offset, backing_size))


def check_image(path: Path, name: str) -> Header:
    """Return the header of an image that stands alone and whose tables are whole.

    A backing or data file would have guests read any file of the host that the image names. So any
    image that somebody else made has to go through here before a guest is built on it.

    Args:
        path: the file.
        name: by which messages speak of it.

    Raises:
        InputError: it is no such image.
        EnvironmentLackError: qemu-img is missing, or cannot look at the file.
    """
    header = read_header(path)
    if header is None:
        raise InputError(
            f"{name}: this is no qcow2 image.", fix="take another image, or name another source"
        )
    # The header first: qemu-img would open what the image names.
    if header.has_backing_file:
        raise _unsafe(name, "it names a backing file")
    if header.has_data_file:
        raise _unsafe(name, "it keeps its data in another file")
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
            fix="take another image, or name another source: the file is as it was given",
        )
    return header


def files_behind(disks: Iterable[Path]) -> frozenset[Path]:
    """Return disks and all files that they are built on.

    Only headers are read: no program opens what a guest wrote to its disk. A raw disk that begins
    like a qcow2 counts as one, so that rather too much than too little is in use.

    Raises:
        EnvironmentLackError: of a disk that is there it cannot be seen.
    """
    behind: set[Path] = set()
    for disk in sorted(disks):
        behind |= {disk, disk.resolve()}
        at: Path | None = disk
        for _level in range(_DEPTH_MAX):
            if at is None:
                break
            at = _built_on(at, disk)
            behind |= {at, at.resolve()} if at is not None else set()
        else:
            raise _unseen(disk, f"it is built on more than {_DEPTH_MAX} others")
    return frozenset(behind)


def _built_on(path: Path, disk: Path) -> Path | None:
    """Return the file that one of a disk's files is built on; None where it stands alone.

    Raises:
        EnvironmentLackError: it cannot be seen.
    """
    try:
        if not path.exists():
            if path is disk:
                return None
            raise _unseen(disk, f"{path} is not there")
        if not (path.is_file() or path.is_block_device()):  # a pipe would be waited for
            return None
        header = read_header(path)
        with path.open("rb") as file:
            if header is None:
                if file.read(32).startswith(_OTHERS):
                    raise _unseen(disk, f"{path} is of a format that is not read here")
                return None
            offset, length = header.backing
            if not header.has_backing_file:
                return None
            file.seek(offset)
            name = os.fsdecode(file.read(min(length, _NAME_MAX)))
    except (OSError, OverflowError) as err:
        raise _unseen(disk, f"{path} cannot be read") from err
    name = name.removeprefix("file:")
    if name.startswith("json:") or "\0" in name:
        raise _unseen(disk, f"{path} names it in a way that is not read here")
    # A colon before the first slash: on the net, or a driver's.
    return None if ":" in name.partition("/")[0] else path.parent / name


def _unseen(disk: Path, why: str) -> EnvironmentLackError:
    return EnvironmentLackError(
        f"{disk}: what this disk is built on cannot be seen, so nothing is removed: {why}.",
        fix=f"look at it: sudo qemu-img info --backing-chain {disk}",
    )


def _asked(verb: str, path: Path, name: str) -> Any:
    """Return what qemu-img says of an image."""
    # With the format, as else a crafted file could choose its own driver.
    environment = {**os.environ, "LC_ALL": "C"}  # whose words are known
    command = [_QEMU_IMG, verb, "--output=json", "-f", "qcow2", str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment
        )
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
        if any(word in done.stderr for word in _NOT_OF_CONTENT):
            raise EnvironmentLackError(
                f"{name}: qemu-img cannot look at it: {said[-1]}",
                fix="look whether a guest writes to it, and at the rights: sudo ls -l FILE",
            ) from err
        raise InputError(
            f"{name}: qemu-img cannot read it: {said[-1] if said else done.returncode}",
            fix="take another image, or name another source",
        ) from err


def _unsafe(name: str, why: str) -> InputError:
    return InputError(
        f"{name}: {why}, so it is refused.", fix="take an image of a source that you trust"
    )
