"""What a verdict consists of, line by line: what other systems' formats are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from virtlab.model.verdict import CriterionResult, FirstMoment, PointLine, RunVerdict, Verdict

__all__ = [
    "Item",
    "ItemStatus",
    "cause_of",
    "is_lost",
    "items_of",
    "moment_text",
    "points_text",
    "readable",
]

# Lost by the program; kept from running by the lab; no part of this grading, such as by hand.
ItemStatus = Literal["met", "lost", "lab_fault", "outside"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that gives or takes points, with the reason."""

    test: str  # id of the scenario; empty for what belongs to the submission as a whole
    title: str  # of the scenario
    label: str
    status: ItemStatus
    points: float | None  # None: not run
    points_max: float  # 0 where it is a deduction
    reason: str
    hint: str | None
    replay: str | None  # the command that runs exactly this again
    moment: FirstMoment | None = None  # where the run first went wrong

    @property
    def name(self) -> str:
        """Return a name that is unique in a verdict."""
        return f"{self.test}: {self.label}" if self.test else self.label


def items_of(verdict: Verdict) -> Iterator[Item]:
    """Yield the lines of a verdict in its order: what is general, then each test's."""
    for line in verdict.general:
        status = _status(line, lab_fault=line.reason.startswith("not run"))
        yield Item(
            "", "", line.label, status, line.points, line.points_max, line.reason, None, None
        )
    for run in verdict.runs:
        for line in run.lines:
            cause = cause_of(run, line) if is_lost(line) else None
            yield Item(
                run.scenario,
                run.title,
                line.label,
                _status(line, lab_fault=True),
                line.points,
                line.points_max,
                line.reason,
                None if cause is None else cause.hint,
                run.replay,
                None if cause is None else cause.moment,
            )


def is_lost(line: PointLine) -> bool:
    """Tell whether a line cost points."""
    return line.points is not None and line.points < line.points_max


def cause_of(run: RunVerdict, line: PointLine) -> CriterionResult | None:
    """Return the criterion from which the reason of a lost line comes."""
    own = [result for result in run.criteria if result.name == line.label]
    failed = [result for result in (*own, *run.criteria) if result.status == "failed"]
    return next((result for result in failed if result.reason in line.reason), None)


def moment_text(moment: FirstMoment) -> str:
    """Return what is told of a first moment, as a sentence."""
    return f"at {moment.at_s:g} s: {moment.story}"


def points_text(value: float) -> str:
    """Return points without needless zeros."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def readable(text: str) -> str:
    """Return text in which the control characters that a program may have written are shown."""
    return "".join(
        char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text
    )


def _status(line: PointLine, *, lab_fault: bool) -> ItemStatus:
    if line.points is None:
        return "lab_fault" if lab_fault else "outside"
    return "lost" if is_lost(line) else "met"
