"""How well guests were off under a coordination policy: what they lacked, and what lay idle.

Need is what a guest would hold with memory enough: its kernel, its processes and what it runs, as
seen in a run of the same scenario in which every guest has its maximum and the host all that it
takes. So a policy gains nothing by a guest whose process was killed. Beside each shortage stands
the least that anybody could have reached: what all need together, beyond what the host has.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from virtlab.league.memory_run import run_coordinator
from virtlab.model.scenario import Scenario, SetMemory
from virtlab.model.timeline import Timeline
from virtlab.model.units import KIB_PER_MIB, mib
from virtlab.policies.coordination.static import Static

__all__ = ["Measures", "Needs", "measured", "needs_of"]

_CACHE_REST_KIB = mib(20)  # pages that run right now (simulator.memory_sizes)


@dataclass(frozen=True, slots=True)
class Needs:
    """What each guest needs at each sample, in KiB, and the least shortage that there has to be."""

    by_guest: dict[str, tuple[int, ...]]
    running: dict[str, tuple[bool, ...]]
    least_mib_s: float


@dataclass(frozen=True, slots=True)
class Measures:
    """One run in figures."""

    shortage_mib_s: float  # below need, over all guests
    idle_mib: float  # above need, over all guests, on average
    kills: int
    calls: int
    host_swap_mib: float  # at most
    frozen: bool


def needs_of(scenario: Scenario, *, reserve_kib: int) -> Needs:
    """Return what the guests of a scenario need, whatever a policy does."""
    rich = dataclasses.replace(
        scenario,
        host=dataclasses.replace(
            scenario.host,
            memory_kib=scenario.host.used_kib
            + 2 * sum(guest.max_memory_kib for guest in scenario.guests)
            + mib(1024),
        ),
        guests=tuple(
            dataclasses.replace(guest, memory_kib=guest.max_memory_kib) for guest in scenario.guests
        ),
        events=tuple(event for event in scenario.events if not isinstance(event, SetMemory)),
    )
    ideal = run_coordinator(rich, Static())
    by_guest = {}
    for spec, track in zip(scenario.guests, ideal.guests, strict=True):
        base_kib = spec.kernel_kib + spec.processes_kib + min(spec.cache_kib, _CACHE_REST_KIB)
        by_guest[spec.name] = tuple(
            min(base_kib + held_kib, spec.max_memory_kib) if running else 0
            for held_kib, running in zip(track.consumer_kib, track.running, strict=True)
        )
    room_kib = scenario.host.memory_kib - scenario.host.used_kib - reserve_kib
    lacking_kib = [max(sum(needs) - room_kib, 0) for needs in zip(*by_guest.values(), strict=True)]
    running = {track.name: track.running for track in ideal.guests}
    return Needs(by_guest, running, sum(lacking_kib) / KIB_PER_MIB)


def measured(timeline: Timeline, needs: Needs) -> Measures:
    """Return a run in figures; samples are a second apart."""
    short_kib = idle_kib = 0
    for guest in timeline.guests:
        for size_kib, need_kib in zip(guest.actual_kib, needs.by_guest[guest.name], strict=True):
            short_kib += max(need_kib - size_kib, 0)
            idle_kib += max(size_kib - need_kib, 0)
    kinds = [event.kind for event in timeline.events]
    return Measures(
        shortage_mib_s=short_kib / KIB_PER_MIB,
        idle_mib=idle_kib / KIB_PER_MIB / len(timeline.times_ns),
        kills=kinds.count("oom_kill"),
        calls=sum(call.by == "program" for call in timeline.memory_calls),
        host_swap_mib=max(timeline.host_swap_kib) / KIB_PER_MIB,
        frozen="host_frozen" in kinds,
    )
