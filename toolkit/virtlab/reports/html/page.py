"""Pages that explain a mark: one self-contained file for a submission, one for a class.

A page needs no network and no server. What a program or a name may contain is text and never
markup: the templates escape it, and data stand in a script of a type that browsers do not run.
"""

from __future__ import annotations

import json
import os
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from virtlab.errors import EnvironmentLackError
from virtlab.model.criteria import CRITERIA
from virtlab.model.timeline import CallRecord, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, RunVerdict, Verdict
from virtlab.reports.html.bundle import plotting_script
from virtlab.reports.html.charts import Chart, charts_of
from virtlab.reports.items import cause_of, is_lost, items_of, points_text, readable

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["class_page", "rendered", "submission_page"]

_WORDS = {
    "met": "✓ met",
    "lost": "✗ lost",
    "failed": "✗ not met",
    "lab_fault": "– not run",
    "outside": "– not run",
}
_TICKS_MAX = 1000
_AROUND_PX, _SECOND_LEGEND_PX = 80, 33  # of a chart: its time and legend; one more below


def submission_page(verdict: Verdict, timelines: Mapping[str, Timeline]) -> str:
    """Return the page of one submission.

    Args:
        verdict: what it got.
        timelines: of the runs of the verdict's seed, by scenario; a test without one has no charts.

    Raises:
        EnvironmentLackError: the packages for reports are not installed.
    """
    drawn: dict[str, Any] = {}
    runs = [_run(run, timelines.get(run.scenario), drawn) for run in verdict.runs]
    return rendered(
        "submission.html.j2",
        drawn,
        verdict=verdict,
        general=[item for item in items_of(verdict) if not item.test],
        runs=runs,
        words=_WORDS,
        points=points_text,
    )


def class_page(verdicts: Sequence[Verdict], links: Sequence[str]) -> str:
    """Return the page of several submissions, with a link to the page of each.

    Raises:
        EnvironmentLackError: the packages for reports are not installed.
    """
    tests = list(dict.fromkeys(run.scenario for verdict in verdicts for run in verdict.runs))
    marks = Counter(verdict.points for verdict in verdicts)
    counted = ", ".join(f"{points_text(mark)}: {marks[mark]}" for mark in sorted(marks))
    return rendered(
        "class.html.j2",
        {"marks": {"run": "", "title": counted, **_histogram(verdicts)}},
        heads=["Submission", "Points", "of", *tests],
        rows=[
            _class_row(verdict, link, tests) for verdict, link in zip(verdicts, links, strict=True)
        ],
        rubrics=sorted({f"{one.rubric}, version {one.rubric_version}" for one in verdicts}),
        mean=points_text(round(statistics.fmean(one.points for one in verdicts), 2)),
        median=points_text(round(statistics.median(one.points for one in verdicts), 2)),
        points_max=points_text(max(one.points_max for one in verdicts)),
        spread=f"Submissions by points: {counted}.",
    )


# --- a run


def _run(run: RunVerdict, timeline: Timeline | None, drawn: dict[str, Any]) -> dict[str, Any]:
    anchor = f"run-{run.scenario}"
    lost = [line.label for line in run.lines if is_lost(line)]
    not_run = run.status == "lab_fault"
    starts = [span.start_s for result in run.criteria for span in result.spans]
    found: dict[str, Any] = {
        "anchor": anchor,
        "verdict": run,
        "lost": lost,
        "status": "lab_fault" if not_run else "lost" if lost else "met",
        "rows": list(_criterion_rows(run)),
        "failure_s": min(starts) if starts else None,
        "charts": [],
        "ticks": [],
    }
    if timeline is not None:
        for number, chart in enumerate(charts_of(timeline, run)):
            name = f"{anchor}-chart-{number}"
            drawn[name] = {
                "run": anchor, "title": chart.title, "spec": chart.spec, "data": chart.data,
            }  # fmt: skip
            found["charts"].append(_chart(name, chart))
        found["ticks"] = list(_ticks(timeline))[:_TICKS_MAX]
        found["calls_total"] = timeline.calls_total
        found["calls_left"] = timeline.calls_total - len(timeline.calls)
    return found


def _criterion_rows(run: RunVerdict) -> Iterator[dict[str, Any]]:
    """Yield a row for each criterion, with its points, and for points that no criterion has."""
    lines = {line.label: line for line in run.lines}
    for result in run.criteria:
        line = lines.pop(result.name, None)
        points = ""
        if line is not None and line.points is not None:
            points = points_text(line.points)
            if line.points_max:
                points += f" of {points_text(line.points_max)}"
        lost = line is not None and is_lost(line)
        failed = result.status == "failed"
        cause = cause_of(run, line) if line is not None and lost else None
        status = "lab_fault" if result.status == "not_run" else "failed" if failed else "met"
        yield {
            "name": result.name,
            "status": "lost" if lost else status,
            "borderline": result.borderline,
            "points": points,
            "reason": line.reason if line is not None and lost else result.reason,
            "moment": result.moment or (None if cause is None else cause.moment),
            "hint": result.hint or (None if cause is None else cause.hint),
            "meaning": CRITERIA[result.name].meaning if result.name in CRITERIA else "",
            "limits": list(_limits(result)),
        }


def _limits(result: CriterionResult) -> Iterator[str]:
    if result.name not in CRITERIA:
        return
    for declared in CRITERIA[result.name].limits:
        value = result.limits.get(declared.name)
        if value is not None:
            unit = "" if declared.unit in ("switch", "share") else f" {declared.unit}"
            yield f"{declared.name}: {value:g}{unit}: {declared.meaning}"


def _chart(name: str, chart: Chart) -> dict[str, Any]:
    table = []
    for line in () if chart.lines is None else chart.lines.lines:
        least = min(range(len(line.values)), key=line.values.__getitem__)
        most = max(range(len(line.values)), key=line.values.__getitem__)
        assert chart.lines is not None
        times = chart.lines.times_s
        table.append(
            (
                line.name,
                f"{line.values[0]:g}",
                f"{line.values[least]:g}",
                f"{times[least]:g} s",
                f"{line.values[most]:g}",
                f"{times[most]:g} s",
                f"{line.values[-1]:g}",
            )
        )
    return {
        "id": name,
        "title": chart.title,
        "note": chart.note,
        "choices": chart.choices,
        # Its place is kept before it is drawn, so that a link to a later test leads there.
        "height_px": _height_px(chart.spec),
        "table": table,
        "unit": "" if chart.lines is None else chart.lines.unit,
    }


def _height_px(spec: Mapping[str, Any]) -> int:
    """Return how high a chart will be about, with what stands around it."""
    shapes = any("shape" in layer["encoding"] for layer in spec["layer"])
    return int(spec["height"]) + _AROUND_PX + (_SECOND_LEGEND_PX if shapes else 0)


def _ticks(timeline: Timeline) -> Iterator[dict[str, str]]:
    """Yield what the program called in each interval, equal calls counted."""
    by_tick: dict[int, list[CallRecord]] = {}
    for call in timeline.calls:
        by_tick.setdefault(call.time_ns // timeline.interval_ns, []).append(call)
    for tick, calls in sorted(by_tick.items()):
        counts = Counter(call.procedure for call in calls)
        parts = [name if count == 1 else f"{count} × {name}" for name, count in counts.items()]
        parts += [f"{call.procedure} was refused: {call.error}" for call in calls if call.error]
        at_s = tick * timeline.interval_ns / NS_PER_S
        yield {"at": f"{at_s:g} s", "calls": readable(", ".join(parts))}


# --- a class


def _class_row(verdict: Verdict, link: str, tests: Sequence[str]) -> dict[str, Any]:
    runs = {run.scenario: run for run in verdict.runs}
    notes = []
    if verdict.partial:
        notes.append("not everything was run")
    if verdict.borderline:
        notes.append("narrow")
    if verdict.clock == "paced":
        notes.append("paced clock")
    cells = [
        {"text": points_text(verdict.points), "lost": False},
        {"text": points_text(verdict.points_max), "lost": False},
    ]
    for test in tests:
        run = runs.get(test)
        missing = run is None or run.status == "lab_fault"
        cells.append(
            {
                "text": "" if missing or run is None else points_text(run.points),
                "lost": not missing and run is not None and run.points < run.points_max,
            }
        )
    return {
        "name": verdict.program,
        "link": quote(os.fsencode(link)),
        "notes": notes,
        "cells": cells,
    }


def _histogram(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    spec = {
        "width": "container",
        "height": 140,
        "data": {"name": "submissions"},
        "mark": {"type": "bar", "color": "#0072B2", "tooltip": True},
        "encoding": {
            "x": {"field": "points", "bin": {"maxbins": 20}, "title": "points"},
            "y": {"aggregate": "count", "title": "submissions"},
        },
    }
    return {
        "spec": spec,
        "data": {"submissions": {"rows": [{"points": v.points} for v in verdicts]}},
    }


# --- the file


def rendered(template: str, charts: Mapping[str, Any], **values: Any) -> str:
    """Return a page from its template, with the charts that it draws, by name.

    Raises:
        EnvironmentLackError: the packages for reports are not installed.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError as error:
        raise EnvironmentLackError(
            "pages need packages that are not installed.", fix="pip install 'virtlab[report]'"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("virtlab.reports.html", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: readable(value) if type(value) is str else value,
    )
    here = files("virtlab.reports.html")
    return environment.get_template(template).render(
        style=Markup((here / "style.css").read_text(encoding="utf-8")),
        script=Markup((here / "page.js").read_text(encoding="utf-8")),
        plotting=Markup(plotting_script()),
        charts=_as_script(charts),
        **values,
    )


def _as_script(value: Any) -> Markup:
    """Return JSON that can stand in a script element, whatever its strings are."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
