"""How far several runs of the same program on the same scenario lie apart."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CriterionSpread"]


@dataclass(frozen=True, slots=True)
class CriterionSpread:
    """One criterion over all runs; figures are None where none was measured."""

    name: str
    passed: int
    judged: int  # runs in which it was judged
    of: int  # runs in all
    lowest: float | None
    median: float | None
    highest: float | None
    unit: str
