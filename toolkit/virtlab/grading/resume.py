"""What a grading of a class that was cut short has left to be taken over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from virtlab.errors import InputError
from virtlab.grading.grade import GradedSubmission
from virtlab.grading.results_folder import holds_results
from virtlab.grading.rubric import Rubric
from virtlab.grading.store import read_info, read_verdict

__all__ = ["graded_before"]


def graded_before(
    folder: Path, rubric: Rubric, seeds: Sequence[int], scenarios: Sequence[str]
) -> GradedSubmission | None:
    """Return what a folder holds of the same grading, else None; it may have been interrupted.

    Args:
        folder: of one submission's results.
        rubric: by which the class is graded, in the same version.
        seeds: with which it is.
        scenarios: ids of the tests that are run.
    """
    if not holds_results(folder):
        return None
    try:
        verdict = read_verdict(folder / "verdict.json")
        interrupted = read_info(folder / "run.json").get("interrupted", verdict.partial)
    except InputError:
        return None
    if (verdict.rubric, verdict.rubric_version) != (rubric.id, rubric.version):
        return None
    same = verdict.seeds == tuple(seeds)
    same = same and {run.scenario for run in verdict.runs} == set(scenarios)
    if not interrupted and not same:
        return None
    return GradedSubmission(verdict, folder, interrupted, layers=(), notes=())
