"""A verdict as Gradescope's results.json: a test case for each line of points.

The score stands at the top, so that it is the verdict's own and not a sum of rounded parts; what
was not run has no score, and is neither won nor lost there either. Texts are plain, as Gradescope
shows them by default: nothing that a program wrote can become markup.
Source: Gradescope's autograder documentation, "Autograder Specifications".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from virtlab.model.verdict import RunVerdict, Verdict
from virtlab.reports.items import Item, items_of, moment_text, points_text, readable

__all__ = ["Visibility", "gradescope_json", "refusal_json"]

Visibility = Literal["visible", "hidden", "after_due_date", "after_published"]


def gradescope_json(
    verdict: Verdict, *, real_s: float | None = None, visibility: Visibility = "visible"
) -> str:
    """Return the content of results.json.

    Args:
        verdict: of the submission.
        real_s: how long the grading took, where that is known.
        visibility: of all test cases to the one who handed in.
    """
    content: dict[str, Any] = {
        "score": verdict.points,
        "output": "\n".join(_summary(verdict)),
        "visibility": visibility,
        "stdout_visibility": "hidden",  # what the lab prints is for the instructor
        "tests": [_test(item, number) for number, item in enumerate(items_of(verdict), start=1)],
        "extra_data": {
            "rubric": verdict.rubric,
            "rubric_version": verdict.rubric_version,
            "seed": verdict.seed,
            "points_max": verdict.points_max,
            "partial": verdict.partial,
            "clock": verdict.clock,
        },
    }
    if real_s is not None:
        content["execution_time"] = round(real_s)
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def refusal_json(reason: str) -> str:
    """Return the content of results.json for a submission that cannot be graded at all."""
    content = {
        "score": 0.0,
        "output": readable(reason),
        "stdout_visibility": "hidden",
        "tests": [],
        "extra_data": {"refused": True},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _test(item: Item, number: int) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": readable(item.name),
        "number": str(number),
        "output": "\n".join(_lines(item)),
        "tags": [item.test] if item.test else [],
        "extra_data": {"result": item.status},
    }
    if item.points is not None:
        test["score"] = item.points
        test["max_score"] = item.points_max
        test["status"] = "failed" if item.status == "lost" else "passed"
    return test


def _lines(item: Item) -> Iterator[str]:
    if item.title:
        yield readable(item.title)
    yield readable(item.reason)
    if item.moment is not None:
        yield f"First: {readable(moment_text(item.moment))}"
        yield from (f"  {readable(call)}" for call in item.moment.calls)
    if item.hint is not None:
        yield f"Hint: {readable(item.hint)}"
    if item.status == "lost" and item.replay is not None:
        yield f"Again: {readable(item.replay)}"


def _summary(verdict: Verdict) -> Iterator[str]:
    yield f"{points_text(verdict.points)} of {points_text(verdict.points_max)} points"
    yield f"{readable(verdict.rubric)}, version {readable(verdict.rubric_version)}"
    if verdict.partial:
        yield "Not everything was run, so this is not the whole mark."
    for run in verdict.runs:
        if run.status != "ok":
            yield from _ending(run)
    for note in verdict.borderline:
        yield f"Narrow: {readable(note)}"


def _ending(run: RunVerdict) -> Iterator[str]:
    who = "the lab" if run.status == "lab_fault" else "the program"
    yield f"{readable(run.scenario)}: {who}: {readable(run.outcome_reason)}"
    for call in run.last_calls:
        yield f"  {readable(call)}"
