"""The guests of one run: made or taken over before it, and put back after it.

Guests of the lab's own that run already are taken over, and get back their affinities, their size
and their stored description. The others are made by the playbooks, and removed afterwards. A
domain that the lab did not make is never touched: a run that needs its name is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from virtlab.errors import EnvironmentLackError, VirtlabError
from virtlab.hosts.real.agent import Agent
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.guest_record import masks_of
from virtlab.hosts.real.guests import own_guests, remove_guest
from virtlab.hosts.real.journal import Adopted, Changes, Journal
from virtlab.libvirt_rpc.errors import ErrorCode, LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import GuestSpec, Scenario

__all__ = ["Launch", "RunGuests", "put_back"]

_INACTIVE: Final = 2  # VIR_DOMAIN_XML_INACTIVE
_LIVE: Final = 1  # VIR_DOMAIN_AFFECT_LIVE
_PERIOD_S: Final = 1
_KILL_S: Final = 20.0
_STOPPED_TOGETHER: Final = 4  # libvirtd stops each in 2 s, and several at a time

# Brings up a scenario's guests: bound, sized, their agents answering.
Launch = Callable[[Scenario], None]

_log = logging.getLogger(__name__)


class RunGuests:
    """A scenario's guests on a host."""

    def __init__(self, socket: Path, scenario: Scenario, journal: Journal, launch: Launch) -> None:
        self._socket = socket
        self._scenario = scenario
        self._journal = journal
        self._launch = launch
        self._changes = Changes()

    def bring_up(self) -> dict[str, DomainHandle]:
        """Have all guests run as the scenario says at time 0; return their handles by name.

        Raises:
            EnvironmentLackError: a name is taken, or a guest does not come up.
        """
        with HostConnection(self._socket) as connection:
            planned = self._planned(connection)
            self._journal.write(planned)
            self._changes = planned
            self._launch(self._scenario)
            handles = {guest.name: _lookup(connection, guest) for guest in self._scenario.guests}
            for spec in self._scenario.guests:
                _set_period(connection, handles[spec.name])
                if any(one.name == spec.name for one in self._changes.adopted):
                    _end_loads(connection, handles[spec.name])
        return handles

    def put_back(self) -> str | None:
        """Undo everything; return what could not be, in words, which stays in the journal."""
        try:
            put_back(self._socket, self._changes)
        except EnvironmentLackError as err:
            _log.warning("%s", err)
            return str(err)
        self._journal.clear()
        return None

    def _planned(self, connection: HostConnection) -> Changes:
        """Return what will be changed, from what is there."""
        ours = {guest.name: guest.running for guest in own_guests(connection)}
        there = {dom.name for dom in connection.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains}
        names = [guest.name for guest in self._scenario.guests]
        if strangers := [name for name in names if name in there and name not in ours]:
            raise EnvironmentLackError(
                f"There is a domain {strangers[0]} on this host that the lab did not make.",
                fix="name the scenario's guests otherwise, or remove that domain yourself",
            )
        pcpus = connection.call("NODE_GET_INFO").cpus
        changes = Changes()
        for spec in self._scenario.guests:
            if ours.get(spec.name) and (found := _adopted(connection, spec, pcpus)) is not None:
                changes.adopted.append(found)
            else:
                changes.made.append(spec.name)
        return changes


def put_back(socket: Path, changes: Changes) -> None:
    """Remove the guests that were made, and give the others back what they had.

    Raises:
        EnvironmentLackError: names what could not be put back, once the rest was.
    """
    tasks: list[tuple[str, Callable[[HostConnection], None]]] = [
        *((name, lambda link, name=name: _remove(link, name)) for name in changes.made),
        *((one.name, lambda link, one=one: _restore(link, one)) for one in changes.adopted),
    ]

    def do(task: tuple[str, Callable[[HostConnection], None]]) -> str | None:
        name, act = task
        try:
            with HostConnection(socket) as connection:
                act(connection)
        except (LibvirtError, VirtlabError) as err:
            return f"{name}: {err}"
        return None

    with ThreadPoolExecutor(_STOPPED_TOGETHER) as pool:
        failed = [reason for reason in pool.map(do, tasks) if reason is not None]
    if failed:
        raise EnvironmentLackError(
            "Not everything could be put back: " + "; ".join(failed), fix="virtlab host clean"
        )


def _remove(connection: HostConnection, name: str) -> None:
    # A domain of that name that lacks the mark is somebody else's, made meanwhile.
    if any(guest.name == name for guest in own_guests(connection)):
        remove_guest(connection, name)


def _adopted(connection: HostConnection, spec: GuestSpec, pcpus: int) -> Adopted | None:
    """Return how a guest is now, or None where it is another one than the scenario's."""
    dom = _lookup(connection, spec)
    xml = connection.call("DOMAIN_GET_XML_DESC", dom, _INACTIVE).xml
    tree = ElementTree.fromstring(xml)
    fits = (
        int(tree.findtext("vcpu", "0")) == spec.vcpus
        and int(tree.findtext("memory", "0")) == spec.max_memory_kib
    )
    if not fits:
        return None
    length = (pcpus + 7) // 8
    pins = connection.call("DOMAIN_GET_VCPU_PIN_INFO", dom, spec.vcpus, length, _LIVE)
    stats = connection.call("DOMAIN_MEMORY_STATS", dom, 16, 0).stats
    size_kib = next(stat.val for stat in stats if stat.tag == 6)  # actual
    masks = tuple(masks_of(pins.cpumaps, pins.num, pcpus))
    return Adopted(spec.name, dom.uuid.hex(), masks, size_kib, xml)


def _restore(connection: HostConnection, one: Adopted) -> None:
    try:
        dom = connection.call("DOMAIN_LOOKUP_BY_UUID", bytes.fromhex(one.uuid)).dom
    except LibvirtError as err:
        if err.code == ErrorCode.NO_DOMAIN:
            return  # somebody has removed it meanwhile
        raise
    connection.call("DOMAIN_DEFINE_XML", one.xml)
    if dom.id < 0:
        return
    _end_loads(connection, dom)
    length = max((max(mask, default=0) for mask in one.masks), default=0) // 8 + 1
    for vcpu, mask in enumerate(one.masks):
        cpumap = sum(1 << pcpu for pcpu in mask).to_bytes(length, "little")
        connection.call("DOMAIN_PIN_VCPU_FLAGS", dom, vcpu, cpumap, _LIVE)
    connection.call("DOMAIN_SET_MEMORY_FLAGS", dom, one.memory_kib, _LIVE)


def _lookup(connection: HostConnection, spec: GuestSpec) -> DomainHandle:
    try:
        found: Any = connection.call("DOMAIN_LOOKUP_BY_NAME", spec.name).dom
    except LibvirtError as err:
        raise EnvironmentLackError(f"guest {spec.name} is not there: {err.message}") from err
    return DomainHandle(*found)


def _set_period(connection: HostConnection, dom: DomainHandle) -> None:
    connection.call("DOMAIN_SET_MEMORY_STATS_PERIOD", dom, _PERIOD_S, _LIVE)


def _end_loads(connection: HostConnection, dom: DomainHandle) -> None:
    """End what an earlier run may have left running inside; without an agent nothing is."""
    words = ["-c", "kill $(pidof workload); true"]
    try:
        Agent(connection, dom).run("/bin/sh", words, _KILL_S)
    except LibvirtError:
        return
