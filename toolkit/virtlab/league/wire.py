"""A policy's host behind libvirt's protocol: each look and each action is bytes there and back.

The same loops run with it as without (`cpu_run`, `memory_run`), and the same timeline comes out: so
what a policy earns in process it earns as a client of libvirt. Calls are charged as there. A look
is the bulk statistics, and is answered at its own moment; its time passes before the first action.
What a client asks besides, of guests that are new (their description) or that it pinned itself
(their affinity), costs nothing, as in process.

There is no socket: the client's bytes go to the session that a server would feed, and its bytes
come back. Where a guest's lock is held the call is given up at once, as a client does that leaves
such calls to a thread of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.etree import ElementTree as ET

from virtlab.agent.cpu_sensing import VcpuReading
from virtlab.hosts.clock import DEFAULT_CALL_COST_NS, call_cost_ns
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.hosts.simulated.driver.values import cpu_map, pcpus_of_map
from virtlab.hosts.simulated.files.proc import proc_files
from virtlab.hosts.simulated.recorder import Recorder
from virtlab.league.memory_sensor import BalloonReading, HostReading
from virtlab.libvirt_rpc.client import Answer, ClientConnection
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.session import ServerConnection
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.plan import Pin, Resize
from virtlab.model.snapshot import VcpuKey
from virtlab.simulator.host import SimulatedHost

__all__ = ["WireClient"]

_STATE, _BALLOON, _VCPU = 1, 4, 8  # virDomainStatsTypes
_ACTIVE, _RUNNING = 1 << 0, 1 << 4  # virConnectGetAllDomainStatsFlags, as of lists of domains
_NOWAIT: Final = 1 << 29
_STATISTICS: Final = "CONNECT_GET_ALL_DOMAIN_STATS"
_LIVE: Final = 1
_MEMORY_FIGURES: Final = 4  # total, free, buffers, cached; libvirt takes no other number
_USUAL_SHARES: Final = {1: 1024, 2: 100}  # by the host's version of control groups
_REPORT: Final = {
    "balloon.swap_in": "swap_in",
    "balloon.swap_out": "swap_out",
    "balloon.major_fault": "major_fault",
    "balloon.unused": "unused",
    "balloon.usable": "usable",
    "balloon.available": "available",
    "balloon.last-update": "last_update",
    "balloon.rss": "rss",
}


class WireClient:
    """One client of a simulated host, whose calls cost the host's time."""

    def __init__(self, host: SimulatedHost, recorder: Recorder) -> None:
        """Connect; build it before the host moves."""
        self._host = host
        self._recorder = recorder
        self._driver = SimulatedDriver(host, recorder)
        self._handlers = self._driver.handlers_for(Subscriptions())
        self._session = ServerConnection()
        self._client = ClientConnection()
        self._domains: dict[str, DomainHandle] = {}  # as last seen
        self._cells: dict[int, frozenset[int] | None] = {}  # of memory, by domain id
        self._owed_ns = 0  # for the last look
        self._pcpus = len(host.spec.layout.capacity)
        self._ask("AUTH_LIST")
        self._ask("CONNECT_OPEN", "qemu:///system", 0)

    # Looks.

    def vcpus(self) -> Iterator[VcpuReading]:
        """Yield what there is to see of the vCPUs of running guests, in the order of their keys."""
        for dom, values in self._statistics(_STATE | _VCPU, _ACTIVE):
            count = values["vcpu.current"]
            length = (self._pcpus + 7) // 8
            infos, maps = self._ask("DOMAIN_GET_VCPUS", dom, count, length)
            tuning = {
                param.field: param.value
                for param in self._ask("DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS", dom, 16, _LIVE)[0]
            }
            shares = tuning["cpu_shares"] * 1024 // _USUAL_SHARES[self._host.spec.cgroup_version]
            for number, (_, _, _, pcpu) in enumerate(infos):
                mask = maps[number * length : (number + 1) * length]
                yield VcpuReading(
                    key=VcpuKey(dom.name, number),
                    life=str(dom.id),
                    run_ns=values[f"vcpu.{number}.time"],
                    delay_ns=values[f"vcpu.{number}.delay"],
                    pcpus=pcpus_of_map(mask, self._pcpus),
                    last_on=pcpu,
                    weight=max(shares, 2),
                    cap_share=_cap(tuning, count),
                    memory_cells=self._memory_cells(dom),
                )

    def memory(self, known: frozenset[int], period_s: int) -> HostReading:
        """Return what there is to see of the host's memory and of running guests.

        Args:
            known: domain ids of guests whose statistics period was set.
            period_s: to set it to for others.
        """
        for dom in self._ask("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING)[0]:
            if dom.id not in known:
                self._try("DOMAIN_SET_MEMORY_STATS_PERIOD", dom, period_s, _LIVE)
        guests = [
            BalloonReading(
                guest=dom.name,
                life=dom.id,
                current_kib=values["balloon.current"],
                max_kib=values["balloon.maximum"],
                report={name: values[field] for field, name in _REPORT.items() if field in values},
                silent="balloon.last-update" not in values,
            )
            for dom, values in self._statistics(_STATE | _BALLOON, _RUNNING)
        ]
        figures = dict(self._ask("NODE_GET_MEMORY_STATS", _MEMORY_FIGURES, -1, 0)[0])
        lines = proc_files(self._host)["/proc/meminfo"]().splitlines()
        swap = {line.split(":")[0]: int(line.split()[1]) for line in lines if "Swap" in line}
        return HostReading(
            time_ns=self._host.now_ns,
            clock_step_ns=self._host.host_memory.clock_step_ns,  # a client's own clock jumps, too
            total_kib=figures["total"],
            free_kib=figures["free"],
            swap_used_kib=swap["SwapTotal"] - swap["SwapFree"],
            guests=tuple(guests),
        )

    # Actions.

    def pin(self, pin: Pin) -> None:
        """Bind a vCPU; what the host refuses stays as it is."""
        dom = self._domains.get(pin.vcpu.guest)
        self._charge("DOMAIN_PIN_VCPU")
        if dom is not None:
            mask = cpu_map(pin.pcpus, (self._pcpus + 7) // 8)
            self._try("DOMAIN_PIN_VCPU", dom, pin.vcpu.number, mask)

    def resize(self, resize: Resize) -> int | None:
        """Set a balloon; return the guest's domain id, or None where the host refused."""
        dom = self._domains.get(resize.guest)
        self._charge("DOMAIN_SET_MEMORY")
        if dom is None or not self._try("DOMAIN_SET_MEMORY", dom, resize.memory_kib):
            return None
        return dom.id

    # Calls.

    def _statistics(self, groups: int, flags: int) -> list[tuple[DomainHandle, dict[str, Any]]]:
        self._owed_ns = DEFAULT_CALL_COST_NS
        (records,) = self._ask(_STATISTICS, [], groups, flags | _NOWAIT)
        found = [
            (record.dom, {param.field: param.value for param in record.params})
            for record in records
        ]
        self._domains = {dom.name: dom for dom, _ in found}
        return sorted(found, key=lambda one: one[0].name)

    def _charge(self, name: str) -> None:
        """Let the time of a call pass, and what the look before it has cost."""
        self._recorder.advance(self._host.now_ns + self._owed_ns + call_cost_ns(name))
        self._owed_ns = 0

    def _try(self, name: str, *args: Any) -> bool:
        """Make a call that the host may refuse; tell whether it did not."""
        try:
            self._ask(name, *args)
        except LibvirtError:
            return False
        return True

    def _ask(self, name: str, *args: Any) -> Any:
        """Return the results of a call.

        Raises:
            LibvirtError: it was refused, or would have to wait for a guest's lock.
        """
        for call in self._session.receive(self._client.call(name, *args)):
            error = call.refusal
            if error is None and self._driver.locks.answered_at(call, self._host.now_ns):
                error = self._driver.locks.refusal(call)
            try:
                if error is None:
                    self._session.reply(call, self._handlers[name](*call.args))
            except LibvirtError as refused:
                error = refused
            if error is not None and not call.answered:
                self._session.reply_error(call, error)
            self._recorder.call(call, None if error is None else error.message, self._host.now_ns)
        (answer,) = self._answers(self._client.receive(self._session.data_to_send()))
        if answer.error is not None:
            raise answer.error
        return answer.results

    @staticmethod
    def _answers(received: Sequence[object]) -> list[Answer]:
        return [one for one in received if isinstance(one, Answer)]

    def _memory_cells(self, dom: DomainHandle) -> frozenset[int] | None:
        """Return on which cells a guest's memory is bound to lie; None: its XML does not say."""
        if dom.id not in self._cells:
            tree = ET.fromstring(self._ask("DOMAIN_GET_XML_DESC", dom, 0)[0])
            tune = tree.find("numatune/memory")
            nodes = None if tune is None else tune.get("nodeset")
            self._cells[dom.id] = None if nodes is None else frozenset(_numbers(nodes))
        return self._cells[dom.id]


def _cap(tuning: dict[str, Any], vcpus: int) -> float | None:
    """Return the most that a vCPU may run by its own quota, or by its part of its guest's."""
    caps = []
    for who, shared_by in (("vcpu", 1), ("global", vcpus)):
        quota_us = tuning.get(f"{who}_quota", 0)
        if quota_us > 0:
            caps.append(quota_us / tuning[f"{who}_period"] / shared_by)
    return min(caps, default=None)


def _numbers(text: str) -> Iterator[int]:
    """Yield the numbers of a list such as `0-2,5`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
