"""What a program got, and why: plain values that reports read.

Three axes are never mixed: whether a criterion was met, how the run itself ended, and points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from virtlab.model.finding import SanitiserReport
from virtlab.model.timeline import ClockKind, RunStatus

__all__ = [
    "CriterionResult",
    "CriterionStatus",
    "FailedSpan",
    "FirstMoment",
    "PointLine",
    "RunVerdict",
    "Verdict",
]

CriterionStatus = Literal["passed", "failed", "not_run"]


@dataclass(frozen=True, slots=True)
class FailedSpan:
    """A time in which a criterion was not met."""

    start_s: float  # of scenario time
    end_s: float  # equal to the start where it is a moment
    where: str | None  # the guest, vCPU or pCPU concerned


@dataclass(frozen=True, slots=True)
class FirstMoment:
    """The first moment at which things went wrong, as the record shows it."""

    at_s: float  # of scenario time
    story: str  # what the program did there, and how often
    calls: tuple[str, ...]  # its libvirt calls around that moment


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """One criterion judged on one timeline."""

    name: str
    status: CriterionStatus
    measured: float | None
    limit: float | None
    unit: str  # of measured and limit, such as "points" or "MiB"
    at_s: float | None  # scenario time of the first failure, or of the worst moment
    where: str | None  # the guest, vCPU or pCPU concerned
    reason: str
    hint: str | None  # only where it failed
    borderline: bool = False  # passed by less than a tenth of its limit
    spans: tuple[FailedSpan, ...] = ()  # only where it failed
    limits: Mapping[str, float | None] = field(default_factory=dict)  # all that it was judged by
    moment: FirstMoment | None = None  # only where it failed, and the record tells of it


@dataclass(frozen=True, slots=True)
class PointLine:
    """Points of one rubric item; a deduction has points below 0 and points_max 0."""

    label: str
    points: float | None  # None: not run, so neither won nor lost
    points_max: float
    reason: str


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """One scenario, one program, one seed."""

    scenario: str
    title: str
    program: str
    seed: int
    status: RunStatus
    outcome: str  # ProgramOutcome.kind
    outcome_reason: str
    notes: tuple[str, ...]
    last_calls: tuple[str, ...]  # where the program failed: its last libvirt calls
    criteria: tuple[CriterionResult, ...]
    lines: tuple[PointLine, ...]
    points: float
    points_max: float
    replay: str  # the command that runs exactly this again
    clock: ClockKind = "lockstep"
    sanitiser: SanitiserReport | None = None  # None: nobody asked


@dataclass(frozen=True, slots=True)
class Verdict:
    """One submission under one rubric; several seeds count by the lowest mark."""

    version: int
    program: str
    rubric: str
    rubric_version: str
    seed: int  # of the mark: the seed that gave the lowest one
    seeds: tuple[int, ...]
    points: float
    points_max: float
    partial: bool  # interrupted before every test had run
    borderline: tuple[str, ...]  # what a small change might tip, in words
    general: tuple[PointLine, ...]  # builds, and items given by hand
    runs: tuple[RunVerdict, ...]
    clock: ClockKind = "lockstep"  # "paced" where any of the runs is
