"""What no criterion lets pass: a program that stops or throttles the guests it should serve."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.grading.criteria.check import Check, scenario_s
from virtlab.model.timeline import EventRecord, Timeline
from virtlab.model.units import NS_PER_S

__all__ = ["interferences"]


def interferences(timeline: Timeline, until_ns: int, unit: str) -> Iterator[Check]:
    """Yield a failed check for each act of the program beyond sizes and affinities, in order."""
    for event in timeline.events:
        if event.kind == "interference" and event.time_ns < until_ns:
            yield _interfered(event, unit)


def _interfered(event: EventRecord, unit: str) -> Check:
    return Check(
        met=False,
        measured=None,
        limit=None,
        unit=unit,
        sense="at_most",
        reason=f"{event.guest} was {event.detail} by the program at {scenario_s(event.time_ns)}",
        at_s=event.time_ns / NS_PER_S,
        where=event.guest,
        way="interference",
    )
