"""From a journal to a scenario: the recorded host, with loads fitted to what was seen.

CPU: what a vCPU wants is r / (1 - w), whatever it got; that is taken apart into stretches in which
it stays the same within noise. Memory: what a guest has in use, less the least that it ever had in
use, is what runs in it; the rest is its system. Guests come and go as they did.

What is not in a journal is not in the scenario: how long loads work at a time, what a guest would
have used beyond its size, and everything between two ticks.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from virtlab.agent.journal import RecordedTick
from virtlab.agent.recorded import snapshot_of
from virtlab.errors import InputError
from virtlab.model.scenario import (
    CriterionSpec,
    Event,
    GuestSpec,
    HostSpec,
    Scenario,
    StartGuest,
    StartWorkload,
    StopGuest,
)
from virtlab.model.snapshot import CpuSnapshot, GuestMemory, MemorySnapshot, VcpuView
from virtlab.model.topology import flat
from virtlab.model.units import NS_PER_S, mib
from virtlab.model.workload import Trace, TracePoint
from virtlab.policies.seats import demand_of

__all__ = ["fitted_scenario", "stretches"]

_SAME: Final = 0.05  # demands this near are one: noise of one look is 0.02 to 0.033
_FRESH_NS: Final = 3 * NS_PER_S  # an older report says nothing of the present
_DAY_NS: Final = 86_400 * NS_PER_S  # longest run of a scenario
_SMALL_KIB: Final = mib(1)
_KERNEL_KIB, _PROCESSES_KIB, _CACHE_KIB = mib(64), mib(88), mib(170)  # where nothing was reported


@dataclass(slots=True)
class _Life:
    """One guest over the whole recording."""

    first_ns: int
    last_ns: int
    cpu: dict[int, list[tuple[int, float]]] = field(default_factory=dict)  # by vCPU: begin, demand
    views: dict[int, VcpuView] = field(default_factory=dict)  # by vCPU: the first
    memory: list[tuple[int, GuestMemory]] = field(default_factory=list)


def fitted_scenario(ticks: Iterable[RecordedTick], name: str) -> Scenario:
    """Return the scenario of a recording.

    Args:
        ticks: of one daemon's journal, oldest first.
        name: its id.

    Raises:
        InputError: there are fewer than two ticks, or they are more than a day.
    """
    first: RecordedTick | None = None
    snapshots: list[CpuSnapshot | MemorySnapshot] = []
    for tick in ticks:
        first = first or tick
        if snapshots and snapshot_of(tick).time_ns <= snapshots[-1].time_ns:
            break  # the machine was booted anew: its clock began again
        snapshots.append(snapshot_of(tick))
    if first is None or len(snapshots) < 2:
        raise InputError(
            "there are not two ticks to see a load between",
            fix="let the daemon, or virtlab record, run for longer.",
        )
    begin_ns, end_ns = snapshots[0].time_ns, snapshots[-1].time_ns
    if end_ns - begin_ns > _DAY_NS:
        raise InputError(
            "the recording is longer than a day, which is the most that a scenario lasts",
            fix="name a single file of the journal.",
        )
    lives = _lives(snapshots, begin_ns)
    interval_s = max(round(first.about["interval_s"]), 1)
    duration_s = max(-(-(end_ns - begin_ns) // NS_PER_S), interval_s)
    scheduling = isinstance(snapshots[0], CpuSnapshot)
    return Scenario(
        id=name,
        title=f"Recorded on a host, {len(lives)} guests",
        why="What ran on a real host, to be tried under another policy.",
        program="vcpu_scheduler" if scheduling else "memory_coordinator",
        seed=1,
        host=_host(snapshots),
        guests=tuple(_guest(name, life) for name, life in sorted(lives.items())),
        events=tuple(sorted(_events(lives, end_ns - begin_ns), key=lambda event: event.time_ns)),
        interval_s=interval_s,
        duration_s=duration_s,
        criteria=(CriterionSpec("no-crash"),),
    )


def stretches(samples: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the stretches in which a demand stays the same, as their begins and means.

    One sample that is off is noise; two in a row on the same side are another load, which began
    with the first of them.
    """
    found: list[tuple[int, float]] = []
    held: list[tuple[int, float]] = []
    level: list[float] = []  # of what is held, in order: their median is not moved by one sample
    before = 0.0  # how far the last one was off
    for at_ns, value in samples:
        off = value - level[len(level) // 2] if level else 0.0
        if len(held) > 1 and abs(off) > _SAME and abs(before) > _SAME and off * before > 0.0:
            last = held.pop()
            found.append((held[0][0], _mean(held)))
            held, level, off = [last], [last[1]], 0.0
        held.append((at_ns, value))
        insort(level, value)
        before = off
    return [*found, (held[0][0], _mean(held))] if held else found


def _mean(samples: Sequence[tuple[int, float]]) -> float:
    return sum(value for _, value in samples) / len(samples)


def _lives(snapshots: Sequence[CpuSnapshot | MemorySnapshot], begin_ns: int) -> dict[str, _Life]:
    lives: dict[str, _Life] = {}
    for snapshot in snapshots:
        at_ns = snapshot.time_ns - begin_ns
        if isinstance(snapshot, MemorySnapshot):
            for guest in snapshot.guests:
                life = lives.setdefault(guest.guest, _Life(at_ns, at_ns))
                life.last_ns = at_ns
                life.memory.append((at_ns, guest))
            continue
        for vcpu in snapshot.vcpus:
            life = lives.setdefault(vcpu.key.guest, _Life(at_ns, at_ns))
            life.last_ns = at_ns
            life.views.setdefault(vcpu.key.number, vcpu)
            demand = demand_of(vcpu)
            if demand is not None:  # it was wanted in the interval before the look
                began_ns = max(at_ns - snapshot.interval_ns, 0)
                life.cpu.setdefault(vcpu.key.number, []).append((began_ns, demand))
    return lives


def _host(snapshots: Sequence[CpuSnapshot | MemorySnapshot]) -> HostSpec:
    first = snapshots[0]
    if isinstance(first, CpuSnapshot):
        topology = first.topology
        memory_kib = max(sum(cell.memory_kib for cell in topology.cells), mib(1024))
        pcpus = len(topology.capacity)
        plain = topology == flat(pcpus, topology.cells[0].memory_kib)
        return HostSpec(
            pcpus=pcpus,
            memory_kib=memory_kib,
            used_kib=_SMALL_KIB,
            topology=None if plain else topology,
        )
    held_kib = sum(guest.rss_kib or guest.actual_kib for guest in first.guests)
    used_kib = first.host_total_kib - first.host_free_kib - held_kib
    return HostSpec(
        pcpus=max(len(first.guests), 1),
        memory_kib=first.host_total_kib,
        used_kib=max(used_kib, _SMALL_KIB),
    )


def _guest(name: str, life: _Life) -> GuestSpec:
    vcpus = max(life.views, default=0) + 1
    running = life.first_ns == 0
    affinity = tuple(
        tuple(sorted(life.views[n].pcpus)) if n in life.views else None for n in range(vcpus)
    )
    if not life.memory:
        weight = next((view.weight for view in life.views.values()), 1024)
        size_kib = _KERNEL_KIB + _PROCESSES_KIB + _CACHE_KIB
        cells = next((view.memory_cells for view in life.views.values()), None)
        return GuestSpec(
            name=name,
            vcpus=vcpus,
            memory_kib=size_kib,
            max_memory_kib=size_kib,
            affinity=affinity,
            kernel_kib=_KERNEL_KIB,
            processes_kib=_PROCESSES_KIB,
            cache_kib=0,
            running=running,
            memory_cell=min(cells) if cells else None,
            tuning=() if weight == 1024 else (("cpu_shares", weight),),
        )
    first = life.memory[0][1]
    reports = [one for _, one in life.memory if _in_use_kib(one) is not None]
    kernel_kib, processes_kib, cache_kib = _KERNEL_KIB, _PROCESSES_KIB, _CACHE_KIB
    if reports:
        kernel_kib = max(min(one.actual_kib - (one.available_kib or 0) for one in reports), 0)
        processes_kib = min(_in_use_kib(one) or 0 for one in reports)
        caches = sorted((one.usable_kib or 0) - (one.unused_kib or 0) for one in reports)
        cache_kib = max(caches[len(caches) // 2], 0)
    room_kib = first.actual_kib - kernel_kib - processes_kib
    return GuestSpec(
        name=name,
        vcpus=1,
        memory_kib=first.actual_kib,
        max_memory_kib=max(one.max_kib for _, one in life.memory),
        affinity=(None,),
        kernel_kib=kernel_kib,
        processes_kib=processes_kib,
        cache_kib=min(cache_kib, max(room_kib, 0)),
        running=running,
    )


def _in_use_kib(guest: GuestMemory) -> int | None:
    """Return what a guest could not give up, beside its kernel; None: it did not report it."""
    age_ns = guest.report_age_ns
    if age_ns is None or age_ns > _FRESH_NS or guest.available_kib is None:
        return None
    usable_kib = guest.unused_kib if guest.usable_kib is None else guest.usable_kib
    return None if usable_kib is None else max(guest.available_kib - usable_kib, 0)


def _events(lives: dict[str, _Life], end_ns: int) -> Iterable[Event]:
    for name, life in sorted(lives.items()):
        start_ns = life.first_ns
        if start_ns > 0:
            yield StartGuest(start_ns, name)
        for number, samples in sorted(life.cpu.items()):
            points = tuple(
                TracePoint(max(at_ns - start_ns, 0), round(min(max(share, 0.0), 1.0), 4), None)
                for at_ns, share in stretches(samples)
            )
            yield StartWorkload(start_ns, name, Trace(points), (number,))
        if points := tuple(_memory_points(life)):
            yield StartWorkload(start_ns, name, Trace(points))
        if life.last_ns < end_ns:
            yield StopGuest(life.last_ns, name)


def _memory_points(life: _Life) -> Iterable[TracePoint]:
    """Yield what runs in a guest holds, where that changes by a MiB and more."""
    used = [(at_ns, _in_use_kib(one)) for at_ns, one in life.memory]
    least_kib = min((kib for _, kib in used if kib is not None), default=0)
    last_kib = None
    for at_ns, kib in used:
        if kib is None or (last_kib is not None and abs(kib - last_kib) < _SMALL_KIB):
            continue
        last_kib = kib
        yield TracePoint(at_ns - life.first_ns, 0.0, kib - least_kib)
