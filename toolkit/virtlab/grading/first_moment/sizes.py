"""What a coordinator did: what a guest had, and what it was told before and after that."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from virtlab.grading.criteria.check import scenario_s
from virtlab.grading.first_moment.told import Told
from virtlab.model.timeline import GuestTrack, MemoryCall, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.verdict import CriterionResult

__all__ = ["tell_host", "tell_size"]


def tell_size(timeline: Timeline, result: CriterionResult) -> Told | None:
    """Tell what the guest concerned had, and which sizes it was told around the moment."""
    guest = next((guest for guest in timeline.guests if guest.name == result.where), None)
    starts = [span.start_s for span in result.spans if span.where == result.where]
    if guest is None or not starts:
        return None
    at_ns = round(min(starts) * NS_PER_S)
    targets = [
        call for call in timeline.memory_calls if call.guest == guest.name and call.by == "program"
    ]
    story = f"{_had(timeline, guest, at_ns)}; {_told(targets, at_ns)}"
    return Told(at_ns, story, (guest.name,))


def tell_host(timeline: Timeline, result: CriterionResult) -> Told | None:
    """Tell what the host had free, and how much of it the program had given by then."""
    if result.at_s is None:
        return None
    at_ns = round(result.at_s * NS_PER_S)
    index = _index(timeline, at_ns)
    given = sum(guest.target_kib[index] for guest in timeline.guests if guest.running[index])
    before = sum(guest.memory_kib for guest in timeline.guests if guest.running[index])
    story = (
        f"the host had {_mib(timeline.host_free_kib[index])} free; its guests' targets came to "
        f"{_mib(given)}, and to {_mib(before)} at the start"
    )
    return Told(at_ns, story)


def _had(timeline: Timeline, guest: GuestTrack, at_ns: int) -> str:
    index = _index(timeline, at_ns)
    if not guest.running[index]:
        return f"{guest.name} was not running"
    return (
        f"{guest.name} had {_mib(guest.actual_kib[index])} at "
        f"{scenario_s(timeline.times_ns[index])}, of which {_mib(guest.unused_kib[index])} were "
        "unused"
    )


def _told(targets: Sequence[MemoryCall], at_ns: int) -> str:
    """Tell the last size that a guest was told before a moment, and the first one after it."""
    if not targets:
        return "it was told no size in the whole run"
    after = next((call for call in targets if call.time_ns >= at_ns), None)
    before = next((call for call in reversed(targets) if call.time_ns < at_ns), None)
    parts = []
    if before is not None:
        parts.append(f"it was last told {_mib(before.target_kib)} at {scenario_s(before.time_ns)}")
    if after is not None:
        again = "and then" if before is not None else "it was first told"
        parts.append(f"{again} {_mib(after.target_kib)} at {scenario_s(after.time_ns)}")
    else:
        parts.append("and nothing after that")
    return " ".join(parts)


def _index(timeline: Timeline, at_ns: int) -> int:
    return max(bisect_right(timeline.times_ns, at_ns) - 1, 0)


def _mib(size_kib: int) -> str:
    return f"{size_kib / KIB_PER_MIB:.0f} MiB"
