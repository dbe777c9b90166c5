"""Verdicts as CSV: all lines of points, or a line for each submission.

Names and reasons come from whoever handed in. A spreadsheet takes a cell that begins with one of
= + - @ for a formula, so such texts get an apostrophe in front, which it hides; numbers do not.
Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from virtlab.model.verdict import Verdict
from virtlab.reports.items import items_of, points_text, readable

__all__ = ["lines_csv", "marks_csv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LINE_COLUMNS = (
    "submission", "rubric", "rubric_version", "seed", "test", "item", "result", "points",
    "points_max", "reason", "hint",
)  # fmt: skip
_MARK_COLUMNS = (
    "submission", "rubric", "rubric_version", "seed", "points", "points_max", "partial",
    "borderline", "clock",
)  # fmt: skip


def lines_csv(verdicts: Sequence[Verdict]) -> str:
    """Return a row for each line of points of each submission."""
    return _csv(
        _LINE_COLUMNS,
        (
            (
                _text(verdict.program),
                _text(verdict.rubric),
                _text(verdict.rubric_version),
                str(verdict.seed),
                _text(item.test),
                _text(item.label),
                item.status,
                "" if item.points is None else points_text(item.points),
                points_text(item.points_max),
                _text(item.reason),
                _text(item.hint or ""),
            )
            for verdict in verdicts
            for item in items_of(verdict)
        ),
    )


def marks_csv(verdicts: Sequence[Verdict]) -> str:
    """Return a row for each submission, with a column for each test that any of them has."""
    tests = list(dict.fromkeys(run.scenario for verdict in verdicts for run in verdict.runs))
    rows = []
    for verdict in verdicts:
        points = {run.scenario: run.points for run in verdict.runs if run.status != "lab_fault"}
        rows.append(
            (
                _text(verdict.program),
                _text(verdict.rubric),
                _text(verdict.rubric_version),
                str(verdict.seed),
                points_text(verdict.points),
                points_text(verdict.points_max),
                "yes" if verdict.partial else "no",
                str(len(verdict.borderline)),
                verdict.clock,
                *(points_text(points[test]) if test in points else "" for test in tests),
            )
        )
    return _csv((*_MARK_COLUMNS, *(_text(test) for test in tests)), rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _text(text: str) -> str:
    shown = readable(text).replace("\n", " ")
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
