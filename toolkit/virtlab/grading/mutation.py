"""The grader held against itself: mutants of the references under the rubrics.

A mutant is tried under one rubric after the other and with one seed after the other, and is
*caught* by the first that takes a point from it. What no rubric catches is no mistake as far as the
rules go, or shows a hole in them; the mutant's file says which.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

from virtlab.errors import InputError
from virtlab.grading.interrupts import one_interrupt
from virtlab.grading.mutants import Mutant, write_mutant
from virtlab.grading.rubric import Rubric
from virtlab.grading.trial import Trial, build_for_trial
from virtlab.grading.workers import open_workers
from virtlab.model.verdict import Verdict
from virtlab.subjects.work_directory import work_directory

__all__ = [
    "MUTANT_RUBRICS",
    "MUTANT_SEEDS",
    "Catch",
    "MutantResult",
    "mutation_json",
    "try_mutant",
    "try_mutants",
]

MUTATION_VERSION = 1
# The course's own first: what it catches says nothing of ours.
MUTANT_RUBRICS = ("fall-2026", "generality")
MUTANT_SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Catch:
    """The first rubric and seed that took a point from a mutant."""

    rubric: str
    seed: int
    points: float
    points_max: float
    lost: tuple[str, ...]  # SCENARIO/CRITERION that cost points, in the rubric's order


@dataclass(frozen=True, slots=True)
class MutantResult:
    """A mutant, and what caught it; None where nothing did."""

    mutant: Mutant
    catch: Catch | None

    @property
    def as_expected(self) -> bool:
        """Tell whether it was caught where its file says, or survived where it says why."""
        lost = self.catch.lost if self.catch else ()
        return set(self.mutant.caught_by) <= set(lost) and bool(lost) == bool(self.mutant.caught_by)

    def __str__(self) -> str:
        """Return the mutant and what caught it, on one line."""
        if self.catch is None:
            return f"{self.mutant.label} survives"
        lost, more = self.catch.lost[0], len(self.catch.lost) - 1
        return f"{self.mutant.label} loses {lost}" + (f" and {more} more" if more else "")


def try_mutants(
    mutants: Sequence[Mutant],
    rubrics: Sequence[Rubric],
    seeds: Sequence[int],
    *,
    jobs: int,
    on_step: Callable[[int, MutantResult], None] = lambda _done, _result: None,
) -> tuple[list[MutantResult], bool]:
    """Return what each mutant gets, in the order given, and whether the user ended it early.

    Raises:
        InputError: a mutant does not apply or does not build, so it says nothing.
    """
    done: dict[int, MutantResult] = {}
    interrupted = False
    with one_interrupt(), open_workers(jobs) as workers:
        futures: dict[Future[MutantResult], int] = {
            workers.submit(try_mutant, mutant, rubrics, seeds): number
            for number, mutant in enumerate(mutants)
        }
        try:
            for future in workers.finished(list(futures)):
                result = done[futures[future]] = future.result()
                on_step(len(done), result)
        except KeyboardInterrupt:
            interrupted = True
    return [done[number] for number in sorted(done)], interrupted


def try_mutant(mutant: Mutant, rubrics: Sequence[Rubric], seeds: Sequence[int]) -> MutantResult:
    """Return what one mutant gets.

    Raises:
        InputError: it does not apply or does not build.
    """
    with work_directory() as work:
        write_mutant(mutant, work / mutant.name)
        with build_for_trial(work / mutant.name, mutant.kind) as trial:
            if not trial.outcome.ok:
                raise InputError(
                    f"{mutant.label}: {trial.outcome.reason}",
                    fix="mend its text: a program that does not build shows nothing of the grader.",
                )
            return MutantResult(mutant, _catch(trial, rubrics, seeds))


def _catch(trial: Trial, rubrics: Sequence[Rubric], seeds: Sequence[int]) -> Catch | None:
    for rubric in rubrics:
        for seed in seeds:
            verdict = trial.verdict(rubric, [seed])
            if verdict.points < verdict.points_max:
                lost = _lost(rubric, verdict)
                return Catch(rubric.id, seed, verdict.points, verdict.points_max, lost)
    return None


def mutation_json(
    results: Sequence[MutantResult],
    rubrics: Sequence[Rubric],
    seeds: Sequence[int],
    *,
    mutants: Sequence[Mutant] = (),
    before: str = "",
) -> str:
    """Return results as they stand beside the mutants.

    Args:
        results: what was found now.
        rubrics: those that were tried, in this order.
        seeds: those that were tried, in this order.
        mutants: all that there are; what was not tried now keeps its result of before.
        before: an older answer of this function; one of other rubrics or seeds is forgotten.
    """
    head = {
        "version": MUTATION_VERSION,
        "rubrics": {rubric.id: rubric.version for rubric in rubrics},
        "seeds": list(seeds),
    }
    catches = _older_catches(before, head)
    catches |= {
        (result.mutant.program, result.mutant.name, result.mutant.digest): result.catch
        and asdict(result.catch)
        for result in results
    }
    listed = mutants or [result.mutant for result in results]
    plain = [
        {
            "program": mutant.program,
            "name": mutant.name,
            "why": mutant.why,
            "change": mutant.digest,
            "catch": catches[mutant.program, mutant.name, mutant.digest],
            "survives": mutant.survives and asdict(mutant.survives),
        }
        for mutant in listed
        if (mutant.program, mutant.name, mutant.digest) in catches
    ]
    return json.dumps({**head, "mutants": plain}, indent=2, ensure_ascii=False) + "\n"


def _older_catches(before: str, head: Mapping[str, Any]) -> dict[tuple[str, str, str], Any]:
    """Return what caught whom in an older answer, if that is of the same rubrics and seeds."""
    older = json.loads(before) if before else {}
    if any(older.get(key) != value for key, value in head.items()):
        return {}
    return {
        (plain["program"], plain["name"], plain["change"]): plain["catch"]
        for plain in older["mutants"]
    }


def _lost(rubric: Rubric, verdict: Verdict) -> tuple[str, ...]:
    """Return the criteria that are not met and cost points."""
    counted = {
        test.scenario.id: {*test.points, *test.deductions, *test.zero_if} for test in rubric.tests
    }
    return tuple(
        f"{run.scenario}/{result.name}"
        for run in verdict.runs
        for result in run.criteria
        if result.status != "passed" and result.name in counted[run.scenario]
    )
