"""From single checks to one result: which figure counts, what is said, and what is borderline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from virtlab.grading.hints import hint_for
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, FailedSpan

__all__ = ["Check", "Limits", "conclude", "figure", "nothing_judged", "scenario_s"]

Limits = Mapping[str, float | None]

# A tenth: what two equal programs may differ by on another seed.
_BORDER_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Check:
    """One figure against one limit, with the sentence for either outcome."""

    met: bool
    measured: float | None
    limit: float | None
    unit: str
    sense: Literal["at_most", "at_least"]
    reason: str
    at_s: float | None = None
    where: str | None = None
    way: str | None = None  # the way of failing, for the hint
    spans_ns: tuple[tuple[int, int], ...] = ()  # when it was not met, in order

    @property
    def headroom(self) -> float:
        """Return the distance to the limit as a share of the limit; infinite without one."""
        if self.measured is None or not self.limit:
            return float("inf")
        distance = (
            self.limit - self.measured if self.sense == "at_most" else self.measured - (self.limit)
        )
        return distance / self.limit


def conclude(name: str, checks: Sequence[Check], hint: str | None) -> CriterionResult:
    """Return the result of a criterion: its first failed check, or the one nearest its limit."""
    failed = next((check for check in checks if not check.met), None)
    shown = failed or min(checks, key=lambda check: check.headroom)
    return CriterionResult(
        name=name,
        status="failed" if failed else "passed",
        measured=None if shown.measured is None else round(shown.measured, 3),
        limit=None if shown.limit is None else round(shown.limit, 3),
        unit=shown.unit,
        at_s=None if shown.at_s is None else round(shown.at_s, 3),
        where=shown.where,
        reason=shown.reason,
        hint=hint_for(name, failed.way, hint) if failed else None,
        borderline=failed is None and shown.headroom < _BORDER_SHARE,
        spans=tuple(_spans(check for check in checks if not check.met)),
    )


def _spans(failed: Iterable[Check]) -> Iterator[FailedSpan]:
    """Yield the times of failed checks; those that overlap or meet are one."""
    for check in failed:
        spans = check.spans_ns
        if not spans and check.at_s is not None:
            yield FailedSpan(round(check.at_s, 3), round(check.at_s, 3), check.where)
        merged: list[tuple[int, int]] = []
        for start_ns, end_ns in spans:
            if merged and start_ns <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end_ns))
            else:
                merged.append((start_ns, end_ns))
        for start_ns, end_ns in merged:
            yield FailedSpan(
                round(start_ns / NS_PER_S, 3), round(end_ns / NS_PER_S, 3), check.where
            )


def nothing_judged(unit: str, reason: str, *, at_s: float | None = None) -> Check:
    """Return the failed check of something that could not be judged: it is not passed."""
    return Check(False, None, None, unit, "at_most", reason, at_s)


def figure(value: float, limit: float | None = None) -> str:
    """Return a figure in words, with enough digits to tell it from its limit."""
    for digits in (1, 2, 3):
        text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
        if limit is None or value == limit or float(text) != limit:
            return text
    return repr(value)


def scenario_s(time_ns: int) -> str:
    """Return a moment in words, such as 10.25 s."""
    return f"{figure(time_ns / NS_PER_S)} s"
