"""Criteria by name: each a pure function from a timeline and limits to a result.

Names, limits and defaults stand in `virtlab.model.criteria`. Limits come in layers: defaults,
then the scenario's, then those that the caller gives, such as a rubric's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from virtlab.grading.criteria.balance import judge_balanced, judge_bound, judge_stable
from virtlab.grading.criteria.check import Limits
from virtlab.grading.criteria.growth import judge_reaches_maximum, judge_takes_gradually
from virtlab.grading.criteria.release import judge_releases_gradually
from virtlab.grading.criteria.survival import (
    judge_guest_alive,
    judge_host_alive,
    judge_no_crash,
)
from virtlab.grading.first_moment import first_moment
from virtlab.model.criteria import limits_of
from virtlab.model.timeline import Timeline
from virtlab.model.verdict import CriterionResult

__all__ = ["JUDGES", "Judge", "Limits", "judge", "judge_all"]

Judge = Callable[[Timeline, Limits, str | None], CriterionResult]

JUDGES: Mapping[str, Judge] = MappingProxyType(
    {
        "bound": judge_bound,
        "balanced": judge_balanced,
        "stable": judge_stable,
        "takes-gradually": judge_takes_gradually,
        "releases-gradually": judge_releases_gradually,
        "guest-alive": judge_guest_alive,
        "host-alive": judge_host_alive,
        "no-crash": judge_no_crash,
        "reaches-maximum": judge_reaches_maximum,
    }
)

# A program that never started did nothing that could be judged.
_NEVER_STARTED = frozenset({"not_built", "not_found"})


def judge(
    timeline: Timeline,
    name: str,
    *overrides: Mapping[str, float],
    hint: str | None = None,
) -> CriterionResult:
    """Return the result of one criterion under its default limits and layers of overrides.

    Raises:
        KeyError: the criterion or one of the limits is unknown; files are checked on loading.
    """
    limits = limits_of(name, *overrides)
    outcome = timeline.outcome
    if outcome.status == "lab_fault" or outcome.kind in _NEVER_STARTED or not _has_record(timeline):
        return _not_run(name, outcome.reason or "nothing was recorded")
    result = replace(JUDGES[name](timeline, limits, hint), limits=limits)
    return replace(result, moment=first_moment(timeline, result))


def judge_all(
    timeline: Timeline, overrides: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[CriterionResult, ...]:
    """Return the results of all criteria that the timeline's scenario asks for, in its order."""
    return tuple(
        judge(
            timeline,
            asked["name"],
            asked.get("limits") or {},
            (overrides or {}).get(asked["name"], {}),
            hint=asked.get("hint"),
        )
        for asked in timeline.criteria
    )


def _has_record(timeline: Timeline) -> bool:
    return len(timeline.times_ns) >= 2


def _not_run(name: str, reason: str) -> CriterionResult:
    return CriterionResult(
        name=name,
        status="not_run",
        measured=None,
        limit=None,
        unit="",
        at_s=None,
        where=None,
        reason=f"not run: {reason}",
        hint=None,
    )
