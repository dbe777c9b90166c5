"""What could be had on a scenario: a floor under the busiest pCPU, moves, and shortage.

Each figure says how it was found: `exact` (proven that nobody does better, and that it can be
had), `bound` (proven that nobody does better), or `clairvoyant` (what somebody reaches who knows
everything beforehand).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from virtlab.league.clairvoyant import foreseen
from virtlab.league.cpu_measures import judged
from virtlab.league.cpu_meter import CpuLook, CpuMeter
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.memory_measures import Needs
from virtlab.league.memory_run import COURSE_LIMITS
from virtlab.league.placement_optimum import (
    EXACT_VCPUS_MAX,
    Bound,
    fewest_moved,
    has_solver,
    least_peak,
)
from virtlab.model.scenario import PinVcpu, Scenario
from virtlab.model.snapshot import VcpuKey
from virtlab.model.topology import FULL_CAPACITY
from virtlab.policies.bounds import fewest_moves, least_busiest
from virtlab.policies.scheduling.leave_alone import LeaveAlone

__all__ = ["NEAR_SHARE", "NO_SOLVER", "Found", "cpu_optimum", "memory_optimum"]

NEAR_SHARE = 0.05  # of a pCPU above the optimum, at which a placement counts as even: the course's
NO_SOLVER = (
    "OR-tools are not installed: what could be had is a relaxation, and nothing is said of what a "
    "clairvoyant reaches (fix: pip install 'virtlab[league]')."
)
_EXACT_MOMENTS_MAX = 4  # sets of loads in a run, beyond which the relaxation has to do

_Loads = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Figures by the names of measures, and how each was found."""

    figures: Mapping[str, float]
    how: Mapping[str, str]


def cpu_optimum(scenario: Scenario) -> Found:
    """Return what could be had on a scheduler's scenario: the busiest pCPU, and moves.

    Up to 200 vCPUs and 4 sets of loads it is solved exactly, where OR-tools are installed; else
    the floors of `policies.bounds` stand in their place.
    """
    meter = CpuMeter()
    run_scheduler(scenario, LeaveAlone(), on_look=meter.look)
    looks = judged(meter.looks)
    if not looks:
        return Found({}, {})
    keys = sorted({wish.vcpu for look in looks for wish in look.wishes})
    seen = [_loads(look, keys) for look in looks]
    moments = list(dict.fromkeys(seen))
    exactly = has_solver() and len(keys) <= EXACT_VCPUS_MAX and len(moments) <= _EXACT_MOMENTS_MAX
    capacity = scenario.host.layout.capacity
    peaks = {loads: _peak(loads, capacity, exactly=exactly) for loads in moments}
    limits = [peaks[loads].value + NEAR_SHARE for loads in moments]
    masks = [_first_mask(scenario, key) for key in keys]
    moves = _moves(moments, limits, masks, capacity, exactly=exactly)
    mean = fsum(peaks[loads].value for loads in seen) / len(seen)
    how = {
        "peak": _word(all(peak.exact for peak in peaks.values())),
        "moves": _word(moves.exact),
    }
    return Found({"peak": mean, "moves": moves.value}, how)


def memory_optimum(scenario: Scenario, needs: Needs) -> Found:
    """Return what could be had on a coordinator's scenario: shortage, and idle memory beside it."""
    if has_solver():
        best = foreseen(
            scenario,
            needs,
            reserve_kib=COURSE_LIMITS.reserve_kib,
            floor_kib=COURSE_LIMITS.floor_kib,
        )
        if best is not None:
            figures = {"shortage_mib_s": best.shortage_mib_s, "idle_mib": best.idle_mib}
            return Found(figures, dict.fromkeys(figures, "clairvoyant"))
    return Found({"shortage_mib_s": needs.least_mib_s}, {"shortage_mib_s": "bound"})


def _loads(look: CpuLook, keys: Sequence[VcpuKey]) -> _Loads:
    demands = {wish.vcpu: wish.demand for wish in look.wishes}
    return tuple(demands.get(key, 0.0) for key in keys)


def _peak(loads: _Loads, capacity: Sequence[int], *, exactly: bool) -> Bound:
    there = [load for load in loads if load > 0.0]
    speeds = [one / FULL_CAPACITY for one in capacity]
    floor = least_busiest(there, [0.0] * len(speeds), speeds)
    if not exactly or not there:
        return Bound(floor, exact=False)
    solved = least_peak(there, capacity)
    return Bound(max(floor, solved.value), solved.exact)


def _moves(
    moments: Sequence[_Loads],
    limits: Sequence[float],
    masks: Sequence[frozenset[int] | None],
    capacity: Sequence[int],
    *,
    exactly: bool,
) -> Bound:
    relaxed = max(
        _relaxed_moves(loads, limit, masks, capacity)
        for loads, limit in zip(moments, limits, strict=True)
    )
    if not exactly:
        return Bound(float(relaxed), exact=False)
    solved = fewest_moved(moments, limits, masks, capacity)
    return Bound(max(float(relaxed), solved.value), solved.exact)


def _relaxed_moves(
    loads: _Loads,
    limit: float,
    masks: Sequence[frozenset[int] | None],
    capacity: Sequence[int],
) -> int:
    """Count who has to leave pCPUs that are too full; who may run on several counts nowhere."""
    bound_to: list[list[float]] = [[] for _ in capacity]
    for load, mask in zip(loads, masks, strict=True):
        if load > 0.0 and mask is not None and len(mask) == 1:
            (home,) = mask
            bound_to[home].append(load * FULL_CAPACITY / capacity[home])
    return fewest_moves([(here, 0.0) for here in bound_to], limit)


def _first_mask(scenario: Scenario, key: VcpuKey) -> frozenset[int] | None:
    """Return where a vCPU may run at first; None: anywhere, or somebody else moves it, too."""
    for event in scenario.events:
        if isinstance(event, PinVcpu) and (event.guest, event.vcpu) == key:
            return None
    spec = next(guest for guest in scenario.guests if guest.name == key.guest)
    mask = spec.affinity[key.number] if key.number < len(spec.affinity) else None
    return None if mask is None else frozenset(mask)


def _word(exact: bool) -> str:
    return "exact" if exact else "bound"
