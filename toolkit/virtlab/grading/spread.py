"""The spread of repeated runs, criterion by criterion."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from virtlab.model.spread import CriterionSpread
from virtlab.model.verdict import RunVerdict

__all__ = ["spread_of"]


def spread_of(runs: Sequence[RunVerdict]) -> tuple[CriterionSpread, ...]:
    """Return how often each criterion was met, and between which figures, in its order."""
    names = dict.fromkeys(result.name for run in runs for result in run.criteria)
    return tuple(_of_one(name, runs) for name in names)


def _of_one(name: str, runs: Sequence[RunVerdict]) -> CriterionSpread:
    results = [result for run in runs for result in run.criteria if result.name == name]
    judged = [result for result in results if result.status != "not_run"]
    figures = [result.measured for result in judged if result.measured is not None]
    return CriterionSpread(
        name=name,
        passed=sum(result.status == "passed" for result in judged),
        judged=len(judged),
        of=len(results),
        lowest=min(figures, default=None),
        median=round(statistics.median(figures), 3) if figures else None,
        highest=max(figures, default=None),
        unit=judged[0].unit if judged else "",
    )
