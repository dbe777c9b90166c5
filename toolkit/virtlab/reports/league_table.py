"""A league as tables: on a terminal, in Markdown, and one row a run as CSV.

Where the reference, ours as a rule, is behind, the table says so twice: by a mark beside the figure
that is better beyond doubt, and in sentences at the end.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from virtlab.model.league import Family, League, Measure, PolicyKind, Standing, Table, measures_of
from virtlab.reports.grid import markdown_grid, text_grid

__all__ = [
    "COULD_BE_HAD",
    "KINDS",
    "behind",
    "family_grid",
    "figure",
    "heading_of",
    "league_csv",
    "league_markdown",
    "league_text",
    "overall_grid",
    "tuning_told",
]

KINDS: dict[PolicyKind, str] = {"scheduling": "Schedulers", "coordination": "Coordinators"}
_BETTER = "*"
COULD_BE_HAD = "could be had"
_CSV_COLUMNS = ("kind", "family", "held_out", "seed", "policy", "measure", "unit", "value")

_Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], Iterator[str]]


def league_text(table: Table) -> str:
    """Return a league for a terminal."""
    return "\n".join(_pages(table, text_grid, title=lambda level, text: ["", text])) + "\n"


def league_markdown(table: Table) -> str:
    """Return a league in Markdown."""
    lines = _pages(
        table, markdown_grid, title=lambda level, text: ["", f"{'#' * level} {text}", ""]
    )
    return "\n".join(lines).lstrip("\n") + "\n"


def league_csv(table: Table) -> str:
    """Return a row for each figure of each run; what could be had is there as a policy, too."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    families = {family.name: family for family in table.league.families}
    found = [(one.family, one.seed, one.entrant, one.figures) for one in table.league.bouts]
    found += [(one.family, one.seed, COULD_BE_HAD, one.figures) for one in table.league.optima]
    for name, seed, who, figures in found:
        family = families[name]
        for measure in measures_of(family.kind):
            if measure.name in figures:
                writer.writerow(
                    (
                        *(family.kind, name, "yes" if family.held_out else "no", seed, who),
                        *(measure.name, measure.unit, repr(figures[measure.name])),
                    )
                )
    return out.getvalue()


def behind(table: Table) -> list[str]:
    """Return where the references are behind beyond doubt, in sentences; and where they failed."""
    found = []
    for family in table.league.families:
        reference = table.reference.get(family.kind)
        rows = [row for row in table.rows if row.family == family.name]
        for measure in measures_of(family.kind):
            better = [row for row in rows if measure.harm and _is_better(row, measure)]
            if not better:
                continue
            best = max(better, key=lambda row: abs(row.against[measure.name].difference))
            by = best.against[measure.name]
            others = f", and {len(better) - 1} more" if len(better) > 1 else ""
            found.append(
                f"{family.name}: {reference} is behind {best.entrant}{others} in {measure.title} "
                f"by {figure(abs(by.difference))} {measure.unit}".rstrip()
                + f" (95 %: {figure(min(abs(by.low), abs(by.high)))} to "
                f"{figure(max(abs(by.low), abs(by.high)))})"
            )
    for row in table.rows:
        if row.failures and row.entrant in table.reference.values():
            found.append(f"{row.family}: {row.entrant} failed, {row.failures[0]}")
    return found


def figure(value: float) -> str:
    """Return a figure with about three digits that count."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def tuning_told(league: League) -> str:
    """Return in a sentence how policies were tuned for this league."""
    budget = league.tuning.get("budget")
    if not budget:
        return "No policy was tuned for this league: parameters are those that each comes with."
    return (
        f"Each policy tried {budget} sets of parameters on families that are not held out, with "
        "other seeds, and plays with the best of them (league.json says which)."
    )


def _pages(table: Table, grid: _Grid, title: Callable[[int, str], list[str]]) -> Iterator[str]:
    league = table.league
    way = "through libvirt's protocol" if league.wire else "in process"
    yield (
        f"{len(league.entrants)} policies, {len(league.families)} families, {len(league.seeds)} "
        f"seeds from {min(league.seeds)}, {way}. Means over the seeds; {_BETTER} is better than "
        "the reference with 95 %."
    )
    yield tuning_told(league)
    yield from league.notes
    for kind, heading in KINDS.items():
        if kind not in table.ranks:
            continue
        yield from title(2, heading)
        yield from grid(*overall_grid(table, kind))
        for family in league.families:
            rows = [row for row in table.rows if row.family == family.name]
            if family.kind == kind and rows:
                yield from title(3, heading_of(family))
                yield from grid(*family_grid(rows, kind))
                yield from (
                    f"{row.entrant} failed in {len(row.failures)} of {row.runs}: {row.failures[0]}"
                    for row in rows
                    if row.failures
                )
    yield from title(2, "Where the reference is behind")
    yield from (f"- {line}" for line in behind(table) or ["nowhere beyond doubt"])


def heading_of(family: Family) -> str:
    """Return a family's name, whether it is held out, and what it is."""
    held_out = " (held out from tuning)" if family.held_out else ""
    return f"{family.name}{held_out}: {family.title}"


def overall_grid(table: Table, kind: PolicyKind) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the ranking of policies of a kind."""
    ranks, held_out = table.ranks[kind], table.held_out_ranks[kind]
    head = ["policy", "mean rank", "held out", "best in", "failed runs"]
    best = _best_in(table, kind, measures_of(kind)[0])
    rows = []
    for name in sorted(ranks, key=lambda name: (ranks[name], name)):
        failed = sum(len(row.failures) for row in table.rows if row.entrant == name)
        own = " (reference)" if name == table.reference[kind] else ""
        rows.append(
            [
                f"{name}{own}",
                f"{ranks[name]:.2f}",
                f"{held_out[name]:.2f}" if name in held_out else "-",
                str(best.get(name, 0)),
                str(failed),
            ]
        )
    return head, rows


def _best_in(table: Table, kind: PolicyKind, measure: Measure) -> dict[str, int]:
    """Return in how many families nobody has a better mean."""
    counts: dict[str, int] = {}
    for family in table.league.families:
        rows = [row for row in table.rows if row.family == family.name and row.means]
        if family.kind != kind or not rows:
            continue
        least = min(measure.level(row.means[measure.name]) for row in rows)
        for row in rows:
            if measure.level(row.means[measure.name]) == least:
                counts[row.entrant] = counts.get(row.entrant, 0) + 1
    return counts


def family_grid(rows: Sequence[Standing], kind: PolicyKind) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of one family, the best by the measure that ranks first."""
    measures = measures_of(kind)
    head = ["policy", *(_column(measure) for measure in measures)]
    first = measures[0].name
    ordered = sorted(rows, key=lambda row: (not row.means, row.means.get(first, 0.0), row.entrant))
    lines = [[row.entrant, *(_cell(row, measure) for measure in measures)] for row in ordered]
    optimum = rows[0].optimum
    if optimum:
        could = [figure(optimum[m.name]) if m.name in optimum else "" for m in measures]
        lines.append([COULD_BE_HAD, *could])
    return head, lines


def _column(measure: Measure) -> str:
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def _cell(row: Standing, measure: Measure) -> str:
    if not row.means:
        return "failed"
    return figure(row.means[measure.name]) + (_BETTER if _is_better(row, measure) else "")


def _is_better(row: Standing, measure: Measure) -> bool:
    return measure.name in row.against and measure.better(row.against[measure.name])
