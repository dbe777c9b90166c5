"""What a class that is graded again takes over, and what it does not."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.grading.grade import GradedSubmission, asked_for, grade_submission
from virtlab.grading.resume import graded_before
from virtlab.grading.rubric import find_rubric
from virtlab.grading.run import run_program
from virtlab.grading.timing import REAL_PACE, Pacing

RUBRIC = find_rubric("fall-2026")
ASKED = {
    "only": None,
    "pacing": REAL_PACE,
    "sanitise": False,
    "hints": True,
    "runner": run_program,
}


def lacking(*_args: object, **_more: object) -> Any:
    raise EnvironmentLackError("no such host")


def graded(path: Path, out: Path, **more: Any) -> GradedSubmission:
    return grade_submission(
        path, RUBRIC, out, seeds=[1], jobs=1, monitor_text=lambda _timeline: "", **more
    )


@pytest.fixture
def single(tmp_path: Path) -> Path:
    """Give a submission of one file, which is soon over."""
    (tmp_path / "vcpu_scheduler.py").write_text("raise SystemExit(1)\n")
    return tmp_path / "vcpu_scheduler.py"


def test_a_single_file_is_taken_over_and_one_graded_otherwise_is_not(
    single: Path, tmp_path: Path
) -> None:
    done = graded(single, tmp_path / "out")

    kept = graded_before(tmp_path / "out", RUBRIC, [1], asked_for(**ASKED))
    others = [
        graded_before(tmp_path / "out", RUBRIC, seeds, asked_for(**{**ASKED, **other}))
        for seeds, other in [
            ([1], {"hints": False}),
            ([1], {"pacing": Pacing(2.0)}),
            ([1], {"sanitise": True}),
            ([1], {"runner": lacking}),
            ([1], {"only": "vcpu_scheduler"}),
            ([1, 2], {}),
        ]
    ]

    assert kept is not None
    assert (kept.verdict, kept.interrupted) == (done.verdict, False)
    assert others == [None] * 6


def test_what_the_lab_failed_to_run_is_graded_again(single: Path, tmp_path: Path) -> None:
    graded(single, tmp_path / "out", runner=lacking)

    kept = graded_before(tmp_path / "out", RUBRIC, [1], asked_for(**{**ASKED, "runner": lacking}))

    assert kept is not None and kept.interrupted


@pytest.mark.parametrize("name", ["sub", "sub.zip"])
def test_an_archive_that_lacks_a_program_loses_its_points_whatever_its_name(
    tmp_path: Path, name: str
) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("cpu/vcpu_scheduler.py", "raise SystemExit(1)\n")

    assert graded(tmp_path / name, tmp_path / "out", runner=lacking).verdict.points_max > 8
