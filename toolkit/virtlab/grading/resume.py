"""What a grading of a class that was cut short has left to be taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from virtlab.errors import InputError
from virtlab.grading.grade import GradedSubmission
from virtlab.grading.results_folder import holds_results
from virtlab.grading.rubric import Rubric
from virtlab.grading.store import read_info, read_verdict
from virtlab.subjects.sandbox import find_sandbox

__all__ = ["graded_before"]


def graded_before(
    folder: Path, rubric: Rubric, seeds: Sequence[int], asked: Mapping[str, Any]
) -> GradedSubmission | None:
    """Return what a folder holds of the same grading, else None.

    One that was interrupted, or in which the lab itself failed a run, is returned as interrupted:
    it is to be graded again.

    Args:
        folder: of one submission's results.
        rubric: by which the class is graded, in the same version.
        seeds: with which it is.
        asked: what else is asked for, from `asked_for`.
    """
    if not holds_results(folder):
        return None
    try:
        verdict = read_verdict(folder / "verdict.json")
        info = read_info(folder / "run.json")
    except InputError:
        return None
    if (verdict.rubric, verdict.rubric_version) != (rubric.id, rubric.version):
        return None
    interrupted = info.get("interrupted", verdict.partial) or any(
        run.status == "lab_fault" for run in verdict.runs
    )
    same = verdict.seeds == tuple(seeds) and info.get("asked") == dict(asked)
    # Where no program could be run, no sandbox is told.
    same = same and info.get("sandbox") in ([], list(find_sandbox().layers()))
    if not interrupted and not same:
        return None
    return GradedSubmission(verdict, folder, interrupted, layers=(), notes=())
