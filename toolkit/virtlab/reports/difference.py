"""Two results held beside each other: points, figures, and the first moment at which they part.

Meant for two versions of one program, or one program under two seeds. Two runs part where the
program first acts otherwise: another pin, another size, or the same at another time. Where it never
does, they part at the first call that differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from virtlab.model.timeline import CallRecord, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.verdict import CriterionResult, Verdict
from virtlab.reports.items import Item, items_of, points_text, readable

__all__ = ["Change", "Comparison", "Parting", "compare", "comparison_text"]


@dataclass(frozen=True, slots=True)
class Change:
    """An item or a figure that is not the same in both."""

    name: str
    before: str
    after: str
    points: float  # gained; 0 for a figure


@dataclass(frozen=True, slots=True)
class Parting:
    """The first moment at which two runs of one scenario are not the same."""

    scenario: str
    at_s: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is not the same in two results."""

    before: str
    after: str
    points_before: float
    points_after: float
    changes: tuple[Change, ...]
    partings: tuple[Parting, ...]  # of each scenario that both ran, with the seed of the mark
    same: tuple[str, ...]  # scenarios in which both did the same to the end


def compare(
    before: Verdict,
    after: Verdict,
    timelines_before: Mapping[str, Timeline],
    timelines_after: Mapping[str, Timeline],
) -> Comparison:
    """Return how one result differs from another.

    Args:
        before: a verdict.
        after: the verdict to hold against it.
        timelines_before: the runs of the first, by scenario.
        timelines_after: the runs of the second.
    """
    partings, same = [], []
    for scenario in timelines_before:
        if scenario in timelines_after:
            found = _parting(timelines_before[scenario], timelines_after[scenario])
            if found is None:
                same.append(scenario)
            else:
                partings.append(found)
    return Comparison(
        before=before.program,
        after=after.program,
        points_before=before.points,
        points_after=after.points,
        changes=(*_items(before, after), *_figures(before, after)),
        partings=tuple(partings),
        same=tuple(same),
    )


def comparison_text(found: Comparison) -> Iterator[str]:
    """Yield the lines of a comparison; paragraphs are single lines, to be folded."""
    gained = round(found.points_after - found.points_before, 6)
    more = f"{'+' if gained > 0 else '-'}{points_text(abs(gained))}" if gained else "as many"
    yield (
        f"{readable(found.before)}: {points_text(found.points_before)} points; "
        f"{readable(found.after)}: {points_text(found.points_after)} points "
        f"({more})"
    )
    if found.changes:
        yield ""
        yield "What changed:"
        for change in found.changes:
            points = f" ({change.points:+g})" if change.points else ""
            yield f"  {change.name}{points}: {change.before} -> {change.after}"
    if found.partings:
        yield ""
        yield "Where the runs part first:"
        for parting in found.partings:
            yield f"  {parting.scenario} at {parting.at_s:g} s"
            yield f"    before  {parting.before}"
            yield f"    after   {parting.after}"
    if found.same:
        yield ""
        yield f"The same to the end: {', '.join(found.same)}"


def _items(before: Verdict, after: Verdict) -> Iterator[Change]:
    old, new = ({item.name: item for item in items_of(one)} for one in (before, after))
    for name in dict.fromkeys((*old, *new)):
        was, now = _state(old.get(name)), _state(new.get(name))
        if was != now:
            points = (_points(new.get(name)) or 0.0) - (_points(old.get(name)) or 0.0)
            yield Change(readable(name), was, now, round(points, 6))


def _state(item: Item | None) -> str:
    if item is None:
        return "not there"
    if item.points is None:
        return "not run"
    return f"{points_text(item.points)} of {points_text(item.points_max)}"


def _points(item: Item | None) -> float | None:
    return None if item is None else item.points


def _figures(before: Verdict, after: Verdict) -> Iterator[Change]:
    """Yield figures of criteria whose points are the same: how near a limit came or went."""
    old, new = _criteria(before), _criteria(after)
    for name, result in new.items():
        was = old.get(name)
        if was is None or was.measured is None or result.measured is None:
            continue
        if was.status == result.status and was.measured != result.measured:
            yield Change(readable(name), _measured(was), _measured(result), 0.0)


def _criteria(verdict: Verdict) -> dict[str, CriterionResult]:
    return {
        f"{run.scenario}: {result.name}": result for run in verdict.runs for result in run.criteria
    }


def _measured(result: CriterionResult) -> str:
    limit = "" if result.limit is None else f", limit {result.limit:g}"
    return f"{result.measured:g} {result.unit}{limit}".replace(" ,", ",")


def _parting(before: Timeline, after: Timeline) -> Parting | None:
    for old, new in ((_acts(before), _acts(after)), (_calls(before), _calls(after))):
        for was, now in zip_longest(old, new):
            if was != now:
                at_ns = min(one[0] for one in (was, now) if one is not None)
                return Parting(before.scenario, round(at_ns / NS_PER_S, 3), _told(was), _told(now))
    return None


def _acts(timeline: Timeline) -> Sequence[tuple[int, str]]:
    """Return what the program did to the host, in order of time."""
    pins = [
        (pin.time_ns, f"{pin.guest} vCPU {pin.vcpu} to pCPU {', '.join(map(str, pin.pcpus))}")
        for pin in timeline.pins
        if pin.by == "program" and pin.effective
    ]
    sizes = [
        (call.time_ns, f"{call.guest} to {call.target_kib / KIB_PER_MIB:g} MiB")
        for call in timeline.memory_calls
        if call.by == "program"
    ]
    return sorted(pins + sizes)


def _calls(timeline: Timeline) -> Sequence[tuple[int, str]]:
    return [(call.time_ns, _call_words(call)) for call in timeline.calls]


def _call_words(call: CallRecord) -> str:
    text = f"{call.procedure} {call.detail}".rstrip()
    return text if call.error is None else f"{text}: {call.error}"


def _told(act: tuple[int, str] | None) -> str:
    if act is None:
        return "nothing more"
    what = readable(act[1]).replace("\n", " ")
    return f"{act[0] / NS_PER_S:.3f} s: {what}"
