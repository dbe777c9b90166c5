"""Making a guest: all checked first, then each part, and nothing left of one that came to nothing.

A guest that is there already and is what was asked for is left as it is, and started where it is
off; so whoever was interrupted runs the same again. What a killed run left, volumes without a
guest, is removed before the guest is made.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from virtlab.errors import EnvironmentLackError, UsageError
from virtlab.guests import uvt
from virtlab.guests.definition import Notes, Wanted, described, mark_of
from virtlab.guests.host import GuestHost, StandingGuest
from virtlab.guests.keys import LoginKey, new_host_key
from virtlab.guests.names import guest_name
from virtlab.guests.network import network_up, unused_network_down
from virtlab.guests.places import POOL, image_of, make_overlay, pool_of, put_seed
from virtlab.guests.removal import OVERLAY, SEED, remove, remove_parts
from virtlab.guests.seed import Seed
from virtlab.hosts.real.guests import MARK
from virtlab.libvirt_rpc.errors import LibvirtError

__all__ = ["CloudImage", "Order", "create", "would_change"]

LOGIN: Final = "lab"  # the user that the seed makes
_SERIAL: Final = Path("/var/log/virtlab")
_MEMORY_KIB_MIN: Final = 256 * 1024  # systemd and cloud-init leave 97 of 256 MiB free (measured)
_ELEMENT: Final = 2  # VIR_DOMAIN_METADATA_ELEMENT
_LIVE_AND_STORED: Final = 3  # VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG
_PREFIX: Final = "lab"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CloudImage:
    """An image in libvirt's storage, or a file that is taken there."""

    path: Path
    pool: str | None = None  # None: a file that lies in no pool yet


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a guest, what it begins as, and who will log in."""

    wanted: Wanted
    kind: Literal["cloud", "uvt"]
    image: CloudImage | uvt.Release
    key: LoginKey
    pool: str = POOL

    @property
    def name_of_all(self) -> str:
        """Return what tells this order from another one of the same name."""
        text = f"{self.kind} {self.wanted} {self.image}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def create(host: GuestHost, order: Order, progress: Progress = lambda _line: None) -> bool:
    """Have a guest there and running; tell whether anything was changed for it.

    Raises:
        UsageError: the guest cannot be as it was asked for.
        EnvironmentLackError: the name is taken, or something that it needs is missing.
    """
    wanted = order.wanted
    if not would_change(host, order):
        return False
    there = host.find(wanted.name)
    if there is not None:
        network_up(host.connection, wanted.network)
        host.call("DOMAIN_CREATE", there.dom)
        return True
    network_up(host.connection, wanted.network)
    make = _made_of_image if order.kind == "cloud" else _made_by_uvt
    try:
        make(host, order, progress)
    except BaseException:  # a Ctrl-C as well
        _undo(host, order)
        raise
    return True


def would_change(host: GuestHost, order: Order) -> bool:
    """Tell whether `create` would change anything; errors are those of it as far as that is seen.

    Raises:
        UsageError: the guest cannot be as it was asked for.
        EnvironmentLackError: the name is taken.
    """
    _check(order.wanted)
    there = host.find(order.wanted.name)
    if there is None:
        return True
    _same_or_refuse(there, order)
    return not there.running


def _check(wanted: Wanted) -> None:
    guest_name(wanted.name)
    if wanted.memory_kib < _MEMORY_KIB_MIN:
        raise UsageError(
            f"{wanted.name}: {wanted.memory_kib // 1024} MiB are too few for a guest with a system "
            f"of its own.",
            fix=f"--memory {_MEMORY_KIB_MIN // 1024} or more, or a micro-guest",
        )
    if wanted.max_memory_kib < wanted.memory_kib:
        raise UsageError(
            f"{wanted.name}: its largest size of {wanted.max_memory_kib // 1024} MiB is below its "
            f"size of {wanted.memory_kib // 1024} MiB.",
            fix="raise --max-memory, or leave it out",
        )


def _same_or_refuse(there: StandingGuest, order: Order) -> None:
    name = there.name
    if not there.ours:
        raise EnvironmentLackError(
            f"There is a domain {name} on this host that the lab did not make.",
            fix="take another name, or remove that domain yourself",
        )
    if there.notes is None or there.notes.asked != order.name_of_all:
        raise EnvironmentLackError(
            f"There is a guest {name} of the lab's already, and it is another one than asked for.",
            fix=f"virtlab guests destroy {name} first, or take another name",
        )


def _made_of_image(host: GuestHost, order: Order, progress: Progress) -> None:
    wanted, image = order.wanted, order.image
    assert isinstance(image, CloudImage)
    pool = pool_of(host.connection, order.pool)
    remove_parts(host, order.pool, wanted.name)
    backing = image.path
    if image.pool is None:
        progress(f"{wanted.name}: taking {image.path} into the storage pool {order.pool}")
        backing = image_of(pool, image.path)
    progress(f"{wanted.name}: making its disk and its seed")
    host_key = new_host_key(wanted.name)
    # libvirt gives each domain another network card, so no earlier lease is taken for this one's.
    seed = Seed(wanted.name, f"lab-{uuid.uuid4()}", LOGIN, order.key.public, host_key)
    disk = make_overlay(pool, OVERLAY.format(wanted.name), backing, wanted.disk_gib)
    volume = put_seed(pool, SEED.format(wanted.name), seed.volume())
    text = described(wanted, _notes(order, LOGIN, host_key.public), disk, volume, _log(wanted))
    _start(host, text, wanted.name)


def _start(host: GuestHost, text: str, name: str) -> None:
    try:
        dom = host.call("DOMAIN_DEFINE_XML", text).dom
        host.call("DOMAIN_CREATE", dom)
    except LibvirtError as err:
        raise EnvironmentLackError(
            f"libvirt does not start {name}: {err.message}",
            fix="virtlab doctor shows what the machine lacks; --accelerator qemu emulates",
        ) from err


def _made_by_uvt(host: GuestHost, order: Order, progress: Progress) -> None:
    wanted, release = order.wanted, order.image
    assert isinstance(release, uvt.Release)
    progress(f"{wanted.name}: uvt-kvm makes it of {release}")
    guest = uvt.create(host, wanted, release, order.key, _log(wanted))
    notes = _notes(order, uvt.LOGIN, uvt.host_key_of(guest))
    call = host.call
    call(
        "DOMAIN_SET_METADATA", guest.dom, _ELEMENT, mark_of(notes), _PREFIX, MARK, _LIVE_AND_STORED
    )
    if wanted.memory_kib != wanted.max_memory_kib:
        call("DOMAIN_SET_MEMORY_FLAGS", guest.dom, wanted.memory_kib, _LIVE_AND_STORED)


def _notes(order: Order, login: str, host_key: str) -> Notes:
    key = order.key
    return Notes(
        kind=order.kind,
        login=login,
        identity="" if key.identity is None else str(key.identity.absolute()),
        public_key=key.public,
        host_key=" ".join(host_key.split()[:2]),
        pool=order.pool if order.kind == "cloud" else "",
        asked=order.name_of_all,
    )


def _undo(host: GuestHost, order: Order) -> None:
    """Remove what there is of a guest that came to nothing; what fails now is left for later."""
    name = order.wanted.name
    try:
        guest = host.find(name)
        if guest is not None and guest.ours:
            remove(host, guest)
        elif order.kind == "cloud":
            remove_parts(host, order.pool, name)
        elif guest is not None and uvt.made_by_uvt(guest):  # a moment ago, as the name was free
            uvt.destroy(host, name)
        trees = [other.tree for other in host.all()]
        unused_network_down(host.connection, order.wanted.network, trees)
    except (EnvironmentLackError, LibvirtError):
        return


def _log(wanted: Wanted) -> Path | None:
    """Return where a guest's serial console goes; None where no such folder can be had."""
    try:
        _SERIAL.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return _SERIAL / f"{wanted.name}.log"
