"""What a grading tells while it goes on."""

from __future__ import annotations

from pathlib import Path

from virtlab.grading.grade import grade_submission
from virtlab.grading.rubric import find_rubric
from virtlab.model.verdict import Verdict


def test_the_verdict_so_far_is_told_after_each_test_and_the_whole_one_at_the_end(
    tmp_path: Path,
) -> None:
    program = tmp_path / "vcpu_scheduler.py"
    program.write_text("import time\nwhile True: time.sleep(1)\n")
    told: list[Verdict] = []

    done = grade_submission(
        program,
        find_rubric("fall-2026"),
        tmp_path / "out",
        seeds=[1],
        jobs=1,
        only="vcpu_scheduler",
        monitor_text=lambda _timeline: "",
        on_verdict=told.append,
    )

    assert [len(verdict.runs) for verdict in told] == [1, 2, 3, 4, 5, 6, 7, 7]
    assert all(verdict.partial for verdict in told[:-1])
    assert told[-1] == done.verdict
