"""A verdict in the form of check50's JSON: a check for each line of points.

A check is passed, failed, or null where it was not run; none depends on another.
Source: check50's documentation, "JSON specification".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from virtlab import __version__
from virtlab.model.verdict import Verdict
from virtlab.reports.items import Item, items_of, moment_text, points_text, readable

__all__ = ["check50_json"]

_PASSED = {"met": True, "lost": False, "lab_fault": None, "outside": None}


def check50_json(verdict: Verdict) -> str:
    """Return a submission's verdict as check50 would write it."""
    content = {
        "slug": f"virtlab/{verdict.rubric}/{verdict.rubric_version}",
        "results": [_check(item) for item in items_of(verdict)],
        "version": __version__,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _log(item: Item) -> Iterator[str]:
    if item.moment is not None:
        yield f"first {moment_text(item.moment)}"
        yield from item.moment.calls
    if item.replay is not None:
        yield item.replay


def _check(item: Item) -> dict[str, Any]:
    passed = _PASSED[item.status]
    cause = None
    if passed is not True:
        help_text = None if item.hint is None else readable(item.hint)
        cause = {"rationale": readable(item.reason), "help": help_text}
    points = None if item.points is None else points_text(item.points)
    return {
        "name": readable(item.name),
        "description": readable(item.title or item.label),
        "passed": passed,
        "log": [readable(line) for line in _log(item)],
        "cause": cause,
        "data": {"points": points, "points_max": points_text(item.points_max)},
        "dependency": None,
    }
