"""A coordination policy's run in figures, by the names of measures.

Shortage and idle memory are those of `memory_measures`; what guests wrote to their own swap is read
off the simulator at each look, as no timeline holds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import fsum

from virtlab.league.cpu_measures import jain
from virtlab.league.memory_measures import Needs, measured
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.simulator.host import SimulatedHost

__all__ = ["SwapMeter", "memory_figures"]


@dataclass(slots=True)
class SwapMeter:
    """Adds up what guests write to their swap; give its `look` to `run_coordinator`."""

    _written_kib: dict[int, int] = field(default_factory=dict)  # by domain id, since its start

    def look(self, host: SimulatedHost) -> None:
        """Take note of a host now."""
        for guest in host.guests.values():
            if guest.id >= 0:
                self._written_kib[guest.id] = guest.memory.figures(host.now_ns).swap_out_kib

    @property
    def written_mib(self) -> float:
        """Return what all guests wrote in all."""
        return sum(self._written_kib.values()) / KIB_PER_MIB


def memory_figures(
    scenario: Scenario, timeline: Timeline, needs: Needs, meter: SwapMeter
) -> dict[str, float]:
    """Return a run in figures by the names of measures."""
    found = measured(timeline, needs)
    return {
        "shortage_mib_s": found.shortage_mib_s,
        "idle_mib": found.idle_mib,
        "guest_swap_mib": meter.written_mib,
        "host_swap_mib": found.host_swap_mib,
        "kills": float(found.kills),
        "freezes": float(found.frozen),
        "fairness": jain(_served(timeline, needs)),
        "calls": float(found.calls),
        "moved_mib": _moved_mib(timeline),
        "settle_s": _settle_s(scenario, timeline),
    }


def _served(timeline: Timeline, needs: Needs) -> list[float]:
    """Return the part of its need that each guest had, of those that needed anything."""
    served = []
    for guest in timeline.guests:
        need_kib = needs.by_guest[guest.name]
        if total_kib := sum(need_kib):
            had_kib = sum(map(min, guest.actual_kib, need_kib))
            served.append(had_kib / total_kib)
    return served


def _moved_mib(timeline: Timeline) -> float:
    """Return how far all balloons moved, from second to second, of guests that run."""
    moved_kib = sum(
        abs(after - before)
        for guest in timeline.guests
        for before, after, ran, runs in zip(
            guest.actual_kib, guest.actual_kib[1:], guest.running, guest.running[1:], strict=False
        )
        if ran and runs
    )
    return moved_kib / KIB_PER_MIB


def _settle_s(scenario: Scenario, timeline: Timeline) -> float:
    """Return how long after a change of load the last balloon was set, the mean of phases."""
    starts = scenario.phases_ns()
    spans_s = []
    for start, end in zip(starts, [*starts[1:], scenario.duration_ns], strict=True):
        calls = [
            call.time_ns
            for call in timeline.memory_calls
            if call.by == "program" and start <= call.time_ns < end
        ]
        spans_s.append((calls[-1] - start) / NS_PER_S if calls else 0.0)
    return fsum(spans_s) / len(spans_s)
