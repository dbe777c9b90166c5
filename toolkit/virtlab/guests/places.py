"""Where guests lie: volumes in a storage pool.

Volumes are files of a directory pool on this machine. Each is written under another name and
renamed when it is whole, so that one that was cut off never counts.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, InputError, UsageError
from virtlab.hosts.real.connection import HostConnection
from virtlab.images.image_file import read_header
from virtlab.images.pool import LibvirtPool

__all__ = ["POOL", "drop", "image_of", "make_overlay", "pool_of", "put_seed"]

POOL: Final = "virtlab"  # the lab's own, made on first use
_FOLDER: Final = Path("/var/lib/virtlab/pool")
_FOLDER_MODE: Final = "0711"  # QEMU's user goes through it, and lists nothing
_QCOW2: Final = b"QFI\xfb"
_CHUNK: Final = 1 << 22
_TOOL_TIMEOUT_S: Final = 60


def pool_of(connection: HostConnection, name: str) -> LibvirtPool:
    """Return a storage pool, active; the lab's own is made where it is missing.

    Raises:
        EnvironmentLackError: it is not there, or cannot be used.
    """
    found = LibvirtPool.found(connection, name)
    if found is None and name == POOL:
        found = LibvirtPool.made(connection, name, _FOLDER, mode=_FOLDER_MODE)
    if found is None:
        raise EnvironmentLackError(
            f"There is no storage pool {name} on this host.",
            fix=f"virsh pool-define-as {name} dir --target FOLDER; virsh pool-build {name}; virsh "
            f"pool-start {name}; or leave --pool out for the lab's own",
        )
    return found


def image_of(pool: LibvirtPool, file: Path) -> Path:
    """Take a qcow2 file into a pool, unless it is there already; return where it lies then.

    It is named by its content, so that the same image is kept once.

    Raises:
        InputError: the file cannot be read, or is no qcow2 image.
        EnvironmentLackError: it cannot be written there.
    """
    digest = hashlib.sha256()
    for piece in _pieces(file):
        digest.update(piece)
    path = pool.target / f"image-{digest.hexdigest()[:16]}.qcow2"
    if not path.exists():
        with _whole(path, 0o644) as fresh, fresh.open("wb") as copy:
            for piece in _pieces(file):
                copy.write(piece)
    pool.refresh()
    return path


def make_overlay(pool: LibvirtPool, name: str, backing: Path, size_gib: int) -> Path:
    """Make a disk that begins as an image is; return where it lies.

    Raises:
        UsageError: it would be smaller than the image.
        EnvironmentLackError: it cannot be made.
    """
    header = read_header(backing) if backing.is_file() else None
    if header is not None and header.virtual_size_bytes > size_gib << 30:
        least = -(-header.virtual_size_bytes >> 30)
        raise UsageError(
            f"a disk of {size_gib} GiB cannot hold the image {backing}.", fix=f"--disk {least}"
        )
    path = pool.target / name
    with _whole(path, 0o600) as fresh:
        backed = ("-b", str(backing), "-F", "qcow2")
        command = ["qemu-img", "create", "-q", "-f", "qcow2", *backed, str(fresh), f"{size_gib}G"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as err:
            raise EnvironmentLackError(
                f"qemu-img could not be run: {err}", fix="sudo apt-get install qemu-utils"
            ) from err
        if done.returncode != 0:
            raise EnvironmentLackError(
                f"the disk {path} cannot be made: {done.stderr.strip()}",
                fix="look at the room that is left: df -h",
            )
    pool.refresh()
    return path


def put_seed(pool: LibvirtPool, name: str, content: bytes) -> Path:
    """Make a volume of these bytes, which nobody else may read; return where it lies.

    Raises:
        EnvironmentLackError: it cannot be written.
    """
    path = pool.target / name
    with _whole(path, 0o600) as fresh:
        fresh.write_bytes(content)
    pool.refresh()
    return path


def drop(pool: LibvirtPool, name: str) -> None:
    """Remove a volume; one that is not there is well removed.

    Raises:
        EnvironmentLackError: it may not be removed.
    """
    path = pool.target / name
    try:
        path.unlink(missing_ok=True)
    except OSError as err:
        raise EnvironmentLackError(f"{path} cannot be removed: {err.strerror}", fix="sudo") from err
    pool.refresh()


@contextmanager
def _whole(path: Path, mode: int) -> Iterator[Path]:
    """Give a name to write to; what is written gets its own name at the end, or goes."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".virtlab-") as folder:
            fresh = Path(folder) / path.name
            yield fresh
            fresh.chmod(mode)
            fresh.rename(path)
    except OSError as err:
        raise EnvironmentLackError(
            f"{path} cannot be written: {err.strerror}",
            fix="be root, and look at the room that is left: df -h",
        ) from err


def _pieces(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as content:
            if content.read(len(_QCOW2)) != _QCOW2:
                raise InputError(
                    f"{file} is no image in the form qcow2.",
                    fix=f"qemu-img convert -O qcow2 {file} FILE.qcow2",
                )
            content.seek(0)
            while piece := content.read(_CHUNK):
                yield piece
    except OSError as err:
        raise InputError(f"{file} cannot be read: {err.strerror}.") from err
