"""Where guests lie: volumes in a storage pool.

Volumes are files of a directory pool on this machine. Each is written under another name and
renamed when it is whole, so that one that was cut off never counts.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, InputError, UsageError
from virtlab.hosts.real.connection import HostConnection
from virtlab.images.image_file import check_image, read_header
from virtlab.images.pool import LibvirtPool

__all__ = [
    "POOL",
    "content_of",
    "drop",
    "drop_unfinished",
    "found_pool",
    "image_of",
    "make_overlay",
    "pool_of",
    "put_seed",
]

POOL: Final = "virtlab"  # the lab's own, made on first use
_FOLDER: Final = Path("/var/lib/virtlab/pool")
_FOLDER_MODE: Final = "0711"  # QEMU's user goes through it, and lists nothing
_QCOW2: Final = b"QFI\xfb"
_UNFINISHED: Final = ".virtlab-"  # how folders begin in which a volume is written
_CHUNK: Final = 1 << 22
_TOOL_TIMEOUT_S: Final = 60


def pool_of(connection: HostConnection, name: str) -> LibvirtPool:
    """Return a storage pool, active; the lab's own is made where it is missing.

    Raises:
        EnvironmentLackError: it is not there, or cannot be used.
    """
    found = found_pool(connection, name)
    if found is None and name == POOL:
        found = LibvirtPool.made(connection, name, _FOLDER, mode=_FOLDER_MODE)
    if found is None:
        raise EnvironmentLackError(
            f"There is no storage pool {name} on this host.",
            fix=f"virsh pool-define-as {name} dir --target FOLDER; virsh pool-build {name}; virsh "
            f"pool-start {name}; or leave --pool out for the lab's own",
        )
    return found


def found_pool(connection: HostConnection, name: str) -> LibvirtPool | None:
    """Return a storage pool, active; None where there is none of this name.

    Raises:
        EnvironmentLackError: it cannot be used.
    """
    return LibvirtPool.found(connection, name, build=name == POOL)


def image_of(pool: LibvirtPool, file: Path) -> Path:
    """Take a qcow2 file into a pool, unless it is there already; return where it lies then.

    It is named by its content, so that the same image is kept once. What is kept stands alone: an
    image that names other files would show these to its guests.

    Raises:
        InputError: the file cannot be read, or is no qcow2 image that stands alone.
        EnvironmentLackError: it cannot be written there, or qemu-img is missing.
    """
    path = pool.target / _image_name(content_of(file))
    if not path.exists():
        path = _copied(pool.target, file)
    pool.refresh()
    return path


def content_of(file: Path) -> str:
    """Return what names a qcow2 file's content.

    Raises:
        InputError: the file cannot be read, or is no qcow2 image.
    """
    digest = hashlib.sha256()
    for piece in _pieces(file):
        digest.update(piece)
    return digest.hexdigest()


def _copied(folder: Path, file: Path) -> Path:
    """Copy an image; return where it lies, by what was copied, which may be newer than was seen."""
    digest = hashlib.sha256()
    with _unfinished(folder) as own:
        fresh = own / "image"
        with fresh.open("wb") as copy:
            for piece in _pieces(file):
                digest.update(piece)
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        check_image(fresh, str(file))
        fresh.chmod(0o644)
        return fresh.rename(folder / _image_name(digest.hexdigest()))


def _image_name(content: str) -> str:
    return f"image-{content[:16]}.qcow2"


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
        raise EnvironmentLackError(
            f"{path} cannot be removed: {err.strerror}", fix=f"as root: rm {path}"
        ) from err
    pool.refresh()


def drop_unfinished(pool: LibvirtPool) -> list[str]:
    """Remove what killed commands were writing in a pool; return its names.

    Nobody may be at work in the pool: `pool_lock`.
    """
    found = [path for path in pool.target.glob(f"{_UNFINISHED}*") if path.is_dir()]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in found)


@contextmanager
def _whole(path: Path, mode: int) -> Iterator[Path]:
    """Give a name to write to; what is written gets its own name at the end, or goes."""
    with _unfinished(path.parent) as folder:
        fresh = folder / path.name
        yield fresh
        fresh.chmod(mode)
        fresh.rename(path)


@contextmanager
def _unfinished(parent: Path) -> Iterator[Path]:
    """Give a folder beside what is to be written, which goes at the end."""
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=_UNFINISHED) as folder:
            yield Path(folder)
    except OSError as err:
        raise EnvironmentLackError(
            f"In {parent} nothing can be written: {err.strerror}",
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
        raise InputError(
            f"{file} cannot be read: {err.strerror}.", fix="name a file that you may read"
        ) from err
