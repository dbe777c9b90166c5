"""A host as it is now, real or simulated, looked at again and again: the last looks as a timeline.

For a view that runs beside a scheduler or a coordinator, whoever's it is: it only reads. What is
between two looks is inferred: an affinity or a balloon that is another one now was changed by
somebody in between. Time is the machine's own, unless the host's clock runs at another pace, as
that of a simulated host may; then it is the host's, by the time that its pCPUs were busy or idle.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.guest_record import masks_of
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.model.scenario import ProgramKind
from virtlab.model.timeline import (
    EventRecord,
    GuestTrack,
    PinCall,
    ProgramOutcome,
    Timeline,
    VcpuTrack,
)
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = ["LOOKS_KEPT", "LiveHost"]

LOOKS_KEPT: Final = 600
_STATE, _BALLOON, _VCPU = 1, 4, 8  # virDomainStatsTypes
_ACTIVE: Final = 1  # VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
_NOWAIT: Final = 1 << 29  # VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_RUNNING: Final = frozenset({1, 2})  # virDomainState: running, blocked
_FIGURES: Final = 4  # of CPU and of memory statistics; libvirt wants the exact number
_ALL_CELLS: Final = -1
_NEAR: Final = 1.25  # clocks that differ by less run at one pace
_SMALL_KIB: Final = KIB_PER_MIB  # a balloon that moved by less has not moved


@dataclass(frozen=True, slots=True)
class _Vcpu:
    run_ns: int
    delay_ns: int
    pcpu: int
    mask: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Guest:
    running: bool
    vcpus: tuple[_Vcpu, ...]
    actual_kib: int
    max_kib: int
    unused_kib: int
    rss_kib: int


@dataclass(frozen=True, slots=True)
class _Look:
    time_ns: int
    busy_ns: tuple[int, ...]  # of each pCPU, since the host's boot
    free_kib: int
    guests: Mapping[str, _Guest]


class LiveHost:
    """One connection, and what was seen over it."""

    def __init__(
        self,
        connect: Callable[[], HostConnection],
        kind: ProgramKind,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Connect to it.

        Args:
            connect: opens a connection, now and after one was lost.
            kind: what is of interest: where vCPUs run, or what memory guests have.
            clock: the machine's time in ns.

        Raises:
            EnvironmentLackError: it does not answer.
        """
        self._connect = connect
        self._connection: HostConnection | None = connect()
        self._kind = kind
        self._clock = clock
        self._pcpus = 0
        self._memory_kib = 0
        self._looks: deque[_Look] = deque(maxlen=LOOKS_KEPT)
        self._before: tuple[int, int] | None = None  # the machine's time and the host's

    def look(self) -> Timeline:
        """Look once more, and return the last 600 looks; times are those since the first of all.

        Raises:
            EnvironmentLackError: it does not answer, or refuses to be looked at; the next look
                connects anew.
        """
        try:
            self._look()
        except (EnvironmentLackError, LibvirtError) as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if isinstance(error, EnvironmentLackError):
                raise
            raise EnvironmentLackError(
                f"libvirtd refuses to tell about the host: {error}",
                fix="use an account that may read it, such as one of the group libvirt",
            ) from error
        return self._timeline()

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()

    def _look(self) -> None:
        if self._connection is None:
            self._connection = self._connect()
        if not self._pcpus:
            node = self._connection.call("NODE_GET_INFO")
            self._pcpus, self._memory_kib = node.cpus, node.memory
        totals, busy = self._node(self._connection)
        span_ns = self._span_ns(sum(totals) // max(len(totals), 1))
        now_ns = self._looks[-1].time_ns + span_ns if self._looks else 0
        free_kib = _free_kib(self._connection)
        guests = dict(self._guests(self._connection))
        self._looks.append(_Look(now_ns, tuple(busy), free_kib, guests))

    def _span_ns(self, host_ns: int) -> int:
        """Return the time since the look before."""
        here_ns = self._clock()
        before, self._before = self._before, (here_ns, host_ns)
        if before is None:
            return 0
        here, there = here_ns - before[0], host_ns - before[1]
        own_pace = here > 0 and there > 0 and not 1 / _NEAR <= there / here <= _NEAR
        return max(there if own_pace else here, 1)

    def _node(self, connection: HostConnection) -> tuple[list[int], list[int]]:
        """Return all time and busy time of each pCPU since the host's boot."""
        totals, busy = [], []
        for pcpu in range(self._pcpus):
            try:
                found = connection.call("NODE_GET_CPU_STATS", pcpu, _FIGURES, 0)
            except LibvirtError:  # it is offline
                busy.append(0)
                continue
            values = {stat.field: stat.value for stat in found.params}
            busy.append(values.get("kernel", 0) + values.get("user", 0))
            totals.append(sum(values.values()))
        return totals, busy

    def _guests(self, connection: HostConnection) -> Iterator[tuple[str, _Guest]]:
        groups = _STATE | _BALLOON | _VCPU
        found = connection.call("CONNECT_GET_ALL_DOMAIN_STATS", [], groups, _ACTIVE | _NOWAIT)
        for record in found.retStats:
            values = {param.field: param.value for param in record.params}
            count = int(values.get("vcpu.maximum", values.get("vcpu.current", 0)))
            try:
                where = connection.call(
                    "DOMAIN_GET_VCPUS", record.dom, count, (self._pcpus + 7) // 8
                )
            except LibvirtError:  # it has just ended
                continue
            masks = masks_of(where.cpumaps, len(where.info), self._pcpus)
            yield (
                record.dom.name,
                _Guest(
                    int(values.get("state.state", 1)) in _RUNNING,
                    tuple(
                        _Vcpu(
                            info.cpu_time,
                            int(values.get(f"vcpu.{info.number}.delay", 0)),
                            info.cpu,
                            mask,
                        )
                        for info, mask in zip(where.info, masks, strict=True)
                    ),
                    int(values.get("balloon.current", 0)),
                    int(values.get("balloon.maximum", 0)),
                    int(values.get("balloon.unused", 0)),
                    int(values.get("balloon.rss", 0)),
                ),
            )

    def _timeline(self) -> Timeline:
        looks = tuple(self._looks)
        first = looks[0]
        names = list(dict.fromkeys(name for look in looks for name in look.guests))
        return Timeline(
            version=1,
            scenario="this host",
            title="A host as it is",
            program_kind=self._kind,
            seed=0,
            interval_ns=NS_PER_S,
            duration_ns=max(looks[-1].time_ns, NS_PER_S),
            phases_ns=(0,),
            criteria=(),
            pcpus=self._pcpus,
            host_memory_kib=self._memory_kib,
            times_ns=tuple(look.time_ns for look in looks),
            pcpu_busy_ns=tuple(
                tuple(look.busy_ns[pcpu] - first.busy_ns[pcpu] for look in looks)
                for pcpu in range(self._pcpus)
            ),
            host_free_kib=tuple(look.free_kib for look in looks),
            host_swap_kib=(0,) * len(looks),
            guests=tuple(_track(name, looks) for name in names),
            pins=tuple(_pins(looks)),
            memory_calls=(),
            events=tuple(_events(looks)),
            calls=(),
            calls_total=0,
            outcome=ProgramOutcome("ok", "completed", "", 0),
            clock="real",
        )


def _free_kib(connection: HostConnection) -> int:
    found = connection.call("NODE_GET_MEMORY_STATS", _FIGURES, _ALL_CELLS, 0)
    values = {stat.field: stat.value for stat in found.params}
    # Caches are given back when somebody asks for memory.
    return sum(int(values.get(name, 0)) for name in ("free", "buffers", "cached"))


def _track(name: str, looks: tuple[_Look, ...]) -> GuestTrack:
    seen = [look.guests.get(name) for look in looks]
    there = [guest for guest in seen if guest is not None]
    count = max(len(guest.vcpus) for guest in there)
    return GuestTrack(
        name=name,
        memory_kib=there[0].actual_kib,
        max_memory_kib=max(guest.max_kib for guest in there) or 1,
        vcpus=tuple(_vcpu_track(number, seen) for number in range(count)),
        start_masks=tuple(
            there[0].vcpus[number].mask if number < len(there[0].vcpus) else ()
            for number in range(count)
        ),
        running=tuple(guest is not None and guest.running for guest in seen),
        actual_kib=tuple(0 if guest is None else guest.actual_kib for guest in seen),
        target_kib=tuple(0 if guest is None else guest.actual_kib for guest in seen),
        unused_kib=tuple(0 if guest is None else guest.unused_kib for guest in seen),
        consumer_kib=(0,) * len(seen),
        rss_kib=tuple(0 if guest is None else guest.rss_kib for guest in seen),
    )


def _vcpu_track(number: int, seen: list[_Guest | None]) -> VcpuTrack:
    """Return one vCPU; the time of a guest that starts anew goes on from what it had before."""
    run, delay, places = [], [], []
    run_ns = delay_ns = 0
    last: _Vcpu | None = None
    for guest in seen:
        vcpu = None if guest is None or number >= len(guest.vcpus) else guest.vcpus[number]
        if vcpu is not None and last is not None and vcpu.run_ns >= last.run_ns:
            run_ns += vcpu.run_ns - last.run_ns
            delay_ns += max(vcpu.delay_ns - last.delay_ns, 0)
        last = vcpu
        run.append(run_ns)
        delay.append(delay_ns)
        places.append(-1 if vcpu is None else vcpu.pcpu)
    return VcpuTrack(tuple(run), tuple(delay), tuple(places), (False,) * len(seen))


def _pins(looks: tuple[_Look, ...]) -> Iterator[PinCall]:
    """Yield affinities that are not what they were at the look before."""
    for before, look in pairwise(looks):
        for name, guest in look.guests.items():
            known = before.guests.get(name)
            if known is None:
                continue
            for number, (then, now) in enumerate(zip(known.vcpus, guest.vcpus, strict=False)):
                if then.mask != now.mask:
                    yield PinCall(
                        look.time_ns, name, number, now.mask, effective=True, by="program"
                    )


def _events(looks: tuple[_Look, ...]) -> Iterator[EventRecord]:
    """Yield guests that came or went, and balloons that moved."""
    for before, look in pairwise(looks):
        for name, guest in look.guests.items():
            known = before.guests.get(name)
            if known is None:
                yield EventRecord(look.time_ns, "guest_start", name, "")
            elif abs(guest.actual_kib - known.actual_kib) >= _SMALL_KIB:
                sizes = (size // KIB_PER_MIB for size in (known.actual_kib, guest.actual_kib))
                yield EventRecord(
                    look.time_ns, "balloon", name, " to ".join(map(str, sizes)) + " MiB"
                )
        for name in before.guests:
            if name not in look.guests:
                yield EventRecord(look.time_ns, "guest_stop", name, "")
