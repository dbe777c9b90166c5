"""The criterion of taking memory back: releases-gradually."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.grading.criteria.check import (
    Check,
    Limits,
    conclude,
    figure,
    scenario_s,
)
from virtlab.grading.criteria.memory_record import (
    BATCH_MIB,
    Step,
    ends_early,
    episodes_of,
    growth_mib,
    mib,
    start_mib,
    steps_of,
)
from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult

__all__ = ["judge_releases_gradually"]


def judge_releases_gradually(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge how memory comes back from guests that grew, and whether the others keep theirs."""
    checks = list(ends_early(timeline))
    grew_min = limits["grew_mib_min"] or 0.0
    consumers = [guest for guest in timeline.guests if episodes_of(timeline, guest)]
    grown = [guest for guest in consumers if growth_mib(guest) >= grew_min - BATCH_MIB]
    if not grown:
        checks.append(_nothing_grew(consumers, grew_min))
    for guest in timeline.guests:
        if guest in grown:
            checks.append(_release_steps(timeline, guest, limits))
            checks += _comes_back(timeline, guest, limits)
        elif guest not in consumers and any(guest.running):
            checks.append(_release_steps(timeline, guest, limits))
            checks.append(_idle_size(timeline, guest, limits))
            checks.append(_idle_unused(timeline, guest, limits))
    return conclude("releases-gradually", checks, hint)


def _nothing_grew(consumers: list[GuestTrack], grew_min: float) -> Check:
    most = max((growth_mib(guest) for guest in consumers), default=0.0)
    return Check(
        met=False,
        measured=most,
        limit=grew_min,
        unit="MiB",
        sense="at_least",
        reason=f"no guest that consumes grew by {figure(grew_min)} MiB (at most "
        f"{figure(most, grew_min)}), so nothing could be released",
        way="nothing-grew",
    )


def _release_steps(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Check:
    step_max = limits["step_mib_max"] or 0.0
    share_max = limits["step_share_max"] or 0.0

    def allowed(step: Step) -> float:
        return min(step_max, share_max * step.from_mib)

    down = [step for step in steps_of(timeline, guest) if step.by_mib < 0]
    worst = min(
        down, key=lambda step: allowed(step) + step.by_mib, default=Step(0, step_max / 0.333, 0.0)
    )
    limit, taken = allowed(worst), -worst.by_mib
    return Check(
        met=taken <= limit + BATCH_MIB,
        measured=taken,
        limit=limit,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} gives at most {figure(taken, limit)} of {figure(worst.from_mib)} MiB "
        f"in one interval, at {scenario_s(worst.start_ns)} (limit {figure(limit)})"
        if down
        else f"{guest.name} never gives memory",
        at_s=worst.start_ns / NS_PER_S,
        where=guest.name,
        way="step",
        spans_ns=tuple(
            step.span_ns(timeline) for step in down if -step.by_mib > allowed(step) + BATCH_MIB
        ),
    )


def _comes_back(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Iterator[Check]:
    last = episodes_of(timeline, guest)[-1]
    if not last.ended or not guest.running[-1]:
        return
    limit = max(limits["back_mib_max"] or 0.0, start_mib(timeline, guest))
    size = mib(guest.actual_kib[-1])
    end_ns = timeline.times_ns[-1]
    yield Check(
        met=size <= limit + BATCH_MIB,
        measured=size,
        limit=limit,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} is at {figure(size, limit)} MiB at the end (limit {figure(limit)}); "
        f"its consumer ended at {scenario_s(timeline.times_ns[last.last])}",
        at_s=end_ns / NS_PER_S,
        where=guest.name,
        way="kept",
    )


def _idle_size(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Check:
    index = max(range(len(guest.actual_kib)), key=guest.actual_kib.__getitem__)
    limit = limits["idle_band_mib"] or 0.0
    grown = max(mib(guest.actual_kib[index]) - start_mib(timeline, guest), 0.0)
    return Check(
        met=grown <= limit + BATCH_MIB,
        measured=grown,
        limit=limit,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} consumes nothing and grows by at most {figure(grown, limit)} MiB, "
        f"at {scenario_s(timeline.times_ns[index])} (limit {figure(limit)})",
        at_s=timeline.times_ns[index] / NS_PER_S,
        where=guest.name,
        way="idle-grew",
    )


def _idle_unused(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Check:
    running = [index for index, runs in enumerate(guest.running) if runs]
    index = min(running, key=guest.unused_kib.__getitem__)
    # A guest that starts with less cannot be asked to keep more than it had.
    limit = min(limits["unused_mib_min"] or 0.0, mib(guest.unused_kib[running[0]]))
    unused = mib(guest.unused_kib[index])
    return Check(
        met=unused >= limit - BATCH_MIB,
        measured=unused,
        limit=limit,
        unit="MiB",
        sense="at_least",
        reason=f"{guest.name} consumes nothing and keeps at least {figure(unused, limit)} MiB "
        f"unused, at {scenario_s(timeline.times_ns[index])} (limit {figure(limit)})",
        at_s=timeline.times_ns[index] / NS_PER_S,
        where=guest.name,
        way="idle-drained",
    )
