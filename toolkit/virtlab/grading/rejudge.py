"""Judge recorded runs again, under the same rubric or another, without running anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from virtlab.errors import InputError
from virtlab.grading.marks import BuildOutcome, build_verdict, mark_run, mark_without_run
from virtlab.grading.replay import replay_command
from virtlab.grading.rubric import Rubric
from virtlab.grading.store import StoredResults, read_results
from virtlab.model.timeline import ProgramOutcome
from virtlab.model.verdict import RunVerdict, Verdict

__all__ = ["rejudge"]


def rejudge(folder: Path, rubric: Rubric) -> Verdict:
    """Return the verdict that a rubric gives to the runs in a result folder.

    Raises:
        InputError: the folder is broken, or it has no run of any of the rubric's tests.
    """
    results = read_results(folder)
    builds = {
        kind: BuildOutcome(bool(build["ok"]), str(build["reason"]))
        for kind, build in results.info.get("builds", {}).items()
    }
    runs = {
        seed: verdicts
        for seed in results.verdict.seeds
        if (verdicts := _of_seed(results, rubric, seed, builds))
    }
    if not runs:
        raise InputError(
            f"{folder} has no run of a test that {rubric.id} counts.",
            fix="judge by the rubric that it was graded by, or grade it again.",
        )
    return build_verdict(
        rubric,
        program=results.verdict.program,
        builds=builds,
        runs=runs,
        interrupted=results.verdict.partial,
    )


def _of_seed(
    results: StoredResults, rubric: Rubric, seed: int, builds: dict[str, BuildOutcome]
) -> list[RunVerdict]:
    name = results.verdict.program
    recorded = {
        run.timeline.scenario: run.timeline for run in results.runs if run.timeline.seed == seed
    }
    before = {(run.scenario, run.seed): run for run in results.verdict.runs}
    verdicts = []
    for test in rubric.tests:
        older = before.get((test.scenario.id, seed))
        timeline = recorded.get(test.scenario.id)
        replay = older.replay if older else replay_command(test.source, name, seed, timeline)
        build = builds.get(test.scenario.program)
        if timeline is not None:
            verdict = mark_run(test, timeline, program=name, replay=replay)
            verdicts.append(replace(verdict, sanitiser=older.sanitiser if older else None))
        elif build is not None and not build.ok:
            kind = "not_found" if "was not found" in build.reason else "not_built"
            outcome = ProgramOutcome("program_fault", kind, build.reason, 0)
            verdicts.append(mark_without_run(test, seed, outcome, program=name, replay=replay))
    return verdicts
