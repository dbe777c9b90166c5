"""The criteria of a vCPU scheduler: bound, balanced, stable.

All three go phase by phase, and a phase in which nothing could be judged is not passed.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

from virtlab.grading.criteria.affinity import (
    Unbound,
    VcpuKey,
    name_of,
    pcpu_set,
    unbound_moments,
)
from virtlab.grading.criteria.check import (
    Check,
    Limits,
    conclude,
    figure,
    nothing_judged,
    scenario_s,
)
from virtlab.grading.criteria.interference import interferences
from virtlab.grading.windows import (
    Phase,
    Window,
    phases,
    spread_points,
    utilisation_points,
    windows,
)
from virtlab.model.timeline import PinCall, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult

__all__ = ["judge_balanced", "judge_bound", "judge_stable", "settled_since_ns"]


def judge_bound(timeline: Timeline, limits: Limits, hint: str | None = None) -> CriterionResult:
    """Judge whether, once settled, the balance follows from the masks."""
    sd_max = limits["sd_points_max"] or 0.0
    checks = [
        _bound_check(timeline, phase, sd_max)
        for phase in phases(timeline, limits["settle_intervals"] or 0.0)
    ]
    return conclude("bound", checks, hint)


def judge_balanced(timeline: Timeline, limits: Limits, hint: str | None = None) -> CriterionResult:
    """Judge the evenness of the pCPUs in every window after the time to settle."""
    checks = []
    for phase in phases(timeline, limits["settle_intervals"] or 0.0):
        even = _even_check(timeline, phase, limits)
        checks.append(even)
        if limits["bound_needed"] and even.met:
            checks.append(_bound_check(timeline, phase, limits["sd_points_max"] or 0.0))
    return conclude("balanced", checks, hint)


def judge_stable(timeline: Timeline, limits: Limits, hint: str | None = None) -> CriterionResult:
    """Judge whether affinities are left alone once a phase is settled."""
    checks = [
        _stable_check(timeline, phase, limits)
        for phase in phases(timeline, limits["settle_intervals"] or 0.0)
    ]
    return conclude("stable", checks, hint)


# --- bound


def _bound_check(timeline: Timeline, phase: Phase, sd_points_max: float) -> Check:
    unit = "vCPUs not bound"
    if phase.deadline_ns >= phase.end_ns or not phase.recorded:
        return _not_judged(timeline, phase, unit)
    if act := next(interferences(timeline, phase.end_ns, unit), None):
        return act
    late = [
        moment
        for moment in unbound_moments(timeline, phase, sd_points_max)
        if moment.time_ns >= phase.deadline_ns
    ]
    if not late:
        return Check(
            True, 0, 0, unit, "at_most", f"every loaded vCPU is bound in the phase {phase.name}"
        )
    first = late[0]
    return Check(
        met=False,
        measured=len(first.vcpus),
        limit=0,
        unit=unit,
        sense="at_most",
        reason=_unbound_reason(first, sd_points_max),
        at_s=first.time_ns / NS_PER_S,
        where=name_of(first.vcpus[0]),
        way=_unbound_way(timeline),
        spans_ns=tuple(_sample_span(timeline, moment.time_ns) for moment in late),
    )


def _sample_span(timeline: Timeline, time_ns: int) -> tuple[int, int]:
    """Return the time from a moment to the next sample: what is seen there holds until then."""
    times = timeline.times_ns
    return time_ns, times[min(bisect_right(times, time_ns), len(times) - 1)]


def _unbound_way(timeline: Timeline) -> str:
    if _pinned(timeline):
        return "unbound"
    return "pins-refused" if _refused(timeline) else "never-pinned"


def _unbound_reason(moment: Unbound, sd_points_max: float) -> str:
    count = len(moment.vcpus)
    who = name_of(moment.vcpus[0]) + (f" (and {count - 1} more)" if count > 1 else "")
    text = f"{who} may still run on {pcpu_set(moment.mask)} at {scenario_s(moment.time_ns)}"
    if moment.spread_points is None:
        return f"{text}; the masks permit too many placements to call the host balanced"
    spread = figure(moment.spread_points, sd_points_max)
    return (
        f"{text}; the masks permit a placement that spreads the pCPUs by {spread} points "
        f"(limit {figure(sd_points_max)})"
    )


# --- balanced


def _even_check(timeline: Timeline, phase: Phase, limits: Limits) -> Check:
    relative_max = limits["relative_sd_max"]
    unit = "points" if relative_max is None else "of the mean"
    judged = [
        window
        for window in windows(timeline, phase, limits["window_s"] or 0.0)
        if window.start_ns >= phase.deadline_ns
    ]
    if not judged or not phase.recorded:
        return _not_judged(timeline, phase, unit)
    if act := next(interferences(timeline, phase.end_ns, unit), None):
        return act
    limit = (limits["sd_points_max"] or 0.0) if relative_max is None else relative_max
    spreads = [_spread(timeline, window, limits) for window in judged]
    # Some windows may miss on a real host; the worst of the others counts. The small number
    # keeps a tenth of twenty windows from becoming one by the rounding of 0.1.
    may_miss = math.floor((limits["windows_missed_share_max"] or 0.0) * len(judged) + 1e-9)
    counted = sorted(spreads, reverse=True)[min(may_miss, len(judged) - 1)]
    met = counted <= limit
    shown = (
        spreads.index(counted)
        if met
        else next(index for index, spread in enumerate(spreads) if spread > limit)
    )
    return Check(
        met=met,
        measured=counted if met else spreads[shown],
        limit=limit,
        unit=unit,
        sense="at_most",
        reason=_spread_reason(timeline, judged[shown], spreads, shown, limit, unit),
        at_s=judged[shown].start_s,
        where=_busiest(utilisation_points(timeline, judged[shown])),
        way=None if met else _way(timeline, judged, spreads, limit),
        spans_ns=tuple(
            (window.start_ns, window.end_ns)
            for window, spread in zip(judged, spreads, strict=True)
            if spread > limit
        ),
    )


def _spread(timeline: Timeline, window: Window, limits: Limits) -> float:
    """Return a window's figure: the deviation in points, or as a share of the mean."""
    used = utilisation_points(timeline, window)
    deviation = spread_points(used)
    if limits["relative_sd_max"] is None:
        return deviation
    mean = math.fsum(used) / len(used)
    # A relative rule trips on the noise of an idle host, so it is not judged there.
    idle = mean <= 0 or mean < 100 * (limits["relative_mean_min"] or 0.0)
    return 0.0 if idle else deviation / mean


def _spread_reason(
    timeline: Timeline, window: Window, spreads: list[float], shown: int, limit: float, unit: str
) -> str:
    used = utilisation_points(timeline, window)
    listed = " ".join(f"{points:.0f}" for points in used[:16]) + (" ..." if len(used) > 16 else "")
    if unit == "points":
        spread, most = f"{figure(spreads[shown], limit)} points", figure(limit)
    else:  # a share, which reads better in per cent
        spread, most = f"{figure(100 * spreads[shown], 100 * limit)} % {unit}", f"{100 * limit:g} %"
    text = f"standard deviation {spread} in {window.name} (limit {most}); pCPUs in %: {listed}"
    missed = sum(spread > limit for spread in spreads)
    return text if missed < 2 else f"{text}; {missed} of {len(spreads)} windows miss"


def _pinned(timeline: Timeline) -> bool:
    return any(pin.effective and pin.by == "program" for pin in timeline.pins)


def _refused(timeline: Timeline) -> bool:
    return any(
        call.error is not None and call.procedure.startswith("virDomainPinVcpu")
        for call in timeline.calls
    )


def _busiest(used: list[float]) -> str:
    return f"pCPU {used.index(max(used))}"


def _way(
    timeline: Timeline, judged: list[Window], spreads: list[float], limit: float
) -> str | None:
    if not _pinned(timeline):
        return _unbound_way(timeline)
    if spreads[-1] <= limit:
        return "late"
    idle = min(utilisation_points(timeline, judged[-1])) < 1.0
    return "idle-pcpu" if idle else None


# --- stable


def _stable_check(timeline: Timeline, phase: Phase, limits: Limits) -> Check:
    unit = "changes"
    settled_ns = settled_since_ns(timeline, phase, limits)
    if settled_ns >= phase.end_ns or not phase.recorded:
        return _not_judged(timeline, phase, unit)
    late = list(_changes(timeline, settled_ns, phase.end_ns))
    if not late:
        reason = f"no affinity changed from {scenario_s(settled_ns)} on in the phase {phase.name}"
        return Check(True, 0, 0, unit, "at_most", reason)
    first = late[0]
    key = (first.guest, first.vcpu)
    plural = "change" if len(late) == 1 else "changes"
    return Check(
        met=False,
        measured=len(late),
        limit=0,
        unit=unit,
        sense="at_most",
        reason=f"{len(late)} {plural} of affinity after the host was settled at "
        f"{scenario_s(settled_ns)} (limit 0); the first moves {name_of(key)} to "
        f"{pcpu_set(first.pcpus)} at {scenario_s(first.time_ns)}",
        at_s=first.time_ns / NS_PER_S,
        where=name_of(key),
        way="back-and-forth" if _came_back(late) else None,
        spans_ns=tuple((pin.time_ns, pin.time_ns) for pin in late),
    )


def settled_since_ns(timeline: Timeline, phase: Phase, limits: Limits) -> int:
    """Return the end of the first window from which on all are balanced and bound.

    The deadline at the latest: a program that never balances still has to keep still.
    """
    sd_max = limits["sd_points_max"] or 0.0
    unbound = [moment.time_ns for moment in unbound_moments(timeline, phase, sd_max)]
    settled_ns = phase.deadline_ns
    for window in reversed(list(windows(timeline, phase, limits["window_s"] or 0.0))):
        even = spread_points(utilisation_points(timeline, window)) <= sd_max
        if not even or any(window.start_ns <= time < window.end_ns for time in unbound):
            break
        settled_ns = min(phase.deadline_ns, window.end_ns)
    return settled_ns


def _changes(timeline: Timeline, start_ns: int, end_ns: int) -> Iterator[PinCall]:
    return (
        pin
        for pin in timeline.pins
        if pin.effective and pin.by == "program" and start_ns <= pin.time_ns < end_ns
    )


def _came_back(pins: list[PinCall]) -> bool:
    """Return whether some vCPU is sent twice to the same place, with another one between."""
    seen: set[tuple[VcpuKey, tuple[int, ...]]] = set()
    for pin in pins:
        place = ((pin.guest, pin.vcpu), pin.pcpus)
        if place in seen:
            return True
        seen.add(place)
    return False


def _not_judged(timeline: Timeline, phase: Phase, unit: str) -> Check:
    if not phase.recorded:
        last = scenario_s(timeline.times_ns[-1]) if timeline.times_ns else "the start"
        why = f"the record ends at {last}"
    else:
        why = "the phase is too short"
    return nothing_judged(
        unit,
        f"nothing could be judged in the phase {phase.name}: {why}",
        at_s=phase.start_ns / NS_PER_S,
    )
