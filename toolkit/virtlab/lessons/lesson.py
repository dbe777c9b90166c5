"""What a lesson is: a class with one thing to set, which yields what there is to see, in order.

Each thing to see names the place in the text where it belongs. Cells and points are figures and not
texts, so that a test, or a reader of the JSON, can hold one against another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Bars", "Cell", "Curves", "Lesson", "Listing", "Said", "Shown", "Table"]

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures; the first column says what a row is about."""

    place: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Bars:
    """One figure for each of a few cases: a trend."""

    place: str
    unit: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Curves:
    """Figures over time, one series for each name, all on one scale."""

    place: str
    unit: str
    over: str  # of what to what the series go, in words
    series: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines as a machine gave them."""

    place: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence that follows from the figures of this run."""

    place: str
    text: str


Shown = Table | Bars | Curves | Listing | Said


class Lesson(Protocol):
    """One lesson; its tunable fields are what a learner may set."""

    def shown(self) -> Iterator[Shown]:
        """Yield what there is to see, in the order of the text; the work is done on the way."""
        ...
