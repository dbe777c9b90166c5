"""What a record says of memory: who consumed and when, how sizes moved, what there was to give.

Who consumes is read from the truth, the memory that loads hold. A step is what the balloon's
actual size moves between two boundaries of intervals; what the scenario itself sets is no step
of the program's.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.grading.criteria.check import Check, Limits, nothing_judged, scenario_s
from virtlab.grading.windows import interval_samples
from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = [
    "BATCH_MIB",
    "Episode",
    "Step",
    "could_give_mib",
    "ends_early",
    "episodes_of",
    "growth_mib",
    "mib",
    "start_mib",
    "steps_of",
]

# A balloon moves in batches of 256 pages, so it may miss a target by one of these. It also lets
# 100 MiB pass as a third of 300. Source: Linux, virtio_balloon.c.
BATCH_MIB = 1.0


@dataclass(frozen=True, slots=True)
class Episode:
    """One time of consuming in one guest, as indices of samples."""

    first: int  # the last sample before it
    last: int  # the last sample at which it held memory
    ended: bool  # before the record did
    killed: bool  # by the guest's own out-of-memory killer


@dataclass(frozen=True, slots=True)
class Step:
    """A change of a guest's size from one interval to the next."""

    start_ns: int
    from_mib: float
    by_mib: float

    def span_ns(self, timeline: Timeline) -> tuple[int, int]:
        """Return the interval in which it was taken."""
        return self.start_ns, self.start_ns + timeline.interval_ns


def ends_early(timeline: Timeline) -> Iterator[Check]:
    """Yield a failed check where the record stops more than an interval before its end."""
    last_ns = timeline.times_ns[-1]
    if last_ns < timeline.duration_ns - timeline.interval_ns:
        yield nothing_judged(
            "MiB",
            f"the record ends at {scenario_s(last_ns)} of {scenario_s(timeline.duration_ns)}, so "
            "the whole could not be judged",
            at_s=last_ns / NS_PER_S,
        )


def episodes_of(timeline: Timeline, guest: GuestTrack) -> list[Episode]:
    """Return the times in which loads held memory in a guest, in order."""
    held = guest.consumer_kib
    found, first = [], None
    for index, kib in enumerate(held):
        if kib > 0 and first is None:
            first = max(index - 1, 0)
        elif kib == 0 and first is not None:
            found.append(Episode(first, index - 1, True, _killed(timeline, guest, first, index)))
            first = None
    if first is not None:
        last = len(held) - 1
        found.append(Episode(first, last, False, _killed(timeline, guest, first, last)))
    return found


def _killed(timeline: Timeline, guest: GuestTrack, first: int, last: int) -> bool:
    start_ns, end_ns = timeline.times_ns[first], timeline.times_ns[last]
    return any(
        event.kind == "oom_kill"
        and event.guest == guest.name
        and start_ns <= event.time_ns <= end_ns
        for event in timeline.events
    )


def start_mib(timeline: Timeline, guest: GuestTrack) -> float:
    """Return a guest's size at the start, or what the scenario gave it later, if more."""
    given = (
        call.target_kib
        for call in timeline.memory_calls
        if call.guest == guest.name and call.by == "scenario"
    )
    return mib(max([guest.memory_kib, *given]))


def growth_mib(guest: GuestTrack) -> float:
    """Return how far above its first size a guest ever was."""
    return mib(max(guest.actual_kib) - guest.memory_kib)


def steps_of(timeline: Timeline, guest: GuestTrack) -> Iterator[Step]:
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
        yield Step(times[before], mib(guest.actual_kib[before]), mib(moved_kib))


def mib(kib: int) -> float:
    """Return KiB as MiB."""
    return kib / KIB_PER_MIB


def could_give_mib(timeline: Timeline, index: int, guest: GuestTrack, limits: Limits) -> float:
    """Return how much of the host's free memory could be given to a guest at one sample.

    Each other guest may have some unused memory, too. What the host would have to find for that is
    left out: what it lacks, and what it has but never touched, which is free on the host still.
    """
    kept_kib = int((limits["unused_mib_min"] or 0.0) * KIB_PER_MIB)
    theirs_kib = sum(
        _claim_kib(other, index, kept_kib)
        for other in timeline.guests
        if other is not guest and other.running[index]
    )
    return (timeline.host_free_kib[index] - theirs_kib) / KIB_PER_MIB


def _claim_kib(guest: GuestTrack, index: int, kept_kib: int) -> int:
    """Return what the host has to find for a guest to have so much unused, or as its size lets."""
    unused_kib = guest.unused_kib[index]
    untouched_kib = min(max(guest.actual_kib[index] - guest.rss_kib[index], 0), unused_kib)
    room_kib = guest.max_memory_kib - guest.actual_kib[index]
    lacking_kib = kept_kib - (unused_kib - untouched_kib)
    return max(min(lacking_kib, untouched_kib + room_kib), 0)
