"""How rankings of a league change with the physics, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from virtlab.model.league import Sensitivity, Table
from virtlab.reports.grid import markdown_grid, text_grid

__all__ = ["sensitivity_markdown", "sensitivity_text"]

_HEAD = ("constant", "times", "policies", "tau", "first", "rank of the reference", "others moved")


def sensitivity_text(found: Sequence[Sensitivity], table: Table) -> str:
    """Return the table for a terminal."""
    return "\n".join(["", _summary(found, table), *text_grid(_HEAD, _rows(found, table))]) + "\n"


def sensitivity_markdown(found: Sequence[Sensitivity], table: Table) -> str:
    """Return the table in Markdown."""
    lines = [_summary(found, table), "", *markdown_grid(_HEAD, _rows(found, table))]
    return "\n".join(lines) + "\n"


def _summary(found: Sequence[Sensitivity], table: Table) -> str:
    least = min((one.tau for one in found), default=1.0)
    changed = sum(_first(one.ranks) != _first(table.ranks[one.kind]) for one in found)
    return (
        f"Rankings with one constant changed at a time: Kendall's tau is {least:.2f} at least, and "
        f"the first place changes in {changed} of {len(found)}."
    )


def _rows(found: Sequence[Sensitivity], table: Table) -> list[list[str]]:
    return [
        [
            one.constant,
            f"{one.factor:g}",
            one.kind,
            f"{one.tau:.2f}",
            _first(one.ranks),
            f"{one.ranks[table.reference[one.kind]]:.2f} "
            f"(was {table.ranks[one.kind][table.reference[one.kind]]:.2f})",
            _moved(one, table),
        ]
        for one in found
    ]


def _first(ranks: Mapping[str, float]) -> str:
    return min(ranks, key=lambda name: (ranks[name], name))


def _moved(one: Sensitivity, table: Table) -> str:
    """Return who stands in another place than with the constant as it is."""
    before, after = (
        sorted(ranks, key=lambda name: (ranks[name], name))
        for ranks in (table.ranks[one.kind], one.ranks)
    )
    moved = [
        f"{name} {before.index(name) + 1}→{after.index(name) + 1}"
        for name in before
        if before.index(name) != after.index(name)
    ]
    return ", ".join(moved) or "nobody"
