"""Where guests lie and how they are reached: a storage pool, the volumes in it, and a network."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.guests.virsh import Virsh, VirshError

__all__ = [
    "POOL",
    "delete_volume",
    "image_of",
    "make_overlay",
    "network_up",
    "pool_up",
    "put_volume",
    "volumes",
]

POOL: Final = "virtlab"  # the lab's own, made on first use
_FOLDER: Final = "/var/lib/virtlab/pool"
_NETWORK_PACKAGES: Final = "libvirt-daemon-config-network dnsmasq-base iptables"
_QCOW2: Final = b"QFI\xfb"
_CHUNK: Final = 1 << 22
_OVERLAY: Final = """<volume>
  <name>{name}</name>
  <capacity unit='bytes'>{capacity}</capacity>
  <target><format type='qcow2'/></target>
  <backingStore><path>{backing}</path><format type='qcow2'/></backingStore>
</volume>
"""


def network_up(virsh: Virsh, name: str) -> None:
    """Have a network of libvirt's up; start it where it is down.

    Raises:
        EnvironmentLackError: it is not there, or cannot be started.
    """
    try:
        about = virsh("net-info", name)
    except VirshError as err:
        raise EnvironmentLackError(
            f"There is no network {name} on this host: {err}.",
            fix=f"sudo apt-get install {_NETWORK_PACKAGES}, then virsh net-define "
            "/usr/share/libvirt/networks/default.xml"
            if name == "default"
            else "virsh net-list --all shows those that are there",
        ) from err
    if _is(about, "Active"):
        return
    try:
        virsh("net-start", name)
    except VirshError as err:
        raise EnvironmentLackError(
            f"The network {name} is down and does not start: {err}.",
            fix=f"sudo apt-get install {_NETWORK_PACKAGES}, and look for another network of the "
            f"same addresses: virsh net-dumpxml {name}",
        ) from err


def pool_up(virsh: Virsh, name: str) -> None:
    """Have a storage pool active; the lab's own is made where it is missing.

    Raises:
        EnvironmentLackError: it is not there, or cannot be used.
    """
    try:
        about = virsh("pool-info", name)
    except VirshError as err:
        if name != POOL:
            raise EnvironmentLackError(
                f"There is no storage pool {name} on this host: {err}.",
                fix=f"virsh pool-define-as {name} dir --target FOLDER && virsh pool-start {name}, "
                "or leave --pool out for the lab's own",
            ) from err
        about = _own_pool(virsh)
    if not _is(about, "State", "running"):
        _do(virsh, f"The storage pool {name} does not start", "pool-start", name)


def _own_pool(virsh: Virsh) -> str:
    what = f"The lab's storage pool cannot be made in {_FOLDER}"
    _do(virsh, what, "pool-define-as", POOL, "dir", "--target", _FOLDER)
    _do(virsh, what, "pool-build", POOL)
    return virsh("pool-info", POOL)


def volumes(virsh: Virsh, pool: str) -> set[str]:
    """Return the names of the volumes in a pool."""
    _do(virsh, f"The storage pool {pool} cannot be read", "pool-refresh", pool)
    lines = virsh("vol-list", pool).splitlines()
    return {line.split()[0] for line in lines if line.strip()}


def image_of(virsh: Virsh, pool: str, file: Path) -> Path:
    """Take a qcow2 file into a pool, unless it is there already; return where it lies then.

    It is named by its content, so that the same image is kept once.

    Raises:
        InputError: the file cannot be read, or is no qcow2 image.
        EnvironmentLackError: there is no room.
    """
    name = f"image-{_content_hash(file)}.qcow2"
    whole = f"{name}.whole"  # there once all of it is, as one that was cut off looks the same
    there = volumes(virsh, pool)
    if not {name, whole} <= there:
        _upload(virsh, pool, name, file)
        put_volume(virsh, pool, whole, b"whole")
    return _path(virsh, pool, name)


def make_overlay(virsh: Virsh, pool: str, name: str, backing: Path, size_gib: int) -> Path:
    """Make a disk that begins as an image is; return where it lies.

    Raises:
        EnvironmentLackError: it cannot be made.
    """
    text = _OVERLAY.format(name=escape(name), capacity=size_gib << 30, backing=escape(str(backing)))
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(text)
        file.flush()
        _do(virsh, f"The disk {name} cannot be made", "vol-create", pool, file.name)
    return _path(virsh, pool, name)


def put_volume(virsh: Virsh, pool: str, name: str, content: bytes) -> Path:
    """Make a volume of these bytes; return where it lies.

    Raises:
        EnvironmentLackError: it cannot be made.
    """
    with tempfile.NamedTemporaryFile(suffix=".img") as file:
        file.write(content)
        file.flush()
        _upload(virsh, pool, name, Path(file.name))
    return _path(virsh, pool, name)


def delete_volume(virsh: Virsh, pool: str, name: str) -> None:
    """Remove a volume; one that is not there is well removed.

    Raises:
        EnvironmentLackError: libvirt refused it.
    """
    if name in volumes(virsh, pool):
        _do(virsh, f"The volume {name} cannot be removed", "vol-delete", "--pool", pool, name)


def _upload(virsh: Virsh, pool: str, name: str, file: Path) -> None:
    delete_volume(virsh, pool, name)
    size = f"{file.stat().st_size}b"
    what = f"{file} cannot be taken into the storage pool {pool}"
    _do(virsh, what, "vol-create-as", pool, name, size, "--format", "raw")
    _do(virsh, what, "vol-upload", "--pool", pool, name, str(file))


def _path(virsh: Virsh, pool: str, name: str) -> Path:
    return Path(virsh("vol-path", "--pool", pool, name).strip())


def _do(virsh: Virsh, what: str, *words: str) -> None:
    try:
        virsh(*words)
    except VirshError as err:
        raise EnvironmentLackError(
            f"{what}: {err}.", fix="look at the room that is left: df -h; and at virsh pool-list"
        ) from err


def _is(about: str, key: str, value: str = "yes") -> bool:
    return re.search(rf"^{key}: +{value}$", about, re.MULTILINE) is not None


def _content_hash(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as content:
            start = content.read(len(_QCOW2))
            if start != _QCOW2:
                raise InputError(
                    f"{file} is no image in the form qcow2.",
                    fix=f"qemu-img convert -O qcow2 {file} FILE.qcow2",
                )
            digest.update(start)
            while piece := content.read(_CHUNK):
                digest.update(piece)
    except OSError as err:
        raise InputError(f"{file} cannot be read: {err.strerror}.") from err
    return digest.hexdigest()[:16]
