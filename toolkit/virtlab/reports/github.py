"""Verdicts for GitHub Actions: a job's summary in Markdown, and annotations of a step.

A summary of a step has at most 1 MiB, and a step shows ten errors and ten warnings; beyond that
GitHub drops them without a word. So what does not fit is left out here, and said.
Source: GitHub's documentation, "Workflow commands for GitHub Actions", and actions/toolkit,
docs/problem-matchers.md, for the number of annotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from virtlab.model.verdict import Verdict
from virtlab.reports.items import Item, items_of, moment_text, points_text, readable

__all__ = ["step_annotations", "step_summary"]

_SUMMARY_BYTES = 1024 * 1024
_LEFT_OUT_BYTES = 200  # room for the sentence about what was left out
_ANNOTATIONS = 10  # of each kind in a step
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~<>&@$])")
_SYMBOLS = {"met": "✅ met", "lost": "❌ lost", "lab_fault": "⚠️ not run", "outside": "➖ not run"}


def step_summary(verdicts: Sequence[Verdict]) -> str:
    """Return Markdown to be appended to the file that GITHUB_STEP_SUMMARY names."""
    parts: list[str] = []
    size = 0
    for number, verdict in enumerate(verdicts):
        part = "\n".join(_section(verdict)) + "\n\n"
        size += len(part.encode())
        if size > _SUMMARY_BYTES - _LEFT_OUT_BYTES:
            parts.append(f"{len(verdicts) - number} more submissions are left out: no room.\n")
            break
        parts.append(part)
    return "".join(parts)


def step_annotations(verdicts: Sequence[Verdict]) -> str:
    """Return workflow commands, to be printed: errors for lost points, warnings for the lab's."""
    found = [(verdict, item) for verdict in verdicts for item in items_of(verdict)]
    lost = [(verdict, item) for verdict, item in found if item.status == "lost"]
    faults = [(verdict, item) for verdict, item in found if item.status == "lab_fault"]
    return "".join(f"{line}\n" for line in (*_listed("error", lost), *_listed("warning", faults)))


def _section(verdict: Verdict) -> Iterator[str]:
    points = f"{points_text(verdict.points)} of {points_text(verdict.points_max)} points"
    yield f"### {_markdown(verdict.program)}: {points}"
    yield ""
    yield f"{_markdown(verdict.rubric)}, version {_markdown(verdict.rubric_version)}"
    yield ""
    yield "| test | item | points | of | result |"
    yield "|---|---|---:|---:|---|"
    lost = []
    for item in items_of(verdict):
        shown = "" if item.points is None else points_text(item.points)
        yield (
            f"| {_markdown(item.test)} | {_markdown(item.label)} | {shown} | "
            f"{points_text(item.points_max)} | {_SYMBOLS[item.status]} |"
        )
        if item.status in ("lost", "lab_fault"):
            lost.append(item)
    for item in lost:
        yield ""
        yield f"- **{_markdown(item.name)}**: {_markdown(item.reason)}"
        if item.moment is not None:
            yield f"  First {_markdown(moment_text(item.moment))}"
        if item.hint is not None:
            yield f"  *{_markdown(item.hint)}*"
    if verdict.partial:
        yield ""
        yield "Not everything was run, so this is not the whole mark."


def _listed(kind: str, found: list[tuple[Verdict, Item]]) -> Iterator[str]:
    fits = len(found) <= _ANNOTATIONS
    for verdict, item in found if fits else found[: _ANNOTATIONS - 1]:
        title = _property(f"{verdict.program}, {item.name}")
        reason = item.reason if item.hint is None else f"{item.reason}\n{item.hint}"
        yield f"::{kind} title={title}::{_data(reason)}"
    if not fits:
        more = len(found) - _ANNOTATIONS + 1
        yield f"::{kind} title=virtlab::{more} more are not shown here, see the summary"


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", readable(text).replace("\n", " "))


def _data(text: str) -> str:
    return readable(text).replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
