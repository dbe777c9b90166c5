"""Phases in which nothing could be judged, of a scenario that is sound otherwise.

They follow from all loads, guests and traces together, so they are looked at last.
"""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.errors import Problem
from virtlab.model.criteria import limits_of
from virtlab.model.scenario import Scenario
from virtlab.model.units import NS_PER_S
from virtlab.scenario.located_yaml import Document

__all__ = ["phase_problems"]


def phase_problems(document: Document, scenario: Scenario) -> Iterator[Problem]:
    """Yield each phase that is too short for its criterion: it could not be passed."""
    starts = scenario.phases_ns()
    for index, criterion in enumerate(scenario.criteria):
        if criterion.name != "balanced":
            continue
        limits = limits_of("balanced", criterion.limits)
        settle_s = (limits["settle_intervals"] or 0) * scenario.interval_s
        needed_s = settle_s + max(limits["window_s"] or 0, scenario.interval_s)
        for start_ns, end_ns in zip(starts, (*starts[1:], scenario.duration_ns), strict=True):
            if end_ns - start_ns < needed_s * NS_PER_S:
                what = (
                    f"the phase from {start_ns / NS_PER_S:g} to {end_ns / NS_PER_S:g} s is too "
                    f"short to judge: settling and one window take {needed_s:g} s."
                )
                fix = "lengthen it, or lower settle_intervals."
                yield document.problem(("criteria", index), what, fix)
