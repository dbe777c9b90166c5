"""Parts of Vega-Lite specifications that the charts of a run share.

Times in which a criterion was not met are shaded, limits are dotted lines. Time can be dragged and
stretched in every chart; the page does the same to the other charts of the run.
Source: the Vega-Lite documentation (vega.github.io/vega-lite).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, RunVerdict
from virtlab.reports.html.series import Lines

__all__ = [
    "COLOURS",
    "LINES_MAX",
    "Chart",
    "Data",
    "Spec",
    "chosen_opacity",
    "colour",
    "criterion",
    "folded",
    "ghost_layer",
    "limit_of",
    "line_layer",
    "rows",
    "rule",
    "shading",
    "spans_of",
    "specification",
    "time",
    "tips",
    "value",
]

Spec = dict[str, Any]
Data = dict[str, Any]

LINES_MAX = 16  # more are a tangle
# Told apart by people who do not see all colours, on white and on black alike (Okabe and Ito,
# "Color Universal Design", 2008).
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#9A8700", "#888888",
)  # fmt: skip
_FAILED = "#D55E00"
_AXIS_PX = 60  # as wide for all charts, so that their times stand above each other
_FIELDS = {
    "line": "line", "t": "at", "end": "to", "value": "value", "vcpu": "vCPU", "pcpu": "on",
    "to": "to pCPUs", "what": "what", "mib": "size",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of a run."""

    title: str
    note: str  # what is seen, for who knows no such chart
    spec: Spec
    data: dict[str, Data]  # by the names that the specification uses
    lines: Lines | None  # its figures, for a table beside it
    choices: tuple[str, ...] = ()  # lines that can be hidden


def specification(layers: Sequence[Spec], *, height: int, choices: Sequence[str] = ()) -> Spec:
    """Return a whole specification; the first layer with data of its own takes the zoom."""
    first = next(layer for layer in layers if layer["data"].get("name", "spans") != "spans")
    first["params"] = [
        {"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"}
    ]
    return {
        "width": "container",
        "height": height,
        "params": [{"name": "shown", "value": list(choices)}],
        "layer": list(layers),
    }


def line_layer(
    timeline: Timeline,
    names: Sequence[str],
    unit: str,
    *,
    domain: Sequence[float] | None = None,
    colours: Mapping[str, str] | None = None,
    steps: bool = False,
) -> Spec:
    """Return the layer that draws the dataset `lines`, a line each, of which some can be hidden."""
    return {
        "data": {"name": "lines"},
        "mark": {
            "type": "line",
            "strokeWidth": 1.6,
            "clip": True,
            "interpolate": "step-after" if steps else "linear",
        },
        "encoding": {
            "x": time(timeline),
            "y": value(unit, domain),
            "color": colour("line", names, colours),
            "opacity": chosen_opacity(),
            "tooltip": tips(("line", ""), ("t", "s"), ("value", unit)),
        },
    }


def ghost_layer(
    timeline: Timeline, name: str, unit: str, *, domain: Sequence[float] | None = None
) -> Spec:
    """Return the layer that draws a dataset's one line dashed: what could be had."""
    return {
        "data": {"name": name},
        "mark": {
            "type": "line", "strokeDash": [5, 4], "strokeWidth": 1.2, "color": "var(--ink)",
            "clip": True,
        },
        "encoding": {"x": time(timeline), "y": value(unit, domain)},
    }  # fmt: skip


def time(timeline: Timeline) -> Spec:
    """Return the encoding of time, over the whole run."""
    return {
        "field": "t",
        "type": "quantitative",
        "title": "s",
        "scale": {"domain": [0, timeline.duration_ns / NS_PER_S], "nice": False},
    }


def value(unit: str, domain: Sequence[float] | None = None) -> Spec:
    """Return the encoding of figures."""
    scale = {} if domain is None else {"scale": {"domain": list(domain)}}
    return {
        "field": "value",
        "type": "quantitative",
        "title": unit,
        "axis": {"minExtent": _AXIS_PX, "maxExtent": _AXIS_PX},
        **scale,
    }


def rows(field: str, names: Sequence[str]) -> Spec:
    """Return the encoding of a row for each name."""
    return {
        "field": field,
        "type": "nominal",
        "sort": list(names),
        "title": None,
        "axis": {"minExtent": _AXIS_PX, "labelLimit": 160},
    }


def colour(field: str, names: Sequence[str], colours: Mapping[str, str] | None = None) -> Spec:
    """Return the encoding of names by colour."""
    chosen = [
        COLOURS[number % len(COLOURS)] if colours is None else colours[name]
        for number, name in enumerate(names)
    ]
    legend = {"title": None, "orient": "top", "columns": 8} if len(names) <= LINES_MAX else None
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": list(names), "range": chosen},
        "legend": legend,
    }


def chosen_opacity() -> Spec:
    """Return the encoding that hides lines that the reader did not choose."""
    return {"condition": {"test": "indexof(shown, datum.line) >= 0", "value": 1}, "value": 0}


def tips(*fields: tuple[str, str]) -> list[Spec]:
    """Return what is told of a mark: fields with their units."""
    return [
        {"field": field, "title": f"{_FIELDS[field]} ({unit})" if unit else _FIELDS[field]}
        for field, unit in fields
    ]


def shading() -> Spec:
    """Return the layer of times in which a criterion was not met: the dataset `spans`."""
    return {
        "data": {"name": "spans"},
        "mark": {
            "type": "rect", "opacity": 0.18, "color": _FAILED, "stroke": _FAILED, "clip": True,
        },
        "encoding": {
            "x": {"field": "t", "type": "quantitative"},
            "x2": {"field": "end"},
            "tooltip": {"field": "what"},
        },
    }  # fmt: skip


def rule(at: float, label: str) -> Spec:
    """Return the layer of a limit."""
    return {
        "data": {"values": [{"at": at, "what": f"{label}: {at:g}"}]},
        "mark": {"type": "rule", "strokeDash": [2, 3], "strokeWidth": 1.5, "color": _FAILED},
        "encoding": {"y": {"field": "at", "type": "quantitative"}, "tooltip": {"field": "what"}},
    }


def folded(lines: Lines, *, over_s: float | None = None) -> Data:
    """Return lines in the form that the page unfolds: moments once, then each line's values.

    Args:
        lines: the lines.
        over_s: how long the last value holds, where each holds up to the next.
    """
    found: Data = {"t": lines.times_s, "lines": {line.name: line.values for line in lines.lines}}
    return found if over_s is None else {**found, "end_after": over_s}


def spans_of(results: Iterable[CriterionResult], where: str | None = None) -> Data:
    """Return the times in which criteria were not met, at one place or anywhere."""
    return {
        "rows": [
            {"t": span.start_s, "end": span.end_s, "what": f"{result.name}: not met"}
            for result in results
            for span in result.spans
            if where is None or span.where == where
        ]
    }


def criterion(run: RunVerdict, name: str) -> CriterionResult | None:
    """Return a run's result of a criterion, where it was asked for."""
    return next((result for result in run.criteria if result.name == name), None)


def limit_of(result: CriterionResult | None, name: str) -> float | None:
    """Return a limit by which a criterion was judged."""
    return None if result is None else result.limits.get(name)
