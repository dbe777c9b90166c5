"""Charts of a scheduler's run: how pCPUs were used, how evenly, and where vCPUs ran."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, RunVerdict
from virtlab.reports.html.parts import (
    COLOURS,
    LINES_MAX,
    Chart,
    Spec,
    colour,
    criterion,
    folded,
    ghost_layer,
    limit_of,
    line_layer,
    rows,
    rule,
    shading,
    spans_of,
    specification,
    time,
    tips,
    value,
)
from virtlab.reports.html.series import (
    Lines,
    mean_of,
    pins,
    placement,
    spread,
    utilisation,
    vcpu_names,
)

__all__ = ["cpu_charts"]

_ROWS_MAX = 64
_WINDOW_S = 2.0  # where balance is not judged
_PIN_KINDS = ("moved by the program", "pinned as it was", "pinned by the scenario")


def cpu_charts(timeline: Timeline, run: RunVerdict) -> Iterator[Chart]:
    """Yield the charts of a scheduler's run."""
    window_s = limit_of(criterion(run, "balanced"), "window_s") or _WINDOW_S
    used = utilisation(timeline, window_s)
    if used.times_s:
        over_s = max(window_s, timeline.interval_ns / NS_PER_S)
        many = len(used.lines) > LINES_MAX
        yield _use_map(timeline, used, over_s) if many else _use(timeline, run, used, over_s)
        yield _spread(timeline, run, used)
    if len(vcpu_names(timeline)) <= _ROWS_MAX:
        yield _placement(timeline, run)


def _use(timeline: Timeline, run: RunVerdict, used: Lines, over_s: float) -> Chart:
    names = [line.name for line in used.lines]
    even = Lines(used.times_s, (mean_of(used),), used.unit)
    ghost = ghost_layer(timeline, "even", "%", domain=(0, 100))
    layer = line_layer(timeline, names, "%", domain=(0, 100), steps=True)
    return Chart(
        title="Use of each pCPU",
        note=f"Per cent of each pCPU in the {over_s:g} s from each moment on. Dashed: what each "
        "would have if all had the same. Shaded: balanced was not met.",
        spec=specification([shading(), layer, ghost], height=170, choices=names),
        data={
            "lines": folded(used),
            "even": folded(even),
            "spans": spans_of(_about_balance(run)),
        },
        lines=used,
        choices=tuple(names),
    )


def _use_map(timeline: Timeline, used: Lines, over_s: float) -> Chart:
    """Return a map of colours, as so many lines would be a tangle."""
    names = [line.name for line in used.lines]
    layer: Spec = {
        "data": {"name": "lines"},
        "mark": {"type": "rect", "clip": True},
        "encoding": {
            "x": time(timeline),
            "x2": {"field": "end"},
            "y": rows("line", names),
            "color": {
                "field": "value",
                "type": "quantitative",
                "title": "%",
                "scale": {"scheme": "viridis", "domain": [0, 100]},
            },
            "tooltip": tips(("line", ""), ("t", "s"), ("value", "%")),
        },
    }
    return Chart(
        title="Use of each pCPU",
        note=f"Per cent of each pCPU in the {over_s:g} s from each moment on, by colour.",
        spec=specification([layer], height=min(12 * len(names), 700)),
        data={"lines": folded(used, over_s=over_s)},
        lines=used,
    )


def _spread(timeline: Timeline, run: RunVerdict, used: Lines) -> Chart:
    balanced = criterion(run, "balanced")
    share = limit_of(balanced, "relative_sd_max")
    limit = limit_of(balanced, "sd_points_max") if share is None else 100 * share
    line = spread(used, relative=share is not None)
    layer: Spec = {
        "data": {"name": "lines"},
        "mark": {
            "type": "line", "interpolate": "step-after", "color": COLOURS[0], "clip": True,
        },
        "encoding": {
            "x": time(timeline),
            "y": value(line.unit),
            "tooltip": tips(("t", "s"), ("value", line.unit)),
        },
    }  # fmt: skip
    limits = [] if limit is None else [rule(limit, "limit")]
    told = "" if limit is None else f" The limit is {limit:g} {line.unit}."
    return Chart(
        title="Spread",
        note=f"How unevenly pCPUs are used: the standard deviation of the figures above.{told} "
        "Shaded: not met.",
        spec=specification([shading(), layer, *limits], height=90),
        data={"lines": folded(line), "spans": spans_of(_about_balance(run))},
        lines=line,
    )


def _placement(timeline: Timeline, run: RunVerdict) -> Chart:
    names = vcpu_names(timeline)
    pcpus = [f"pCPU {number}" for number in range(timeline.pcpus)]
    places: Spec = {
        "data": {"name": "places"},
        "mark": {"type": "bar", "height": {"band": 0.7}, "clip": True},
        "encoding": {
            "x": time(timeline),
            "x2": {"field": "end"},
            "y": rows("vcpu", names),
            "color": colour("pcpu", pcpus),
            "tooltip": tips(("vcpu", ""), ("pcpu", ""), ("t", "s"), ("end", "s")),
        },
    }
    marks: Spec = {
        "data": {"name": "pins"},
        "mark": {"type": "point", "filled": True, "color": "var(--ink)", "clip": True},
        "encoding": {
            "x": time(timeline),
            "y": rows("vcpu", names),
            "shape": {
                "field": "what",
                "type": "nominal",
                "scale": {"domain": list(_PIN_KINDS), "range": ["diamond", "cross", "square"]},
                "legend": {"title": None, "orient": "bottom", "symbolFillColor": "var(--ink)"},
            },
            "size": {
                "condition": {"test": f"datum.what === '{_PIN_KINDS[1]}'", "value": 14},
                "value": 60,
            },
            "tooltip": tips(("vcpu", ""), ("t", "s"), ("to", ""), ("what", "")),
        },
    }
    set_here = pins(timeline)
    stable = [result for result in run.criteria if result.name == "stable"]
    return Chart(
        title="Where vCPUs ran",
        note="On which pCPU each vCPU sat, and every affinity that was set. Shaded: an affinity "
        "was changed when the host was settled.",
        spec=specification(
            [shading(), places, *([marks] if set_here else [])],
            height=18 * len(names) + 10,
        ),
        data={
            "places": {"rows": placement(timeline)},
            "pins": {"rows": set_here},
            "spans": spans_of(stable),
        },
        lines=None,
    )


def _about_balance(run: RunVerdict) -> list[CriterionResult]:
    return [result for result in run.criteria if result.name in ("balanced", "bound")]
