"""From results to points: one test, one seed, one submission.

What a lab fault kept from running is neither won nor lost: it has no points, and stands outside
the points that could be had. What the program itself kept from running, such as a failed build,
is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from virtlab.grading.criteria import judge_all
from virtlab.grading.criteria.check import figure
from virtlab.model.timeline import ClockKind, ProgramOutcome, Timeline
from virtlab.model.verdict import CriterionResult, PointLine, RunVerdict, Verdict

if TYPE_CHECKING:  # reading rubric files takes pydantic, which is slow to import
    from virtlab.grading.rubric import GeneralItem, Rubric, RubricTest

__all__ = [
    "VERDICT_VERSION",
    "BuildOutcome",
    "build_verdict",
    "mark_run",
    "mark_without_run",
    "plain_run",
    "without_hints",
]

VERDICT_VERSION = 1

_LAST_CALLS = 5
_SHOWN = 5  # seeds named one by one
_FLOOR_NOTE = " (a test does not fall below 0)"


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """Whether a program was built, and what to say about it."""

    ok: bool
    reason: str


def mark_run(test: RubricTest, timeline: Timeline, *, program: str, replay: str) -> RunVerdict:
    """Return the verdict of one recorded run of a rubric's test."""
    results = judge_all(timeline, test.limits)
    lines = _lines(test, results, timeline.outcome)
    return _run(timeline, results, lines, program, replay)


def plain_run(timeline: Timeline, *, program: str, replay: str) -> RunVerdict:
    """Return the verdict of one recorded run without a rubric: criteria, but no points."""
    return _run(timeline, judge_all(timeline), (), program, replay)


def mark_without_run(
    test: RubricTest, seed: int, outcome: ProgramOutcome, *, program: str, replay: str
) -> RunVerdict:
    """Return the verdict of a test that has no record, such as that of a failed build."""
    results = tuple(
        CriterionResult(
            asked.name, "not_run", None, None, "", None, None, f"not run: {outcome.reason}", None
        )
        for asked in test.scenario.criteria
    )
    lines = _lines(test, results, outcome)
    return _verdict(
        test.scenario.id, test.scenario.title, seed, outcome, results, lines, (), program, replay
    )


def without_hints(run: RunVerdict) -> RunVerdict:
    """Return a run's verdict with reasons and figures, but nothing about where to look next."""
    return replace(run, criteria=tuple(replace(one, hint=None) for one in run.criteria))


def build_verdict(
    rubric: Rubric,
    *,
    program: str,
    builds: Mapping[str, BuildOutcome],
    runs: Mapping[int, Sequence[RunVerdict]],
    interrupted: bool = False,
) -> Verdict:
    """Return the verdict of a submission.

    Args:
        rubric: what gives points.
        program: the submission's name.
        builds: how each program was built, by its kind; one that is missing was not tried.
        runs: the runs of each seed, in the rubric's order; those of the mark's seed are kept.
        interrupted: some runs are missing because the user ended it.
    """
    general = tuple(_general_line(item, builds) for item in rubric.general)
    seed, marked = _lowest(rubric, runs)
    points = _sum(line.points for line in general) + _sum(run.points for run in marked)
    points_max = _sum(line.points_max for line in general if line.points is not None) + _sum(
        run.points_max for run in marked
    )
    not_run = any(line.points is None for run in marked for line in run.lines) or any(
        line.points is None and item.kind == "builds"
        for line, item in zip(general, rubric.general, strict=True)
    )
    return Verdict(
        version=VERDICT_VERSION,
        program=program,
        rubric=rubric.id,
        rubric_version=rubric.version,
        seed=seed,
        seeds=tuple(runs),
        points=round(points, 6),
        points_max=round(points_max, 6),
        partial=interrupted or not_run,
        borderline=tuple(_borderline(rubric, runs)),
        general=general,
        runs=tuple(marked),
        clock=_least_repeatable(run.clock for run in marked),
    )


def _least_repeatable(clocks: Iterator[ClockKind]) -> ClockKind:
    found = set(clocks)
    return "real" if "real" in found else "paced" if "paced" in found else "lockstep"


# --- one test


def _lines(
    test: RubricTest, results: Sequence[CriterionResult], outcome: ProgramOutcome
) -> tuple[PointLine, ...]:
    if outcome.status == "lab_fault":
        reason = f"not run: {outcome.reason}"
        return tuple(PointLine(name, None, points, reason) for name, points in test.points.items())
    if all(result.status == "not_run" for result in results):
        reason = f"not run: {outcome.reason}"
        return tuple(PointLine(name, 0.0, points, reason) for name, points in test.points.items())
    by_name = {result.name: result for result in results}
    zero = next((name for name in test.zero_if if _lost(by_name, name)), None)
    if zero is not None:
        reason = f"0 for the whole test, as {zero} is not met: {by_name[zero].reason}"
        return tuple(PointLine(name, 0.0, points, reason) for name, points in test.points.items())
    missed = next((name for name in test.points if _lost(by_name, name)), None)
    won = []
    for name, points in test.points.items():
        reason = by_name[name].reason
        if test.together and missed is not None and not _lost(by_name, name):
            reason = f"lost together with {missed}; by itself: {reason}"
        lost = _lost(by_name, name) or (test.together and missed is not None)
        won.append(PointLine(name, 0.0 if lost else points, points, reason))
    return (*won, *_deductions(test, by_name, _sum(line.points for line in won)))


def _deductions(
    test: RubricTest, by_name: Mapping[str, CriterionResult], left: float
) -> Iterator[PointLine]:
    for name, points in test.deductions.items():
        reason = by_name[name].reason
        if not _lost(by_name, name):
            yield PointLine(name, 0.0, 0.0, reason)
            continue
        taken = min(-points, left)
        left -= taken
        note = _FLOOR_NOTE if taken < -points else ""
        yield PointLine(name, -taken if taken else 0.0, 0.0, reason + note)


def _lost(by_name: Mapping[str, CriterionResult], name: str) -> bool:
    return by_name[name].status != "passed"


def _run(
    timeline: Timeline,
    results: tuple[CriterionResult, ...],
    lines: tuple[PointLine, ...],
    program: str,
    replay: str,
) -> RunVerdict:
    outcome = timeline.outcome
    calls = () if outcome.status == "ok" else timeline.calls[-_LAST_CALLS:]
    return _verdict(
        timeline.scenario,
        timeline.title,
        timeline.seed,
        outcome,
        results,
        lines,
        tuple(call.in_words() for call in calls),
        program,
        replay,
        timeline.clock,
        timeline.scaled_from,
    )


def _verdict(
    scenario: str,
    title: str,
    seed: int,
    outcome: ProgramOutcome,
    results: tuple[CriterionResult, ...],
    lines: tuple[PointLine, ...],
    last_calls: tuple[str, ...],
    program: str,
    replay: str,
    clock: ClockKind = "lockstep",
    scaled_from: str | None = None,
) -> RunVerdict:
    notes = outcome.notes
    if scaled_from is not None:
        notes = (f"This is {scaled_from} in a smaller form: its points are not those.", *notes)
    return RunVerdict(
        scenario=scenario,
        title=title,
        program=program,
        seed=seed,
        status=outcome.status,
        outcome=outcome.kind,
        outcome_reason=outcome.reason,
        notes=notes,
        last_calls=last_calls,
        criteria=results,
        lines=lines,
        points=round(max(_sum(line.points for line in lines), 0.0), 6),
        points_max=round(_sum(x.points_max for x in lines if x.points is not None), 6),
        replay=replay,
        clock=clock,
    )


# --- one submission


def _general_line(item: GeneralItem, builds: Mapping[str, BuildOutcome]) -> PointLine:
    if item.kind == "by_hand":
        return PointLine(item.label, None, item.points, "given by hand, outside these points")
    build = builds.get(item.program)
    if build is None:
        return PointLine(item.label, None, item.points, f"{item.program} was not graded")
    return PointLine(item.label, item.points if build.ok else 0.0, item.points, build.reason)


def _lowest(
    rubric: Rubric, runs: Mapping[int, Sequence[RunVerdict]]
) -> tuple[int, Sequence[RunVerdict]]:
    """Return the seed that lost the most points, the first of equals, and its runs.

    Only seeds with the most runs compete, so that an interruption is no lower mark.
    """
    if not runs:
        return rubric.seeds[0], ()
    most = max(len(of_seed) for of_seed in runs.values())
    complete = [seed for seed, of_seed in runs.items() if len(of_seed) == most]
    seed = max(complete, key=lambda one: round(sum(r.points_max - r.points for r in runs[one]), 6))
    return seed, runs[seed]


def _borderline(rubric: Rubric, runs: Mapping[int, Sequence[RunVerdict]]) -> Iterator[str]:
    """Yield, in the rubric's order, what a small change might tip."""
    for test in rubric.tests:
        name = test.scenario.id
        of_test = [run for of_seed in runs.values() for run in of_seed if run.scenario == name]
        marks = {run.seed: run.points for run in of_test if run.status != "lab_fault"}
        if len(set(marks.values())) > 1:
            best = max(marks.values())
            lower = [(seed, points) for seed, points in marks.items() if points < best]
            each = ", ".join(
                f"{figure(points)} with seed {seed}" for seed, points in lower[:_SHOWN]
            )
            more = f" and {len(lower) - _SHOWN} more" if len(lower) > _SHOWN else ""
            yield (
                f"{name}: the points differ between seeds: {figure(best)} with "
                f"{len(marks) - len(lower)} of {len(marks)}, but {each}{more}"
            )
        counted = {*test.points, *test.deductions, *test.zero_if}
        for run in of_test:
            for result in run.criteria:
                if result.borderline and result.name in counted:
                    yield f"{name}, seed {run.seed}: {result.name} is met narrowly: {result.reason}"


def _sum(points: Iterator[float] | Iterator[float | None]) -> float:
    return sum(value for value in points if value is not None)
