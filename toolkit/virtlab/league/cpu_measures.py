"""How well vCPUs were off under a scheduling policy: waiting, work, evenness, moves, fairness.

The first three looks count for work and fairness alone: no policy can know anything at the first,
and acts at the second at the earliest. Formulas stand in docs/explanation/league.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, sqrt

from virtlab.league.cpu_meter import CpuLook, CpuMeter
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import Timeline
from virtlab.model.topology import FULL_CAPACITY, Topology
from virtlab.model.units import NS_PER_S

__all__ = ["SKIPPED_LOOKS", "cpu_figures", "jain", "judged", "peak_of"]

SKIPPED_LOOKS = 3
_WINDOW = 2  # samples, which are a second apart
_EVEN_POINTS = 5.0  # the course's limit (docs/reference/rules.md)


def cpu_figures(scenario: Scenario, timeline: Timeline, meter: CpuMeter) -> dict[str, float]:
    """Return a run in figures by the names of measures."""
    topology = scenario.host.layout
    interval_ns = scenario.interval_s * NS_PER_S
    begin = -(-SKIPPED_LOOKS * interval_ns // NS_PER_S)  # the first sample that counts
    spreads = [_spread(timeline, at) for at in range(len(timeline.times_ns) - _WINDOW)]
    mine = [pin for pin in timeline.pins if pin.by == "program"]
    peaks = [peak_of(look, topology) for look in judged(meter.looks)]
    keys = [key for key, due_ns in meter.due_ns.items() if due_ns > 0.0]
    return {
        "delay_p99": _p99(_delays(timeline, begin)),
        "work_s": meter.work_s,
        "peak": fsum(peaks) / len(peaks) if peaks else 0.0,
        "spread": fsum(spreads[begin:]) / max(len(spreads[begin:]), 1),
        "moves": float(sum(pin.effective for pin in mine)),
        "calls": float(len(mine)),
        "settle_s": _settle_s(scenario, spreads),
        "fairness": jain([meter.run_ns[key] / meter.due_ns[key] for key in keys]),
    }


def judged(looks: Sequence[CpuLook]) -> Sequence[CpuLook]:
    """Return the looks over which a policy is judged; at the last one the run is over."""
    return looks[SKIPPED_LOOKS:-1]


def peak_of(look: CpuLook, topology: Topology) -> float:
    """Return what the loads on the fullest pCPU want, as a share of what that pCPU can do."""
    loads = [0.0] * len(topology.capacity)
    for wish in look.wishes:
        loads[wish.pcpu] += wish.demand
    return max(
        load * FULL_CAPACITY / capacity
        for load, capacity in zip(loads, topology.capacity, strict=True)
    )


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index: 1 where all have the same, 1/n where one of n has everything.

    Source: Jain, Chiu and Hawe, A Quantitative Measure of Fairness and Discrimination, DEC-TR-301,
    1984.
    """
    squares = fsum(share * share for share in shares)
    return fsum(shares) ** 2 / (len(shares) * squares) if squares > 0.0 else 1.0


def _delays(timeline: Timeline, begin: int) -> list[float]:
    """Return the share of each second that each vCPU waited, of those with a load all along."""
    return [
        (track.delay_ns[at + 1] - track.delay_ns[at]) / NS_PER_S
        for guest in timeline.guests
        for track in guest.vcpus
        for at in range(begin, len(timeline.times_ns) - 1)
        if track.loaded[at] and track.loaded[at + 1]
    ]


def _p99(values: list[float]) -> float:
    """Return the value that one in a hundred exceeds at most; 0 where there is none."""
    values.sort()
    return values[min(-(-99 * len(values) // 100), len(values)) - 1] if values else 0.0


def _spread(timeline: Timeline, at: int) -> float:
    """Return the standard deviation of the pCPUs' use in the window from a sample on, in points."""
    span_ns = timeline.times_ns[at + _WINDOW] - timeline.times_ns[at]
    used = [100.0 * (busy[at + _WINDOW] - busy[at]) / span_ns for busy in timeline.pcpu_busy_ns]
    mean = fsum(used) / len(used)
    return sqrt(fsum((one - mean) ** 2 for one in used) / len(used))


def _settle_s(scenario: Scenario, spreads: Sequence[float]) -> float:
    """Return how long after a change of load it takes to be even for good, the mean of phases."""
    starts = [-(-phase // NS_PER_S) for phase in scenario.phases_ns()]
    spans = []
    for start, end in zip(starts, [*starts[1:], scenario.duration_s], strict=True):
        windows = spreads[start : max(end - _WINDOW + 1, start)]
        uneven = [at for at, spread in enumerate(windows) if spread > _EVEN_POINTS]
        if not uneven:
            spans.append(0)
        elif uneven[-1] == len(windows) - 1:
            spans.append(end - start)
        else:
            spans.append(uneven[-1] + 1)
    return fsum(spans) / len(spans)
