"""Removing guests: the domain, the volumes that are its own, and what was written for its ssh.

A volume goes only where the lab noted that it made it, or where a guest of the lab's has it as its
disk; and never while another domain has it, or a guest that gave way for a run.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from virtlab.errors import EnvironmentLackError
from virtlab.guests import uvt
from virtlab.guests.access import forget_access
from virtlab.guests.belongings import Belongings, forget, noted
from virtlab.guests.definition import attempt_of
from virtlab.guests.host import GuestHost, StandingGuest
from virtlab.guests.lock import AtWorkError, guest_lock, pool_lock
from virtlab.guests.names import guest_name, is_guest_name
from virtlab.guests.network import networks_of, unused_network_down
from virtlab.guests.places import POOL, drop, drop_unfinished, found_pool
from virtlab.hosts.real.guests import remove_guest
from virtlab.hosts.real.journal import Changes, Earlier, noted_changes

__all__ = [
    "OVERLAY",
    "SEED",
    "drop_belongings",
    "drop_leftovers",
    "half_made",
    "leftovers",
    "refuse_given_way",
    "remove",
    "remove_marked",
    "remove_named",
    "sweep",
]

OVERLAY: Final = "{}.guest.qcow2"  # a guest's volumes, by its name
SEED: Final = "{}.seed.img"
_ENDINGS: Final = tuple(form.removeprefix("{}") for form in (OVERLAY, SEED))


def remove_named(host: GuestHost, name: str, *, force: bool = False, check: bool = False) -> bool:
    """Remove a guest by its name; tell whether there was anything to remove.

    Args:
        host: where it is.
        name: the guest's.
        force: remove it also where uvt-kvm made it without the lab.
        check: only tell.

    Raises:
        UsageError: no guest may have this name.
        EnvironmentLackError: it is somebody else's, takes part in a run, or cannot be removed.
    """
    guest_name(name)
    if check:
        return _remove_named(host, name, force=force, check=True)
    with guest_lock(name):
        return _remove_named(host, name, force=force, check=False)


def _remove_named(host: GuestHost, name: str, *, force: bool, check: bool) -> bool:
    refuse_given_way(host, name)
    guest = host.find(name)
    if guest is None:
        left = any(one.files for one in leftovers(host) if one.name == name)
        if not check:
            drop_leftovers(host, name)
            forget_access(name)
        return left
    if guest.ours:
        if not check:
            remove(host, guest)
        return True
    by_uvt = uvt.made_by_uvt(guest)
    # One with an attempt's name is the lab's own, of a command that was killed before its mark.
    if not (by_uvt and force) and attempt_of(guest.tree) is None:
        raise EnvironmentLackError(
            f"The lab did not make {name}, so it is left alone.",
            fix="--force removes it with its disks, as uvt-kvm made it"
            if by_uvt
            else f"virsh destroy {name}, virsh undefine {name}, if you know that it may go",
        )
    if not check:
        uvt.destroy(host, name)
    return True


def remove_marked(host: GuestHost, name: str) -> None:
    """Remove a guest with the lab's mark, or a half-made one, whatever it is called.

    Raises:
        EnvironmentLackError: another command is at work on it, or it cannot be removed.
        LibvirtError: libvirtd refused it.
    """
    with guest_lock(name) if is_guest_name(name) else nullcontext():
        guest = host.find(name)
        if guest is not None and guest.ours:
            remove(host, guest)
        elif guest is not None and attempt_of(guest.tree) is not None:
            uvt.destroy(host, name)


def half_made(host: GuestHost) -> list[str]:
    """Return the guests that uvt-kvm made for a command that was killed before its mark."""
    return [
        guest.name for guest in host.all() if not guest.ours and attempt_of(guest.tree) is not None
    ]


def remove(host: GuestHost, guest: StandingGuest) -> None:
    """Remove a guest of the lab's, with all that belongs to it.

    Raises:
        EnvironmentLackError: something of it cannot be removed.
        LibvirtError: libvirtd refused it.
    """
    notes = guest.notes
    if notes is not None and notes.kind == "uvt":
        uvt.destroy(host, guest.name)
    else:
        own = None if notes is None or not notes.pool else _own(host, guest, notes.pool)
        remove_guest(host.connection, guest.name)
        if own is not None:
            drop_belongings(host, own)
    if is_guest_name(guest.name):  # a micro-guest of another name has none
        forget_access(guest.name)
    for network in sorted(networks_of(guest.tree)):
        unused_network_down(host.connection, network, host.descriptions())


def leftovers(host: GuestHost) -> list[Belongings]:
    """Return what was noted for guests that are not there, as far as no domain uses it.

    A killed command leaves such. What a run will give back is none of it.
    """
    there = {guest.uuid for guest in host.all()} | {one.uuid for one in _in_a_run(host)}
    here = str(host.connection.path.resolve())
    left = [one for one in noted() if one.host == here and one.uuid not in there]
    return [_unused(host, one) for one in left]


def sweep(host: GuestHost) -> list[str]:
    """Remove what is left over; return the files' names.

    What another command is at work on is passed over.

    Raises:
        EnvironmentLackError: one cannot be removed.
    """
    gone: list[str] = []
    for name in sorted({one.name for one in leftovers(host)}):
        with suppress(AtWorkError), guest_lock(name):
            gone += drop_leftovers(host, name)
    pool = found_pool(host.connection, POOL)
    if pool is not None:
        with suppress(AtWorkError), pool_lock(POOL, alone=True):
            gone += drop_unfinished(pool)
    return gone


def drop_leftovers(host: GuestHost, name: str) -> list[str]:
    """Remove what is left over of guests of this name; return the files' names.

    Raises:
        EnvironmentLackError: one cannot be removed.
    """
    return [
        file for one in leftovers(host) if one.name == name for file in drop_belongings(host, one)
    ]


def drop_belongings(host: GuestHost, found: Belongings) -> list[str]:
    """Remove files of a guest that is gone, and then its note; return the files' names.

    Raises:
        EnvironmentLackError: one cannot be removed.
    """
    unused = _unused(host, found)
    pool = found_pool(host.connection, found.pool) if unused.files else None
    names = [Path(file).name for file in unused.files]
    if pool is not None:
        for name in names:
            drop(pool, name)
    if not any(Path(file).exists() for one in _noted_of(found.uuid) for file in one.files):
        forget(found.uuid)
    return names


def refuse_given_way(host: GuestHost, name: str) -> None:
    """Refuse to touch a guest that gave way for a run and was not given back yet.

    Raises:
        EnvironmentLackError: it is such a one, or the run's journal cannot be read.
    """
    changes = noted_changes(host.connection.path) or Changes()
    if any(one.name == name for one in changes.replaced):
        raise EnvironmentLackError(
            f"A run has taken the place of the guest {name}, and will give it back.",
            fix="wait until the run has ended; virtlab host clean where it was killed",
        )


def _in_a_run(host: GuestHost) -> list[Earlier]:
    changes = noted_changes(host.connection.path) or Changes()
    return [*changes.adopted, *changes.replaced]


def _own(host: GuestHost, guest: StandingGuest, name: str) -> Belongings:
    """Return the files of a guest: those that were noted, and its disks that are named as ours."""
    pool = found_pool(host.connection, name)
    files = {file for one in _noted_of(guest.uuid) for file in one.files}
    if pool is not None:
        files |= {
            str(disk)
            for disk in guest.disks
            if disk.parent == pool.target and disk.name.endswith(_ENDINGS)
        }
    here = str(host.connection.path.resolve())
    return Belongings(guest.uuid, guest.name, here, name, tuple(sorted(files)))


def _noted_of(uuid: str) -> list[Belongings]:
    return [one for one in noted() if one.uuid == uuid]


def _unused(host: GuestHost, found: Belongings) -> Belongings:
    """Return it with those of its files alone that are there, and that nobody uses."""
    pool = found_pool(host.connection, found.pool)
    if pool is None:
        return replace(found, files=())
    used = set(pool.disks_in_use())
    for one in _in_a_run(host):
        sources = ElementTree.fromstring(one.xml).findall("devices/disk/source")
        used |= {Path(source.get("file", "")) for source in sources}
    used |= {path.resolve() for path in used}
    files = [
        file
        for file in map(Path, found.files)
        if file.parent == pool.target and file.exists() and not {file, file.resolve()} & used
    ]
    return replace(found, files=tuple(map(str, files)))
