"""What a scheduler did: who was exchanged or sent back and forth, and who sat where.

Two vCPUs are exchanged where, in one turn of the program's loop, each goes to where the other was.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from virtlab.grading.criteria.affinity import VcpuKey, pcpu_set
from virtlab.grading.first_moment.told import Told
from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult

__all__ = ["tell_moves", "tell_places"]

_NAMED_MAX: Final = 6  # vCPUs of one pCPU that are named
_PCPUS_MAX: Final = 16  # pCPUs of which each figure is told
_JITTER_NS: Final = NS_PER_S // 20  # a real host's samples lie a little beside the second


@dataclass(frozen=True, slots=True)
class _Move:
    time_ns: int
    vcpu: VcpuKey
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Exchange:
    time_ns: int
    vcpus: tuple[VcpuKey, VcpuKey]  # in order of their names
    masks: tuple[tuple[int, ...], tuple[int, ...]]


def tell_moves(timeline: Timeline, result: CriterionResult) -> Told | None:
    """Tell of moves that should not have been: exchanges, returns, or the first one alone."""
    late = {span.start_s for span in result.spans}
    moves = [one for one in _moves(timeline) if round(one.time_ns / NS_PER_S, 3) in late]
    if not moves:
        return None
    if told := _exchanged(timeline, moves):
        return told
    first = moves[0]
    returned = Counter(move.vcpu for move in _returns(moves))
    if returned:
        vcpu, times = returned.most_common(1)[0]
        first = next(move for move in moves if move.vcpu == vcpu)
        count = sum(move.vcpu == vcpu for move in moves)
        story = (
            f"it moved {_name(timeline, vcpu)} {count} times, {times} of them back to where it had "
            f"been; the first time from {pcpu_set(first.before)} to {pcpu_set(first.after)}"
        )
        return Told(first.time_ns, story, (vcpu[0],))
    used = _used_before(timeline, first.time_ns)
    story = (
        f"it moved {_name(timeline, first.vcpu)} from {pcpu_set(first.before)} to "
        f"{pcpu_set(first.after)}{used}"
    )
    return Told(first.time_ns, story, (first.vcpu[0],))


def tell_places(timeline: Timeline, result: CriterionResult) -> Told | None:
    """Tell who sat on the busiest and on the idlest pCPU when the balance was first missed."""
    if result.at_s is None or not result.spans:
        return None
    at_ns = round(result.at_s * NS_PER_S)
    moves = list(_moves(timeline))
    if not moves:
        return Told(at_ns, "it had changed no affinity until then, nor did it later")
    window_ns = round((result.limits.get("window_s") or 0.0) * NS_PER_S)
    times = timeline.times_ns
    first = bisect_left(times, at_ns - _JITTER_NS)
    last = bisect_left(times, at_ns + max(window_ns, timeline.interval_ns) - _JITTER_NS)
    if first >= last or last >= len(times):
        return None
    again = _exchanged(timeline, [move for move in moves if move.time_ns >= at_ns])
    story = "; ".join(_places(timeline, first, last))
    return Told(at_ns, story if again is None else f"{story}; later on {again.story}")


def _moves(timeline: Timeline) -> Iterator[_Move]:
    """Yield the program's moves in order of time, each with the mask before it."""
    masks = {
        (guest.name, number): mask
        for guest in timeline.guests
        for number, mask in enumerate(guest.start_masks)
    }
    for pin in timeline.pins:
        key = (pin.guest, pin.vcpu)
        if pin.effective and pin.by == "program" and key in masks:
            yield _Move(pin.time_ns, key, masks[key], pin.pcpus)
        masks[key] = pin.pcpus


def _exchanged(timeline: Timeline, moves: Sequence[_Move]) -> Told | None:
    """Tell of the two vCPUs that were exchanged most often, where it was more than once."""
    exchanges = list(_exchanges(timeline, moves))
    counts = Counter(one.vcpus for one in exchanges)
    if not counts or max(counts.values()) < 2:
        return None
    vcpus, times = counts.most_common(1)[0]
    first = next(one for one in exchanges if one.vcpus == vcpus)
    one, other = (_name(timeline, vcpu) for vcpu in vcpus)
    where, there = (pcpu_set(mask) for mask in first.masks)
    story = (
        f"it exchanged {one} and {other} {times} times; the first time {one} left {where} for "
        f"{there}, and {other} {there} for {where}"
    )
    return Told(first.time_ns, story, (vcpus[0][0], vcpus[1][0]))


def _exchanges(timeline: Timeline, moves: Sequence[_Move]) -> Iterator[_Exchange]:
    for turn in _turns(moves, timeline.interval_ns // 2):
        for one, other in itertools.combinations(turn, 2):
            crossed = one.before == other.after and other.before == one.after
            if crossed and one.vcpu != other.vcpu:
                first, second = sorted((one, other), key=lambda move: move.vcpu)
                vcpus = (first.vcpu, second.vcpu)
                yield _Exchange(one.time_ns, vcpus, (first.before, second.before))


def _turns(moves: Sequence[_Move], gap_ns: int) -> Iterator[list[_Move]]:
    """Yield the moves of each turn of the program's loop: a longer gap begins a new one."""
    turn: list[_Move] = []
    for move in moves:
        if turn and move.time_ns - turn[-1].time_ns > gap_ns:
            yield turn
            turn = []
        turn.append(move)
    if turn:
        yield turn


def _returns(moves: Sequence[_Move]) -> Iterator[_Move]:
    """Yield the moves that bring a vCPU back to where it was before one of these moves."""
    left: set[tuple[VcpuKey, tuple[int, ...]]] = set()
    for move in moves:
        if (move.vcpu, move.after) in left:
            yield move
        left.add((move.vcpu, move.before))


def _used_before(timeline: Timeline, at_ns: int) -> str:
    """Tell how busy the pCPUs were in the interval before a moment."""
    times = timeline.times_ns
    last = bisect_right(times, at_ns) - 1
    if last < 0 or timeline.pcpus > _PCPUS_MAX:
        return ""
    first = bisect_left(times, times[last] - timeline.interval_ns - _JITTER_NS)
    if first >= last:
        return ""
    listed = " ".join(f"{points:.0f}" for points in _used(timeline, first, last))
    return f", when the pCPUs stood at {listed} %"


def _used(timeline: Timeline, first: int, last: int) -> list[float]:
    span_ns = timeline.times_ns[last] - timeline.times_ns[first]
    return [100 * (busy[last] - busy[first]) / span_ns for busy in timeline.pcpu_busy_ns]


def _places(timeline: Timeline, first: int, last: int) -> Iterator[str]:
    """Yield who sat on the busiest pCPU and on the idlest, and what each of them used."""
    used = _used(timeline, first, last)
    span_ns = timeline.times_ns[last] - timeline.times_ns[first]
    for pcpu in dict.fromkeys((used.index(max(used)), used.index(min(used)))):
        there = [
            (100 * (vcpu.run_ns[last] - vcpu.run_ns[first]) / span_ns, (guest.name, number))
            for guest in timeline.guests
            for number, vcpu in enumerate(guest.vcpus)
            if vcpu.pcpu[last] == pcpu
        ]
        there.sort(key=lambda one: (-one[0], one[1]))
        named = [f"{_name(timeline, key)} {share:.0f} %" for share, key in there[:_NAMED_MAX]]
        if len(there) > _NAMED_MAX:
            named.append(f"{len(there) - _NAMED_MAX} more")
        yield f"on pCPU {pcpu} ({used[pcpu]:.0f} %) sat {', '.join(named) or 'nobody'}"


def _name(timeline: Timeline, key: VcpuKey) -> str:
    """Return a vCPU in words; of a guest with one vCPU the guest's name will do."""
    name, number = key
    single = len(timeline.guest(name).vcpus) == 1
    return name if single else f"{name} vCPU {number}"
