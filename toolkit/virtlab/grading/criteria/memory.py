"""The criteria of a memory coordinator: takes-gradually, releases-gradually, reaches-maximum.

Who consumes is read from the truth, the memory that loads hold. A step is what the balloon's
actual size moves between two boundaries of intervals; what the scenario itself sets is no step
of the program's.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.grading.criteria.check import (
    Check,
    Limits,
    conclude,
    figure,
    nothing_judged,
    scenario_s,
)
from virtlab.grading.windows import interval_samples
from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.verdict import CriterionResult

__all__ = ["judge_reaches_maximum", "judge_releases_gradually", "judge_takes_gradually"]

# A balloon moves in batches of 256 pages, so it may miss a target by one of these. It also lets
# 100 MiB pass as a third of 300. Source: Linux, virtio_balloon.c.
_BATCH_MIB = 1.0
_STATISTICS = "virDomainMemoryStats"
_PERIOD = "virDomainSetMemoryStatsPeriod"


@dataclass(frozen=True, slots=True)
class _Episode:
    """One time of consuming in one guest, as indices of samples."""

    first: int  # the last sample before it
    last: int  # the last sample at which it held memory
    ended: bool  # before the record did
    killed: bool  # by the guest's own out-of-memory killer


@dataclass(frozen=True, slots=True)
class _Step:
    """A change of a guest's size from one interval to the next."""

    start_ns: int
    from_mib: float
    by_mib: float

    def span_ns(self, timeline: Timeline) -> tuple[int, int]:
        """Return the interval in which it was taken."""
        return self.start_ns, self.start_ns + timeline.interval_ns


def judge_takes_gradually(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge how the guests that consume are given memory."""
    checks = list(_ends_early(timeline))
    for guest in timeline.guests:
        found = _episodes(timeline, guest)
        if found:
            checks.append(_growth_steps(timeline, guest, limits))
        for episode in found:
            checks.append(_short(timeline, guest, episode, limits))
            checks += _reach(timeline, guest, episode, limits)
            checks += _grows(guest, episode, limits, timeline)
    if not checks:
        checks.append(nothing_judged("MiB", "no guest consumed memory, so nothing could be judged"))
    return conclude("takes-gradually", checks, hint)


def judge_releases_gradually(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge how memory comes back from guests that grew, and whether the others keep theirs."""
    checks = list(_ends_early(timeline))
    grew_min = limits["grew_mib_min"] or 0.0
    consumers = [guest for guest in timeline.guests if _episodes(timeline, guest)]
    grown = [guest for guest in consumers if _growth_mib(guest) >= grew_min - _BATCH_MIB]
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


def judge_reaches_maximum(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge whether some guest came near its maximum."""
    reach = limits["reach_mib"] or 0.0
    nearest = [
        (_mib(guest.max_memory_kib - guest.actual_kib[index]), timeline.times_ns[index], guest)
        for guest in timeline.guests
        if guest.actual_kib
        for index in [max(range(len(guest.actual_kib)), key=guest.actual_kib.__getitem__)]
    ]
    if not nearest:
        return conclude("reaches-maximum", [nothing_judged("MiB", "there was no guest")], hint)
    gap, time_ns, guest = min(nearest, key=lambda item: item[0])
    check = Check(
        met=gap <= reach + _BATCH_MIB,
        measured=max(gap, 0.0),
        limit=reach,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} comes nearest to its maximum of "
        f"{figure(_mib(guest.max_memory_kib))} MiB: {figure(max(gap, 0.0), reach)} MiB below it "
        f"at {scenario_s(time_ns)} (limit {figure(reach)})",
        at_s=time_ns / NS_PER_S,
        where=guest.name,
    )
    return conclude("reaches-maximum", [check], hint)


# --- takes gradually


def _growth_steps(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Check:
    limit = limits["step_mib_max"] or 0.0
    steps = list(_steps(timeline, guest))
    worst = max(steps, key=lambda step: step.by_mib, default=_Step(0, 0.0, 0.0))
    grown = max(worst.by_mib, 0.0)
    return Check(
        met=grown <= limit + _BATCH_MIB,
        measured=grown,
        limit=limit,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} grows by at most {figure(grown, limit)} MiB in one interval, at "
        f"{scenario_s(worst.start_ns)} (limit {figure(limit)})",
        at_s=worst.start_ns / NS_PER_S,
        where=guest.name,
        way="jump",
        spans_ns=tuple(
            step.span_ns(timeline) for step in steps if step.by_mib > limit + _BATCH_MIB
        ),
    )


def _short(timeline: Timeline, guest: GuestTrack, episode: _Episode, limits: Limits) -> Check:
    """Judge the longest time with too little unused memory that could have been helped."""
    floor = limits["unused_mib_min"] or 0.0
    reach = limits["reach_mib"] or 0.0
    spare = limits["host_spare_mib_min"] or 0.0
    limit = limits["short_intervals_max"] or 0.0
    runs: list[list[int]] = [[]]
    for index in range(episode.first, episode.last + 1):
        short = (
            guest.running[index]
            and _mib(guest.unused_kib[index]) < floor - _BATCH_MIB
            and _mib(guest.max_memory_kib - guest.actual_kib[index]) > reach + _BATCH_MIB
            and _mib(timeline.host_free_kib[index]) >= spare
        )
        if short:
            runs[-1].append(index)
        else:
            runs.append([])
    longest = max(runs, key=len)
    times = timeline.times_ns
    lasted = (times[longest[-1]] - times[longest[0]]) / timeline.interval_ns if longest else 0.0
    least = min((_mib(guest.unused_kib[index]) for index in longest), default=0.0)
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
    timeline: Timeline, guest: GuestTrack, episode: _Episode, limits: Limits
) -> Iterator[Check]:
    """Judge whether a consumer that wanted all got it: it did where it was killed."""
    host_free = _mib(timeline.host_free_kib[episode.last])
    if not episode.killed or host_free < (limits["host_spare_mib_min"] or 0.0):
        return
    reach = limits["reach_mib"] or 0.0
    sizes = guest.actual_kib[episode.first : episode.last + 1]
    gap = max(_mib(guest.max_memory_kib - max(sizes)), 0.0)
    end_ns = timeline.times_ns[episode.last]
    yield Check(
        met=gap <= reach + _BATCH_MIB,
        measured=gap,
        limit=reach,
        unit="MiB",
        sense="at_most",
        reason=f"{guest.name} is at best {figure(gap, reach)} MiB below its maximum before its "
        f"consumer's end at {scenario_s(end_ns)} (limit {figure(reach)}); the host had "
        f"{figure(host_free)} MiB free",
        at_s=end_ns / NS_PER_S,
        where=guest.name,
        way="early-end",
    )


def _grows(
    guest: GuestTrack, episode: _Episode, limits: Limits, timeline: Timeline
) -> Iterator[Check]:
    """Judge whether the balloon grows at all, where the consumer left too little unused."""
    span = range(episode.first, episode.last + 1)
    floor_kib = ((limits["unused_mib_min"] or 0.0) - _BATCH_MIB) * KIB_PER_MIB
    reach_kib = (limits["reach_mib"] or 0.0) * KIB_PER_MIB
    spare_kib = (limits["host_spare_mib_min"] or 0.0) * KIB_PER_MIB
    needed = any(
        guest.unused_kib[index] < floor_kib
        and guest.max_memory_kib - guest.actual_kib[index] > reach_kib
        and timeline.host_free_kib[index] >= spare_kib
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
            f"{figure(_mib(start_kib))} MiB",
            at_s=timeline.times_ns[episode.first] / NS_PER_S,
            where=guest.name,
            way=_short_way(timeline),
        )


# --- releases gradually


def _nothing_grew(consumers: list[GuestTrack], grew_min: float) -> Check:
    most = max((_growth_mib(guest) for guest in consumers), default=0.0)
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

    def allowed(step: _Step) -> float:
        return min(step_max, share_max * step.from_mib)

    down = [step for step in _steps(timeline, guest) if step.by_mib < 0]
    worst = min(
        down, key=lambda step: allowed(step) + step.by_mib, default=_Step(0, step_max / 0.333, 0.0)
    )
    limit, taken = allowed(worst), -worst.by_mib
    return Check(
        met=taken <= limit + _BATCH_MIB,
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
            step.span_ns(timeline) for step in down if -step.by_mib > allowed(step) + _BATCH_MIB
        ),
    )


def _comes_back(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Iterator[Check]:
    last = _episodes(timeline, guest)[-1]
    if not last.ended or not guest.running[-1]:
        return
    limit = max(limits["back_mib_max"] or 0.0, _start_mib(timeline, guest))
    size = _mib(guest.actual_kib[-1])
    end_ns = timeline.times_ns[-1]
    yield Check(
        met=size <= limit + _BATCH_MIB,
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
    grown = max(_mib(guest.actual_kib[index]) - _start_mib(timeline, guest), 0.0)
    return Check(
        met=grown <= limit + _BATCH_MIB,
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
    limit = min(limits["unused_mib_min"] or 0.0, _mib(guest.unused_kib[running[0]]))
    unused = _mib(guest.unused_kib[index])
    return Check(
        met=unused >= limit - _BATCH_MIB,
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


# --- what a record says of a guest


def _ends_early(timeline: Timeline) -> Iterator[Check]:
    last_ns = timeline.times_ns[-1]
    if last_ns < timeline.duration_ns - timeline.interval_ns:
        yield nothing_judged(
            "MiB",
            f"the record ends at {scenario_s(last_ns)} of {scenario_s(timeline.duration_ns)}, so "
            "the whole could not be judged",
            at_s=last_ns / NS_PER_S,
        )


def _episodes(timeline: Timeline, guest: GuestTrack) -> list[_Episode]:
    """Return the times in which loads held memory in a guest, in order."""
    held = guest.consumer_kib
    found, first = [], None
    for index, kib in enumerate(held):
        if kib > 0 and first is None:
            first = max(index - 1, 0)
        elif kib == 0 and first is not None:
            found.append(_Episode(first, index - 1, True, _killed(timeline, guest, first, index)))
            first = None
    if first is not None:
        last = len(held) - 1
        found.append(_Episode(first, last, False, _killed(timeline, guest, first, last)))
    return found


def _killed(timeline: Timeline, guest: GuestTrack, first: int, last: int) -> bool:
    start_ns, end_ns = timeline.times_ns[first], timeline.times_ns[last]
    return any(
        event.kind == "oom_kill"
        and event.guest == guest.name
        and start_ns <= event.time_ns <= end_ns
        for event in timeline.events
    )


def _start_mib(timeline: Timeline, guest: GuestTrack) -> float:
    """Return a guest's size at the start, or what the scenario gave it later, if more."""
    given = (
        call.target_kib
        for call in timeline.memory_calls
        if call.guest == guest.name and call.by == "scenario"
    )
    return _mib(max([guest.memory_kib, *given]))


def _growth_mib(guest: GuestTrack) -> float:
    return _mib(max(guest.actual_kib) - guest.memory_kib)


def _steps(timeline: Timeline, guest: GuestTrack) -> Iterator[_Step]:
    """Yield a guest's steps, leaving out its starts and stops and what the scenario set."""
    times = timeline.times_ns
    set_ns = sorted(
        call.time_ns
        for call in timeline.memory_calls
        if call.guest == guest.name and call.by == "scenario"
    )
    boundaries = interval_samples(timeline)
    for before, after in itertools.pairwise(boundaries):
        if not all(guest.running[before : after + 1]):
            continue
        # A balloon may take more than one interval to reach a target that the scenario set.
        earlier = bisect_left(set_ns, times[before] - timeline.interval_ns)
        if earlier < bisect_left(set_ns, times[after]):
            continue
        moved_kib = guest.actual_kib[after] - guest.actual_kib[before]
        yield _Step(times[before], _mib(guest.actual_kib[before]), _mib(moved_kib))


def _mib(kib: int) -> float:
    return kib / KIB_PER_MIB
