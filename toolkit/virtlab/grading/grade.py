"""A submission under a rubric: unpack, build, run every test with every seed, and mark.

Runs are independent of each other, so they are spread over worker processes; each worker writes
its run's folder itself and hands back the verdict. Nothing depends on the order in which workers
finish: the same submission, rubric and seeds give the same verdict with any number of jobs.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virtlab import __version__
from virtlab.errors import SubmissionError
from virtlab.grading.interrupts import one_interrupt
from virtlab.grading.marks import BuildOutcome, build_verdict, without_hints
from virtlab.grading.preparation import copy_place
from virtlab.grading.results_folder import is_written_by_us
from virtlab.grading.rubric import Rubric, RubricTest
from virtlab.grading.run import Runner, run_program
from virtlab.grading.store import ResultWriter, write_results
from virtlab.grading.tasks import (
    Built,
    MonitorText,
    TestDone,
    build_in_copy,
    build_outcome,
    run_test,
)
from virtlab.grading.timing import REAL_PACE, Pacing
from virtlab.grading.workers import Workers, open_workers
from virtlab.model.scenario import ProgramKind
from virtlab.model.verdict import RunVerdict, Verdict
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import UnpackedSubmission, open_submission
from virtlab.subjects.work_directory import work_directory

__all__ = ["GradedSubmission", "Step", "asked_for", "grade_submission"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that just finished, for showing progress."""

    done: int
    total: int
    what: str


@dataclass(frozen=True, slots=True)
class GradedSubmission:
    """A verdict, and where its evidence lies."""

    verdict: Verdict
    folder: Path
    interrupted: bool
    layers: tuple[str, ...]  # of the sandbox
    notes: tuple[str, ...]  # about what was handed in, such as what was left out

    @property
    def weaknesses(self) -> tuple[str, ...]:
        """Return what the sandbox could not do on this machine."""
        return tuple(layer for layer in self.layers if layer.startswith("weaker"))


def grade_submission(
    path: Path,
    rubric: Rubric,
    out: Path,
    *,
    seeds: Sequence[int],
    jobs: int,
    only: ProgramKind | None = None,
    overwrite: bool = False,
    monitor_text: MonitorText,
    on_step: Callable[[Step], None] = lambda _step: None,
    pacing: Pacing = REAL_PACE,
    sanitise: bool = False,
    runner: Runner = run_program,
    present_only: bool = False,
    on_verdict: Callable[[Verdict], None] = lambda _verdict: None,
    hints: bool = True,
) -> GradedSubmission:
    """Grade one submission and write its result folder.

    Args:
        path: a folder, an archive, a source file or an executable.
        rubric: what gives points.
        out: the result folder to write.
        seeds: each test runs once with each.
        jobs: worker processes; 1 runs everything in this process.
        only: grade the tests of one program alone.
        overwrite: an older result folder of ours may be replaced.
        monitor_text: renders the course's monitor lines of a run.
        on_step: told of each build and run that finished.
        pacing: of runs on the paced clock.
        sanitise: run each test of a C program once more, built with sanitisers.
        runner: where tests run; a real host's takes one job.
        present_only: grade the programs that are there; one that is missing costs nothing.
        hints: say where to look next; without, reasons and figures have to do.
        on_verdict: given the verdict as it is so far, after each run, and the whole one at the end.

    Raises:
        SubmissionError: there is nothing in it that could be graded.
        UsageError, EnvironmentLackError: the results cannot be written.
    """
    began_s = time.monotonic()
    with (
        one_interrupt(),
        write_results(out, overwrite=overwrite) as writer,
        work_directory(sockets=True) as work,
        open_workers(jobs) as workers,
    ):
        # Whatever becomes of the submission from here on, it is this copy that is graded.
        submission = open_submission(path, copy_place(path, work), leave_out=is_written_by_us)
        found = sorted(find_programs(submission.root, kind=only))
        wanted = _wanted(rubric, found, path, only, submission.one_file)
        if present_only:
            wanted = [kind for kind in wanted if kind in found]
        grading = _Grading(
            rubric,
            submission,
            work,
            seeds,
            workers,
            writer,
            monitor_text,
            on_step,
            pacing,
            sanitise,
            runner,
            on_verdict,
            hints,
        )
        interrupted = False
        try:
            grading.run(wanted, found)
        except KeyboardInterrupt:
            workers.interrupt()
            grading.take_what_is_begun()
            if not grading.verdicts():
                raise  # there is nothing to keep, and older results are worth more
            interrupted = True
        verdict = grading.verdict(interrupted=interrupted)
        on_verdict(verdict)
        writer.verdict(verdict)
        info = grading.info(jobs, time.monotonic() - began_s)
        asked = asked_for(
            only=only,
            pacing=pacing,
            sanitise=sanitise,
            runner=runner,
            present_only=present_only,
            hints=hints,
        )
        writer.run_info({**info, "asked": asked, "interrupted": interrupted})
    return GradedSubmission(verdict, out, interrupted, grading.layers, submission.notes)


def asked_for(
    *,
    only: ProgramKind | None,
    pacing: Pacing,
    sanitise: bool,
    runner: Runner,
    hints: bool,
    present_only: bool = False,
) -> dict[str, Any]:
    """Return what a grading is asked for beside rubric and seeds, as run.json keeps it."""
    return {
        "only": only,
        "pace": pacing.pace,
        "sanitize": sanitise,
        "host": "simulated" if runner is run_program else "real",
        "hints": hints,
        "present_only": present_only,
    }


@dataclass
class _Grading:
    """One submission while it is graded, and what has finished so far, in no order that matters."""

    rubric: Rubric
    submission: UnpackedSubmission
    work: Path
    seeds: Sequence[int]
    workers: Workers
    writer: ResultWriter
    monitor_text: MonitorText
    on_step: Callable[[Step], None]
    pacing: Pacing
    sanitise: bool
    runner: Runner
    on_verdict: Callable[[Verdict], None]
    hints: bool
    builds: dict[str, BuildOutcome] = field(default_factory=dict)
    _build_s: dict[str, float] = field(default_factory=dict)
    _done: dict[tuple[int, int], TestDone] = field(default_factory=dict)  # by (seed, test)
    _running: dict[Future[TestDone], tuple[int, int]] = field(default_factory=dict)
    _steps: int = 0
    _steps_total: int = 0

    def run(self, wanted: Sequence[ProgramKind], found: Sequence[ProgramKind]) -> None:
        """Build the wanted programs and run their tests."""
        tests = [test for test in self.rubric.tests if test.scenario.program in wanted]
        self._steps_total = len(wanted) + len(tests) * len(self.seeds)
        sandbox = find_sandbox()
        building = {
            self.workers.submit(
                build_in_copy,
                self.submission.root,
                kind,
                self.work / kind,
                sandbox,
                sanitise=self.sanitise,
            ): kind
            for kind in wanted
            if kind in found
        }
        for kind in wanted:
            if kind not in found:
                reason = f"{kind} was not found in the submission"
                self._start(kind, Built(None, self.work, sandbox), BuildOutcome(False, reason))
        for future in self.workers.finished(list(building)):
            kind, built = building[future], future.result()
            assert built.program is not None
            self.writer.build_log(kind, built.program.log)
            self._build_s[kind] = built.program.duration_s
            self._start(kind, built, build_outcome(kind, built.program))
        for ran in self.workers.finished(list(self._running)):
            self._take(ran)

    def take_what_is_begun(self) -> None:
        """Wait for the runs that workers are at, and begin no other."""
        begun = [ran for ran in self._running if not ran.cancel()]
        for ran in begun:
            if self._running[ran] not in self._done:
                with suppress(KeyboardInterrupt):  # a long one, which ended itself
                    self._take(ran)

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the layers of the sandbox in which programs ran."""
        return next((done.layers for done in self._done.values() if done.layers), ())

    def verdicts(self) -> dict[int, list[RunVerdict]]:
        """Return the finished runs of each seed, in the rubric's order."""
        tests = range(len(self.rubric.tests))
        ordered = {
            seed: [self._done[seed, n].verdict for n in tests if (seed, n) in self._done]
            for seed in self.seeds
        }
        if not self.hints:
            ordered = {seed: [without_hints(run) for run in runs] for seed, runs in ordered.items()}
        return {seed: verdicts for seed, verdicts in ordered.items() if verdicts}

    def verdict(self, *, interrupted: bool) -> Verdict:
        """Return what the finished runs give."""
        return build_verdict(
            self.rubric,
            program=self.submission.name,
            builds=self.builds,
            runs=self.verdicts(),
            interrupted=interrupted,
        )

    def info(self, jobs: int, real_s: float) -> dict[str, Any]:
        """Return what may differ between two equal gradings, for run.json."""
        return {
            "virtlab": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "kernel": platform.release(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "jobs": jobs,
            "real_s": round(real_s, 3),
            "sandbox": list(self.layers),
            "submission": list(self.submission.notes),
            "builds": {
                kind: {
                    "ok": outcome.ok,
                    "reason": outcome.reason,
                    "real_s": round(self._build_s.get(kind, 0.0), 3),
                }
                for kind, outcome in sorted(self.builds.items())
            },
            "runs": [
                {
                    "scenario": done.verdict.scenario,
                    "seed": seed,
                    "clock": done.verdict.clock,
                    "real_s": round(done.real_s, 3),
                }
                for (seed, _), done in sorted(self._done.items())
            ],
        }

    def _take(self, ran: Future[TestDone]) -> None:
        done = self._done[self._running[ran]] = ran.result()
        self._step(f"{done.verdict.scenario}, seed {done.verdict.seed}")
        self.on_verdict(self.verdict(interrupted=True))

    def _start(self, kind: ProgramKind, built: Built, outcome: BuildOutcome) -> None:
        self.builds[kind] = outcome
        self._step(f"{kind}: {'built' if outcome.ok else outcome.reason.splitlines()[0]}")
        for number, test in self._longest_first(kind):
            for seed in self.seeds:
                future = self.workers.submit(
                    run_test,
                    test,
                    built,
                    outcome,
                    seed,
                    self.submission.name,
                    self.submission.given,
                    self.writer,
                    self.monitor_text,
                    self.pacing,
                    self.runner,
                )
                self._running[future] = (seed, number)

    def _longest_first(self, kind: ProgramKind) -> list[tuple[int, RubricTest]]:
        """Return a program's tests; no worker is to be left alone with a long one at the end."""
        tests = [(n, t) for n, t in enumerate(self.rubric.tests) if t.scenario.program == kind]
        return sorted(tests, key=lambda one: -one[1].scenario.duration_s)

    def _step(self, what: str) -> None:
        self._steps += 1
        self.on_step(Step(self._steps, self._steps_total, what))


def _wanted(
    rubric: Rubric, found: Sequence[ProgramKind], path: Path, only: ProgramKind | None, alone: bool
) -> list[ProgramKind]:
    """Return the programs to grade; a single file stands for the one program that it is."""
    kinds = list(dict.fromkeys(test.scenario.program for test in rubric.tests))
    if only is not None:
        kinds = [kind for kind in kinds if kind == only]
    if not any(kind in found for kind in kinds):
        raise SubmissionError(
            f"{path}: there is no {' and no '.join(kinds)} in it.",
            fix=f"name it {kinds[0]}.c, or put it into a folder with a Makefile.",
        )
    return [kind for kind in kinds if kind in found] if alone else kinds
