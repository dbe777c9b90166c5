"""The page of a league: ranks, each family's figures beside what could be had, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from virtlab.model.league import Measure, PolicyKind, Standing, Table, measures_of
from virtlab.reports.html.page import rendered
from virtlab.reports.html.parts import COLOURS, Spec
from virtlab.reports.league_table import (
    COULD_BE_HAD,
    KINDS,
    behind,
    family_grid,
    heading_of,
    overall_grid,
    tuning_told,
)

__all__ = ["league_page"]

# Against which other measure the one that ranks is drawn: what good figures are paid with.
_PRICE: dict[PolicyKind, str] = {"scheduling": "moves", "coordination": "idle_mib"}
_DECADES_FROM = {"": 10, "MiB s": 1000}  # by unit, what spans decades and from where on
_ROW_PX, _AROUND_PX, _BELOW_PX = 26, 110, 50
_MORE_COLOURS = ("#4B0092", "#1A85FF", "#994F00", "#40B0A6")  # for more than eight policies
_SHAPES = ("circle", "square", "cross", "diamond", "triangle-up", "triangle-down")


def league_page(table: Table) -> str:
    """Return a league as one self-contained page.

    Raises:
        EnvironmentLackError: the packages for reports are not installed.
    """
    league = table.league
    drawn: dict[str, Any] = {}
    way = "through libvirt's protocol" if league.wire else "in process"
    return rendered(
        "league.html.j2",
        drawn,
        policies=len(league.entrants),
        facts=f"{len(league.families)} families, {len(league.seeds)} seeds from "
        f"{min(league.seeds)}, {way}. Means over the seeds; * is better than the reference with "
        f"95 %. {tuning_told(league)}",
        notes=league.notes,
        behind=behind(table),
        kinds=[_kind(table, kind, drawn) for kind in KINDS if kind in table.ranks],
    )


def _kind(table: Table, kind: PolicyKind, drawn: dict[str, Any]) -> dict[str, Any]:
    rows = {
        family.name: [row for row in table.rows if row.family == family.name]
        for family in table.league.families
        if family.kind == kind
    }
    charts = []
    for number, chart in enumerate(
        (_ranks(table, kind), _places(table, kind), _price(table, kind))
    ):
        name = f"{kind}-{number}"
        drawn[name] = {key: chart[key] for key in ("title", "spec", "data")} | {"run": ""}
        charts.append({"id": name, **chart})
    return {
        "heading": KINDS[kind],
        "overall": _named(*overall_grid(table, kind)),
        "charts": charts,
        "families": [
            {
                "heading": heading_of(family),
                "grid": _named(*family_grid(rows[family.name], kind)),
                "failures": [
                    f"{row.entrant} failed in {len(row.failures)} of {row.runs}: {row.failures[0]}"
                    for row in rows[family.name]
                    if row.failures
                ],
            }
            for family in table.league.families
            if rows.get(family.name)
        ],
    }


def _ranks(table: Table, kind: PolicyKind) -> dict[str, Any]:
    ranks, held_out = table.ranks[kind], table.held_out_ranks[kind]
    names = sorted(ranks, key=lambda name: (ranks[name], name))
    y = {"field": "policy", "type": "nominal", "sort": names, "title": None}
    layers: list[Spec] = [
        {
            "data": {"name": "ranks"},
            "mark": {"type": "bar", "color": COLOURS[0], "height": {"band": 0.6}},
            "encoding": {
                "y": y,
                "x": _quantity("rank", "mean rank, 1 is best"),
                "tooltip": [{"field": "policy"}, {"field": "rank", "format": ".2f"}],
            },
        },
    ]
    if held_out:
        layers.append(
            {
                "data": {"name": "held"},
                "mark": {"type": "tick", "thickness": 3, "color": "var(--ink)", "size": 16},
                "encoding": {
                    "y": y,
                    "x": {"field": "rank", "type": "quantitative"},
                    "tooltip": [{"field": "policy"}, {"field": "rank", "format": ".2f"}],
                },
            }
        )
    return {
        "title": "Ranks",
        "note": "Bars: the mean rank over all families by the measure that ranks. Ticks: over the "
        "families that were held out from tuning.",
        "spec": _sized(layers, len(names)),
        "data": {
            "ranks": {"rows": [{"policy": name, "rank": ranks[name]} for name in names]},
            "held": {"rows": [{"policy": n, "rank": held_out[n]} for n in names if n in held_out]},
        },
        "height_px": _ROW_PX * len(names) + _BELOW_PX,
    }


def _places(table: Table, kind: PolicyKind) -> dict[str, Any]:
    """Return where policies stand in each family by the measure that ranks."""
    measure = measures_of(kind)[0]
    families = [one.name for one in table.league.families if one.kind == kind]
    rows = [row for row in table.rows if row.family in families and row.means]
    names = _names(table, kind)
    y = {"field": "family", "type": "nominal", "sort": families, "title": None}
    best = {row.family: row.optimum[measure.name] for row in rows if measure.name in row.optimum}
    layers: list[Spec] = [
        {
            "data": {"name": "points"},
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 0.85},
            "encoding": {
                "y": y,
                "x": _quantity("value", f"{measure.title}, {measure.unit}", measure),
                **_told_apart(names),
                "tooltip": [
                    {"field": "family"},
                    {"field": "policy"},
                    {"field": "value", "title": measure.title, "format": ",.4g"},
                ],
            },
        },
    ]
    if best:
        layers.append(
            {
                "data": {"name": "best"},
                "mark": {"type": "tick", "thickness": 3, "color": "var(--ink)", "size": 18},
                "encoding": {
                    "y": y,
                    "x": {"field": "value", "type": "quantitative"},
                    "tooltip": [{"field": "family"}, {"field": "value", "title": COULD_BE_HAD}],
                },
            }
        )
    ticks = f" Ticks: what {COULD_BE_HAD} at best." if best else ""
    return {
        "title": f"{measure.title.capitalize()} in each family",
        "note": f"Means over the seeds: {measure.about}.{ticks}",
        "spec": _sized(layers, len(families)),
        "data": {
            "points": {"rows": [_point(row, measure) for row in rows]},
            "best": {"rows": [{"family": name, "value": value} for name, value in best.items()]},
        },
        "height_px": _height_px(len(families)),
    }


def _price(table: Table, kind: PolicyKind) -> dict[str, Any]:
    """Return the measure that ranks against what it is paid with, a point a policy and family."""
    first, *others = measures_of(kind)
    price = next(measure for measure in others if measure.name == _PRICE[kind])
    kinds = {one.name: one.kind for one in table.league.families}
    rows = [row for row in table.rows if kinds[row.family] == kind and row.means]
    layer: Spec = {
        "data": {"name": "points"},
        "mark": {"type": "point", "filled": True, "size": 50, "opacity": 0.75},
        "encoding": {
            "x": _quantity("price", _titled(price), price),
            "y": _quantity("value", _titled(first), first),
            **_told_apart(_names(table, kind)),
            "tooltip": [
                {"field": "family"},
                {"field": "policy"},
                {"field": "value", "title": first.title, "format": ",.4g"},
                {"field": "price", "title": price.title, "format": ",.4g"},
            ],
        },
    }
    return {
        "title": f"{first.title.capitalize()} and {price.title}",
        "note": "A point for each policy and family; below and to the left is better.",
        "spec": {"width": "container", "height": 320, "layer": [layer]},
        "data": {
            "points": {
                "rows": [
                    _point(row, first) | {"price": round(row.means[price.name], 4)} for row in rows
                ]
            }
        },
        "height_px": 320 + _AROUND_PX,
    }


def _point(row: Standing, measure: Measure) -> dict[str, Any]:
    value = round(row.means[measure.name], 4)
    return {"policy": row.entrant, "family": row.family, "value": value}


def _titled(measure: Measure) -> str:
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def _quantity(field: str, title: str, measure: Measure | None = None) -> Spec:
    """Return the encoding of a figure; what spans decades is drawn by its logarithm, but for 0."""
    near_zero = None if measure is None else _DECADES_FROM.get(measure.unit)
    found: Spec = {"field": field, "type": "quantitative", "title": title}
    if near_zero is None:
        return found | {"axis": {"format": ",~g", "labelOverlap": True}}
    values = [0, *(near_zero * 10**power for power in range(6))]
    return found | {
        "axis": {"format": ",.0f", "labelOverlap": True, "values": values},
        "scale": {"type": "symlog", "constant": near_zero},
    }


def _told_apart(names: Sequence[str]) -> Spec:
    """Return how policies are told apart: by colour, and by shape for those who see none."""
    colours = [*COLOURS, *_MORE_COLOURS]
    legend = {"title": None, "orient": "top", "columns": 6}
    return {
        "color": {
            "field": "policy", "type": "nominal", "legend": legend,
            "scale": {
                "domain": list(names),
                "range": [colours[n % len(colours)] for n in range(len(names))],
            },
        },
        "shape": {
            "field": "policy", "type": "nominal", "legend": legend,
            "scale": {
                "domain": list(names),
                "range": [_SHAPES[n % len(_SHAPES)] for n in range(len(names))],
            },
        },
    }  # fmt: skip


def _names(table: Table, kind: PolicyKind) -> list[str]:
    return [one.name for one in table.league.entrants if one.kind == kind]


def _named(head: list[str], rows: list[list[str]]) -> dict[str, Any]:
    return {"head": head, "lines": rows}


def _sized(layers: list[Spec], rows: int) -> Spec:
    return {"width": "container", "height": _ROW_PX * rows, "layer": layers}


def _height_px(rows: int) -> int:
    return _ROW_PX * rows + _AROUND_PX
