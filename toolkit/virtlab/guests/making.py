"""Making a guest: all checked first, then each part, and nothing left of one that came to nothing.

A guest that is there already and is what was asked for is left as it is, and started where it is
off; so whoever was interrupted runs the same again. What a killed run left, volumes without a
guest, is removed before the guest is made.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, UsageError
from virtlab.guests import uvt
from virtlab.guests.belongings import Belongings, note, noted
from virtlab.guests.definition import Notes, Wanted, attempt_of, described, mark_of
from virtlab.guests.host import GuestHost, StandingGuest
from virtlab.guests.keys import new_host_key
from virtlab.guests.lock import guest_lock, pool_lock
from virtlab.guests.names import guest_name
from virtlab.guests.network import network_up, unused_network_down
from virtlab.guests.order import CloudImage, Order, other_than
from virtlab.guests.places import image_of, make_overlay, pool_of, put_seed
from virtlab.guests.removal import (
    OVERLAY,
    SEED,
    drop_belongings,
    drop_leftovers,
    refuse_given_way,
    remove,
)
from virtlab.guests.seed import Seed
from virtlab.hosts.real.guests import MARK
from virtlab.libvirt_rpc.errors import LibvirtError

__all__ = ["create", "refuse_impossible", "would_change"]

LOGIN: Final = "lab"  # the user that the seed makes
_SERIAL: Final = Path("/var/log/virtlab")
_MEMORY_KIB_MIN: Final = 256 * 1024  # systemd and cloud-init leave 97 of 256 MiB free (measured)
_ELEMENT: Final = 2  # VIR_DOMAIN_METADATA_ELEMENT
_LIVE_AND_STORED: Final = 3  # VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG
_PREFIX: Final = "lab"

Progress = Callable[[str], None]


def create(host: GuestHost, order: Order, progress: Progress = lambda _line: None) -> bool:
    """Have a guest there and running; tell whether anything was changed for it.

    Raises:
        UsageError: the guest cannot be as it was asked for.
        EnvironmentLackError: the name is taken, or something that it needs is missing.
    """
    with guest_lock(order.wanted.name):
        return _create(host, order, progress)


def _create(host: GuestHost, order: Order, progress: Progress) -> bool:
    wanted = order.wanted
    if not would_change(host, order):
        return False
    there = host.find(wanted.name)
    if there is not None and there.ours:
        network_up(host.connection, wanted.network)
        host.call("DOMAIN_CREATE", there.dom)
        return True
    if there is not None:
        progress(f"{wanted.name}: removing what an interrupted command left of it")
        uvt.destroy(host, wanted.name)
    network_up(host.connection, wanted.network)
    attempt = uuid.uuid4().hex
    make = _made_of_image if order.kind == "cloud" else _made_by_uvt
    try:
        make(host, order, attempt, progress)
    except BaseException:  # a Ctrl-C as well
        _undo(host, order, attempt)
        raise
    return True


def would_change(host: GuestHost, order: Order) -> bool:
    """Tell whether `create` would change anything; errors are those of it as far as that is seen.

    Raises:
        UsageError: the guest cannot be as it was asked for.
        EnvironmentLackError: the name is taken.
    """
    refuse_impossible(order.wanted)
    name = order.wanted.name
    refuse_given_way(host, name)
    there = host.find(name)
    if there is None or (not there.ours and attempt_of(there.tree) is not None):
        return True
    _same_or_refuse(there, order)
    return not there.running


def refuse_impossible(wanted: Wanted) -> None:
    """Refuse what no guest can be.

    Raises:
        UsageError: it names what to mend.
    """
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
    if (other := other_than(there, order)) is not None:
        raise EnvironmentLackError(
            f"There is a guest {name} of the lab's already, and it is another one than asked for: "
            f"{other}.",
            fix=f"virtlab guests destroy {name} first, or take another name",
        )


def _made_of_image(host: GuestHost, order: Order, attempt: str, progress: Progress) -> None:
    wanted, image = order.wanted, order.image
    assert isinstance(image, CloudImage)
    pool = pool_of(host.connection, order.pool)
    with pool_lock(order.pool, alone=False):
        drop_leftovers(host, wanted.name)
        disk, volume = (pool.target / form.format(wanted.name) for form in (OVERLAY, SEED))
        _refuse_taken(order.pool, disk, volume)
        backing = image.path
        if image.pool is None:
            progress(f"{wanted.name}: taking {image.path} into the storage pool {order.pool}")
            backing = image_of(pool, image.path)
        progress(f"{wanted.name}: making its disk and its seed")
        host_key = new_host_key(wanted.name)
        # libvirt gives each domain another network card, so no earlier lease is taken for this
        # one's.
        seed = Seed(wanted.name, f"lab-{uuid.uuid4()}", LOGIN, order.key.public, host_key)
        here = str(host.connection.path.resolve())
        note(Belongings(attempt, wanted.name, here, order.pool, (str(disk), str(volume))))
        make_overlay(pool, disk.name, backing, wanted.disk_gib)
        put_seed(pool, volume.name, seed.volume())
        notes = _notes(order, LOGIN, host_key.public)
        text = described(wanted, notes, disk, volume, _log(wanted), str(uuid.UUID(attempt)))
        _start(host, text, wanted.name)


def _refuse_taken(pool: str, *files: Path) -> None:
    """Refuse to write over volumes of which the lab has no note, or which somebody uses."""
    for file in files:
        if file.exists():
            raise EnvironmentLackError(
                f"{file} is there already, and not as what an interrupted command left.",
                fix="take another name, or remove it if no guest needs it: "
                f"virsh vol-delete --pool {pool} {file.name}",
            )


def _start(host: GuestHost, text: str, name: str) -> None:
    try:
        dom = host.call("DOMAIN_DEFINE_XML", text).dom
        host.call("DOMAIN_CREATE", dom)
    except LibvirtError as err:
        raise EnvironmentLackError(
            f"libvirt does not start {name}: {err.message}",
            fix="virtlab doctor shows what the machine lacks; --accelerator qemu emulates",
        ) from err


def _made_by_uvt(host: GuestHost, order: Order, attempt: str, progress: Progress) -> None:
    wanted, release = order.wanted, order.image
    assert isinstance(release, uvt.Release)
    progress(f"{wanted.name}: uvt-kvm makes it of {release}")
    guest = uvt.create(host, wanted, release, order.key, _log(wanted), attempt)
    notes = _notes(order, uvt.LOGIN, uvt.host_key_of(guest))
    call = host.call
    if wanted.memory_kib != wanted.max_memory_kib:
        call("DOMAIN_SET_MEMORY_FLAGS", guest.dom, wanted.memory_kib, _LIVE_AND_STORED)
    # The mark comes last: with it the guest counts as made.
    call(
        "DOMAIN_SET_METADATA", guest.dom, _ELEMENT, mark_of(notes), _PREFIX, MARK, _LIVE_AND_STORED
    )


def _notes(order: Order, login: str, host_key: str) -> Notes:
    key, image = order.key, order.image
    return Notes(
        kind=order.kind,
        login=login,
        identity="" if key.identity is None else str(key.identity.absolute()),
        public_key=key.public,
        host_key=" ".join(host_key.split()[:2]),
        pool=order.pool if order.kind == "cloud" else "",
        asked=order.name_of_all,
        image=order.image_means,
        version=image.version if isinstance(image, CloudImage) else "",
    )


def _undo(host: GuestHost, order: Order, attempt: str) -> None:
    """Remove what this attempt made of a guest; what fails now is left for later.

    A guest of the same name that somebody else made meanwhile is none of it.
    """
    try:
        guest = host.find(order.wanted.name)
        if guest is not None and attempt in (guest.uuid, attempt_of(guest.tree)):
            if guest.ours:
                remove(host, guest)
            else:
                uvt.destroy(host, guest.name)
        for one in noted():
            if one.uuid == attempt:
                drop_belongings(host, one)
        unused_network_down(host.connection, order.wanted.network, host.descriptions())
    except (EnvironmentLackError, LibvirtError):
        return


def _log(wanted: Wanted) -> Path | None:
    """Return where a guest's serial console goes, emptied; None where no such folder can be had."""
    path = _SERIAL / f"{wanted.name}.log"
    try:
        _SERIAL.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # the last words of an earlier one
    except OSError:
        return None
    return path
