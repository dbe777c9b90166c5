"""One measured figure and what it is held against."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True)
class Figure:
    name: str
    value: float | None  # None: could not be measured, and `note` says why
    unit: str
    budget: float | None = None
    aim: float | None = None
    more_is_better: bool = False
    note: str = ""

    @property
    def missed(self) -> bool:
        if self.value is None or self.budget is None:
            return False
        return self.value < self.budget if self.more_is_better else self.value > self.budget

    def row(self) -> str:
        def shown(value: float | None) -> str:
            return "-" if value is None else f"{value:,.4g} {self.unit}".strip()

        verdict = " MISSED" if self.missed else ""
        note = f"  {self.note}" if self.note else ""
        return (
            f"{self.name:<44} {shown(self.value):>10} {shown(self.budget):>10} "
            f"{shown(self.aim):>10}{verdict}{note}"
        )
