"""A program of ours on many tests: marks alone, and no result folder.

For what is graded to measure the grader: the weak programs of a floor, the mutants of a reference.
A scenario that several rubrics count runs once with each seed, and its record is marked by each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from virtlab.grading.marks import BuildOutcome, build_verdict, mark_run
from virtlab.grading.rubric import Rubric
from virtlab.grading.run import run_program
from virtlab.grading.tasks import Built, build_in_copy, build_outcome
from virtlab.model.scenario import ProgramKind, Scenario
from virtlab.model.timeline import Timeline
from virtlab.model.verdict import Verdict
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.work_directory import work_directory

__all__ = ["Trial", "build_for_trial"]


@contextmanager
def build_for_trial(path: Path, kind: ProgramKind) -> Iterator[Trial]:
    """Build one program of a submission, to be tried in a `with` block."""
    with work_directory() as work:
        yield Trial(build_in_copy(path, kind, work / kind, find_sandbox()), kind)


class Trial:
    """A program that is run where a mark asks for it; what was run once is kept."""

    def __init__(self, built: Built, kind: ProgramKind) -> None:
        """Take a program that was looked for and found."""
        assert built.program is not None
        self._built = built
        self._program = built.program
        self._kind: ProgramKind = kind
        self._timelines: dict[tuple[str, int], Timeline] = {}

    @property
    def outcome(self) -> BuildOutcome:
        """Return what a rubric needs to know of the build."""
        return build_outcome(self._kind, self._program)

    def verdict(self, rubric: Rubric, seeds: Sequence[int]) -> Verdict:
        """Return the mark under a rubric's tests for this program: the lowest of the seeds.

        A failure of the lab's own is raised: a figure about the grader must not rest on half of
        the runs.
        """
        tests = [test for test in rubric.tests if test.scenario.program == self._kind]
        runs = {
            seed: [
                mark_run(test, self._timeline(test.scenario, seed), program=self._kind, replay="")
                for test in tests
            ]
            for seed in seeds
        }
        return build_verdict(
            rubric, program=self._kind, builds={self._kind: self.outcome}, runs=runs
        )

    def _timeline(self, scenario: Scenario, seed: int) -> Timeline:
        known = (scenario.id, seed)
        if known not in self._timelines:
            built = self._built
            record = run_program(scenario, self._program, built.root, built.sandbox, seed=seed)
            self._timelines[known] = record.timeline
        return self._timelines[known]
