"""Removing guests: the domain, the volumes that are its own, and what was written for its ssh."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.guests import uvt
from virtlab.guests.access import forget_access
from virtlab.guests.host import GuestHost, StandingGuest
from virtlab.guests.names import guest_name, is_guest_name
from virtlab.guests.network import networks_of, unused_network_down
from virtlab.guests.places import POOL, drop
from virtlab.hosts.real.guests import remove_guest
from virtlab.images.pool import LibvirtPool

__all__ = ["OVERLAY", "SEED", "leftovers", "remove", "remove_named", "remove_parts", "sweep"]

OVERLAY: Final = "{}.guest.qcow2"  # a guest's volumes, by its name
SEED: Final = "{}.seed.img"


def remove_named(host: GuestHost, name: str, *, force: bool = False, check: bool = False) -> bool:
    """Remove a guest by its name; tell whether there was anything to remove.

    Args:
        host: where it is.
        name: the guest's.
        force: remove it also where uvt-kvm made it without the lab.
        check: only tell.

    Raises:
        UsageError: no guest may have this name.
        EnvironmentLackError: it is somebody else's, or cannot be removed.
    """
    guest_name(name)
    guest = host.find(name)
    if guest is None:
        left = [one for one in leftovers(host) if one in (OVERLAY.format(name), SEED.format(name))]
        if not check:
            remove_parts(host, POOL, name)
            forget_access(name)
        return bool(left)
    if not guest.ours:
        by_uvt = uvt.made_by_uvt(guest)
        if not (by_uvt and force):
            raise EnvironmentLackError(
                f"The lab did not make {name}, so it is left alone.",
                fix="--force removes it with its disks, as uvt-kvm made it"
                if by_uvt
                else f"virsh destroy {name}, virsh undefine {name}, if you know that it may go",
            )
        if not check:
            uvt.destroy(host, name)
    elif not check:
        remove(host, guest)
    return True


def remove(host: GuestHost, guest: StandingGuest) -> None:
    """Remove a guest of the lab's, with all that belongs to it.

    Raises:
        EnvironmentLackError: something of it cannot be removed.
        LibvirtError: libvirtd refused it.
    """
    notes = guest.notes
    if notes is not None and notes.kind == "uvt" and uvt.installed():
        uvt.destroy(host, guest.name)
    else:
        remove_guest(host.connection, guest.name)
        if notes is not None and notes.pool:
            remove_parts(host, notes.pool, guest.name)
    if is_guest_name(guest.name):  # a micro-guest of another name has none
        forget_access(guest.name)
    for network in sorted(networks_of(guest.tree)):
        unused_network_down(host.connection, network, [other.tree for other in host.all()])


def remove_parts(host: GuestHost, pool: str, name: str) -> None:
    """Remove the volumes that a guest of this name has in a pool.

    Raises:
        EnvironmentLackError: libvirt refused it.
    """
    found = LibvirtPool.found(host.connection, pool)
    if found is None:
        return  # somebody has removed it with all that lay in it
    for form in (OVERLAY, SEED):
        drop(found, form.format(name))


def leftovers(host: GuestHost) -> list[str]:
    """Return the volumes in the lab's pool whose guest is not there; a killed run leaves such."""
    pool = LibvirtPool.found(host.connection, POOL)
    if pool is None:
        return []
    pool.refresh()
    there = set(pool.volumes())
    of_guests = {form.format(one.name) for one in host.all() for form in (OVERLAY, SEED)}
    endings = tuple(form.removeprefix("{}") for form in (OVERLAY, SEED))
    return sorted(one for one in there - of_guests if one.endswith(endings))


def sweep(host: GuestHost, names: Iterable[str]) -> None:
    """Remove volumes from the lab's pool.

    Raises:
        EnvironmentLackError: one cannot be removed.
    """
    pool = LibvirtPool.found(host.connection, POOL)
    if pool is not None:
        for name in names:
            drop(pool, name)
