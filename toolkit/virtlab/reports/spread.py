"""The spread of repeated runs, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from virtlab.model.spread import CriterionSpread

__all__ = ["spread_text"]


def spread_text(spreads: Sequence[CriterionSpread]) -> str:
    """Return one line for each criterion: how often it was met, and between which figures."""
    width = max((len(spread.name) for spread in spreads), default=0)
    return "".join(f"{spread.name:<{width}}  {', '.join(_facts(spread))}\n" for spread in spreads)


def _facts(spread: CriterionSpread) -> Iterator[str]:
    yield f"met in {spread.passed} of {spread.judged} runs"
    if spread.judged < spread.of:
        yield f"{spread.of - spread.judged} not judged"
    if spread.lowest is not None:
        yield f"{spread.lowest:g} to {spread.highest:g} {spread.unit}, median {spread.median:g}"
