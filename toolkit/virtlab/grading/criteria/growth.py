"""The criteria of giving memory: takes-gradually, reaches-maximum."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.grading.criteria.check import (
    Check,
    Limits,
    conclude,
    figure,
    nothing_judged,
    scenario_s,
)
from virtlab.grading.criteria.memory_record import (
    BATCH_MIB,
    Episode,
    Step,
    could_give_mib,
    ends_early,
    episodes_of,
    mib,
    steps_of,
)
from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.verdict import CriterionResult

__all__ = ["judge_reaches_maximum", "judge_takes_gradually"]

_STATISTICS = "virDomainMemoryStats"
_PERIOD = "virDomainSetMemoryStatsPeriod"


def judge_takes_gradually(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge how the guests that consume are given memory."""
    checks = list(ends_early(timeline))
    for guest in timeline.guests:
        found = episodes_of(timeline, guest)
        if found:
            checks.append(_growth_steps(timeline, guest, limits))
        for episode in found:
            checks.append(_short(timeline, guest, episode, limits))
            checks += _reach(timeline, guest, episode, limits)
            checks += _grows(guest, episode, limits, timeline)
    if not checks:
        checks.append(nothing_judged("MiB", "no guest consumed memory, so nothing could be judged"))
    return conclude("takes-gradually", checks, hint)


def judge_reaches_maximum(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge whether some guest came near its maximum."""
    reach = limits["reach_mib"] or 0.0
    nearest = [
        (mib(guest.max_memory_kib - guest.actual_kib[index]), timeline.times_ns[index], guest)
        for guest in timeline.guests
        if guest.actual_kib
        for index in [max(range(len(guest.actual_kib)), key=guest.actual_kib.__getitem__)]
    ]
    if not nearest:
        return conclude("reaches-maximum", [nothing_judged("MiB", "there was no guest")], hint)
    gap, time_ns, guest = min(nearest, key=lambda item: item[0])
    check = Check(
        met=gap <= reach + BATCH_MIB,
        measured=max(gap, 0.0),
        limit=reach,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} comes nearest to its maximum of "
        f"{figure(mib(guest.max_memory_kib))} MiB: {figure(max(gap, 0.0), reach)} MiB below it "
        f"at {scenario_s(time_ns)} (limit {figure(reach)})",
        at_s=time_ns / NS_PER_S,
        where=guest.name,
    )
    return conclude("reaches-maximum", [check], hint)


def _growth_steps(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Check:
    limit = limits["step_mib_max"] or 0.0
    steps = list(steps_of(timeline, guest))
    worst = max(steps, key=lambda step: step.by_mib, default=Step(0, 0.0, 0.0))
    grown = max(worst.by_mib, 0.0)
    return Check(
        met=grown <= limit + BATCH_MIB,
        measured=grown,
        limit=limit,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} grows by at most {figure(grown, limit)} MiB in one interval, at "
        f"{scenario_s(worst.start_ns)} (limit {figure(limit)})",
        at_s=worst.start_ns / NS_PER_S,
        where=guest.name,
        way="jump",
        spans_ns=tuple(step.span_ns(timeline) for step in steps if step.by_mib > limit + BATCH_MIB),
    )


def _short(timeline: Timeline, guest: GuestTrack, episode: Episode, limits: Limits) -> Check:
    """Judge the longest time with too little unused memory that could have been helped."""
    floor = limits["unused_mib_min"] or 0.0
    reach = limits["reach_mib"] or 0.0
    spare = limits["host_spare_mib_min"] or 0.0
    limit = limits["short_intervals_max"] or 0.0
    runs: list[list[int]] = [[]]
    for index in range(episode.first, episode.last + 1):
        short = (
            guest.running[index]
            and mib(guest.unused_kib[index]) < floor - BATCH_MIB
            and mib(guest.max_memory_kib - guest.actual_kib[index]) > reach + BATCH_MIB
            and could_give_mib(timeline, index, guest, limits) >= spare
        )
        if short:
            runs[-1].append(index)
        else:
            runs.append([])
    longest = max(runs, key=len)
    times = timeline.times_ns
    lasted = (times[longest[-1]] - times[longest[0]]) / timeline.interval_ns if longest else 0.0
    least = min((mib(guest.unused_kib[index]) for index in longest), default=0.0)
    start_ns = times[longest[0]] if longest else times[episode.first]
    return Check(
        met=lasted <= limit,
        measured=lasted,
        limit=limit,
        unit="intervals",
        sense="at_most",
        reason=f"{guest.name} has less than {figure(floor)} MiB unused for {figure(lasted, limit)} "
        f"intervals from {scenario_s(start_ns)} on, at worst {figure(least)} MiB, while the host "
        f"had memory to give (limit {figure(limit)})"
        if longest
        else f"{guest.name} always has {figure(floor)} MiB unused while it can grow",
        at_s=start_ns / NS_PER_S,
        where=guest.name,
        way=_short_way(timeline),
        spans_ns=tuple(
            (times[run[0]], times[run[-1]])
            for run in runs
            if run and (times[run[-1]] - times[run[0]]) / timeline.interval_ns > limit
        ),
    )


def _short_way(timeline: Timeline) -> str:
    """Tell a coordinator that saw the guest's boot only, as no statistics period was ever set."""
    complete = timeline.calls_total == len(timeline.calls)
    names = {call.procedure for call in timeline.calls}
    blind = complete and _STATISTICS in names and _PERIOD not in names
    return "no-period" if blind else "short"


def _reach(
    timeline: Timeline, guest: GuestTrack, episode: Episode, limits: Limits
) -> Iterator[Check]:
    """Judge whether a consumer that wanted all got it: it did where it was killed."""
    could_give = could_give_mib(timeline, episode.last, guest, limits)
    if not episode.killed or could_give < (limits["host_spare_mib_min"] or 0.0):
        return
    reach = limits["reach_mib"] or 0.0
    sizes = guest.actual_kib[episode.first : episode.last + 1]
    gap = max(mib(guest.max_memory_kib - max(sizes)), 0.0)
    end_ns = timeline.times_ns[episode.last]
    yield Check(
        met=gap <= reach + BATCH_MIB,
        measured=gap,
        limit=reach,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} is at best {figure(gap, reach)} MiB below its maximum before its "
        f"consumer's end at {scenario_s(end_ns)} (limit {figure(reach)}); the host had "
        f"{figure(could_give)} MiB to give",
        at_s=end_ns / NS_PER_S,
        where=guest.name,
        way="early-end",
    )


def _grows(
    guest: GuestTrack, episode: Episode, limits: Limits, timeline: Timeline
) -> Iterator[Check]:
    """Judge whether the balloon grows at all, where the consumer left too little unused."""
    span = range(episode.first, episode.last + 1)
    floor_kib = ((limits["unused_mib_min"] or 0.0) - BATCH_MIB) * KIB_PER_MIB
    reach_kib = (limits["reach_mib"] or 0.0) * KIB_PER_MIB
    spare = limits["host_spare_mib_min"] or 0.0
    needed = any(
        guest.unused_kib[index] < floor_kib
        and guest.max_memory_kib - guest.actual_kib[index] > reach_kib
        and could_give_mib(timeline, index, guest, limits) >= spare
        for index in span
    )
    start_kib = guest.actual_kib[episode.first]
    if needed and max(guest.actual_kib[index] for index in span) <= start_kib:
        yield Check(
            met=False,
            measured=0.0,
            limit=None,
            unit="MiB",
            sense="at_least",
            reason=f"{guest.name} does not grow while it consumes: it stays at "
            f"{figure(mib(start_kib))} MiB",
            at_s=timeline.times_ns[episode.first] / NS_PER_S,
            where=guest.name,
            way=_short_way(timeline),
        )
