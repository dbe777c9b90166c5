"""How a guest is before a run, and the way back to that.

What a run may change of a guest that goes on running is looked at: affinities, the balloon's size,
the period of its statistics, the loads inside, and the stored description.
"""

from __future__ import annotations

from typing import Any, Final
from xml.etree import ElementTree

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.agent import Agent
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.guest_record import masks_of
from virtlab.hosts.real.journal import Earlier
from virtlab.libvirt_rpc.errors import ErrorCode, LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["earlier", "end_loads", "give_back", "lookup", "set_period"]

_LIVE: Final = 1  # VIR_DOMAIN_AFFECT_LIVE
_INACTIVE: Final = 2  # VIR_DOMAIN_XML_INACTIVE
_ACTUAL: Final = 6  # VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON
_STATS_MAX: Final = 16
_AGENT_S: Final = 20.0
# Prints the command line of each load as a line, its words apart by tabs.
_LOADS: Final = r"""for p in $(pidof workload); do tr '\0' '\t' </proc/$p/cmdline; echo; done"""


def earlier(connection: HostConnection, name: str) -> Earlier:
    """Return how a guest is now.

    Raises:
        EnvironmentLackError: it is not there.
    """
    dom = lookup(connection, name)
    xml = connection.call("DOMAIN_GET_XML_DESC", dom, _INACTIVE).xml
    if dom.id < 0:
        return Earlier(name, dom.uuid.hex(), xml, running=False)
    live = ElementTree.fromstring(connection.call("DOMAIN_GET_XML_DESC", dom, 0).xml)
    pcpus = connection.call("NODE_GET_INFO").cpus
    vcpus = int(live.findtext("vcpu", "1"))
    pins = connection.call("DOMAIN_GET_VCPU_PIN_INFO", dom, vcpus, (pcpus + 7) // 8, _LIVE)
    stats = connection.call("DOMAIN_MEMORY_STATS", dom, _STATS_MAX, 0).stats
    period = live.find("devices/memballoon/stats")
    return Earlier(
        name,
        dom.uuid.hex(),
        xml,
        running=True,
        masks=tuple(masks_of(pins.cpumaps, pins.num, pcpus)),
        memory_kib=next(stat.val for stat in stats if stat.tag == _ACTUAL),
        stats_period_s=0 if period is None else int(period.get("period", "0")),
        loads=_loads(connection, dom),
    )


def give_back(connection: HostConnection, one: Earlier) -> None:
    """Let a guest be as it was; one that is gone, or runs no more, stays so.

    Raises:
        LibvirtError: libvirtd refused it.
    """
    try:
        dom = connection.call("DOMAIN_LOOKUP_BY_UUID", bytes.fromhex(one.uuid)).dom
    except LibvirtError as err:
        if err.code == ErrorCode.NO_DOMAIN:
            return  # somebody has removed it meanwhile
        raise
    connection.call("DOMAIN_DEFINE_XML", one.xml)
    if dom.id < 0:
        return
    if not one.running:
        connection.call("DOMAIN_DESTROY", dom)
        return
    if end_loads(connection, dom):
        for program, *words in one.loads:
            Agent(connection, dom).start(program, words)
    length = max((max(mask, default=0) for mask in one.masks), default=0) // 8 + 1
    for vcpu, mask in enumerate(one.masks):
        cpumap = sum(1 << pcpu for pcpu in mask).to_bytes(length, "little")
        connection.call("DOMAIN_PIN_VCPU_FLAGS", dom, vcpu, cpumap, _LIVE)
    connection.call("DOMAIN_SET_MEMORY_FLAGS", dom, one.memory_kib, _LIVE)
    set_period(connection, dom, one.stats_period_s)


def lookup(connection: HostConnection, name: str) -> DomainHandle:
    """Return a guest's handle.

    Raises:
        EnvironmentLackError: there is no such guest.
    """
    try:
        found: Any = connection.call("DOMAIN_LOOKUP_BY_NAME", name).dom
    except LibvirtError as err:
        raise EnvironmentLackError(f"guest {name} is not there: {err.message}") from err
    return DomainHandle(*found)


def set_period(connection: HostConnection, dom: DomainHandle, period_s: int) -> None:
    """Set the period of a running guest's memory statistics; 0 turns them off."""
    connection.call("DOMAIN_SET_MEMORY_STATS_PERIOD", dom, period_s, _LIVE)


def end_loads(connection: HostConnection, dom: DomainHandle) -> bool:
    """End the loads inside of a guest; tell whether its agent answered."""
    try:
        Agent(connection, dom).run("/bin/sh", ["-c", "kill $(pidof workload); true"], _AGENT_S)
    except LibvirtError:
        return False
    return True


def _loads(connection: HostConnection, dom: DomainHandle) -> tuple[tuple[str, ...], ...]:
    """Return the command lines of the loads inside of a guest; without an agent none is known."""
    try:
        said = Agent(connection, dom).run("/bin/sh", ["-c", _LOADS], _AGENT_S)
    except LibvirtError:
        return ()
    return tuple(tuple(line.rstrip("\t").split("\t")) for line in said.splitlines() if line)
