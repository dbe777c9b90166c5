"""From single runs to standings: means over the seeds, differences with intervals, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from math import fsum, inf

from virtlab.league.bootstrap import paired_interval
from virtlab.model.league import (
    Bout,
    Comparison,
    Family,
    League,
    PolicyKind,
    Standing,
    Table,
    measures_of,
)

__all__ = ["OURS", "table_of"]

OURS: Mapping[PolicyKind, str] = {"scheduling": "even", "coordination": "steady"}


def table_of(league: League) -> Table:
    """Return a league worked out."""
    kinds = [kind for kind in OURS if any(one.kind == kind for one in league.entrants)]
    reference = {kind: _reference_of(league, kind) for kind in kinds}
    rows = _standings(league, reference)
    held_out = {family.name for family in league.families if family.held_out}
    return Table(
        league=league,
        rows=rows,
        ranks={kind: _mean_ranks(rows, _names(league.families, kind), kind) for kind in kinds},
        held_out_ranks={
            kind: _mean_ranks(rows, _names(league.families, kind) & held_out, kind)
            for kind in kinds
        },
        reference=reference,
    )


def _reference_of(league: League, kind: PolicyKind) -> str:
    """Return against whom others are held: ours, or else the first that takes part."""
    names = [one.name for one in league.entrants if one.kind == kind]
    return OURS[kind] if OURS[kind] in names else names[0]


def _standings(league: League, references: Mapping[PolicyKind, str]) -> tuple[Standing, ...]:
    """Return how each policy stands in each family, in the league's order."""
    by_place: dict[tuple[str, str], list[Bout]] = {}
    for bout in league.bouts:
        by_place.setdefault((bout.family, bout.entrant), []).append(bout)
    found = []
    for family in league.families:
        reference = references.get(family.kind, "")
        names = [measure.name for measure in measures_of(family.kind)]
        optima = [one.figures for one in league.optima if one.family == family.name]
        best = {name: _mean([o[name] for o in optima]) for name in names if _in_all(name, optima)}
        for entrant in league.entrants:
            bouts = by_place.get((family.name, entrant.name))
            if not bouts:
                continue
            failures = tuple(bout.failure for bout in bouts if bout.failure is not None)
            rivals = by_place.get((family.name, reference), [])
            found.append(
                Standing(
                    entrant=entrant.name,
                    family=family.name,
                    runs=len(bouts),
                    failures=failures,
                    means={} if failures else _means(bouts, names),
                    against={} if entrant.name == reference else _against(bouts, rivals, names),
                    optimum=best,
                )
            )
    return tuple(found)


def _mean_ranks(rows: Sequence[Standing], families: Set[str], kind: PolicyKind) -> dict[str, float]:
    """Return each policy's mean rank over the families, by the measure that ranks; 1 is best.

    Means that are the same in whole steps share their ranks; who failed anywhere in a family is
    last there.
    """
    primary = measures_of(kind)[0]
    assert primary.primary
    ranks: dict[str, list[float]] = {}
    for family in sorted(families):
        here = [row for row in rows if row.family == family]
        values = {
            row.entrant: primary.level(row.means[primary.name]) if row.means else inf
            for row in here
        }
        for name, value in values.items():
            better = sum(other < value for other in values.values())
            equal = sum(other == value for other in values.values())
            ranks.setdefault(name, []).append(better + (equal + 1) / 2)
    return {name: fsum(each) / len(each) for name, each in ranks.items()}


def _names(families: Sequence[Family], kind: PolicyKind) -> set[str]:
    return {family.name for family in families if family.kind == kind}


def _means(bouts: Sequence[Bout], names: Sequence[str]) -> dict[str, float]:
    return {name: _mean([bout.figures[name] for bout in bouts]) for name in names}


def _against(
    bouts: Sequence[Bout], rivals: Sequence[Bout], names: Sequence[str]
) -> dict[str, Comparison]:
    """Return the differences to the reference, over the seeds that both came through."""
    theirs = {bout.seed: bout.figures for bout in rivals if bout.failure is None}
    pairs = [(bout.figures, theirs[bout.seed]) for bout in bouts if bout.seed in theirs]
    if len(pairs) < 2 or any(bout.failure is not None for bout in bouts):
        return {}
    found = {}
    for name in names:
        differences = [one[name] - other[name] for one, other in pairs]
        low, high = paired_interval(differences)
        found[name] = Comparison(_mean(differences), low, high)
    return found


def _in_all(name: str, figures: Sequence[Mapping[str, float]]) -> bool:
    return bool(figures) and all(name in one for one in figures)


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
