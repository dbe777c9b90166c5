"""The exit code of a grading says whether points were lost, and by whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from virtlab.cli.verdict_code import code_of_runs, code_of_verdicts
from virtlab.model.timeline import RunStatus
from virtlab.model.verdict import CriterionResult, RunVerdict, Verdict

MET = CriterionResult("balanced", "passed", 1.0, 5.0, "points", None, None, "even", None)
RUN = RunVerdict(
    "cpu-1", "One", "ann", 1, "ok", "completed", "", (), (), (MET,), (), 1.0, 1.0, "virtlab run"
)
VERDICT = Verdict(1, "ann", "fall", "1", 1, (1,), 1.0, 1.0, False, (), (), (RUN,))


def failed(status: RunStatus, outcome: str) -> RunVerdict:
    result = replace(MET, status="failed" if status == "ok" else "not_run")
    return replace(RUN, status=status, outcome=outcome, criteria=(result,), points=0.0)


@pytest.mark.parametrize(
    ("runs", "code"),
    [
        ([RUN], 0),
        ([RUN, failed("ok", "completed")], 1),
        ([RUN, failed("lab_fault", "lab_error")], 70),
        ([failed("lab_fault", "disturbed")], 4),
        ([failed("lab_fault", "host_lacking"), failed("lab_fault", "lab_error")], 70),
    ],
)
def test_what_the_lab_failed_in_is_neither_full_marks_nor_a_loss(
    runs: list[RunVerdict], code: int
) -> None:
    # Points that could not be had are no part of the most that there was to have.
    counted = [run for run in runs if run.status != "lab_fault"]
    verdict = replace(
        VERDICT,
        runs=tuple(runs),
        points=sum(run.points for run in counted),
        points_max=float(len(counted)),
    )

    assert code_of_runs(runs) == code
    assert code_of_verdicts([VERDICT, verdict]) == code
    assert code_of_verdicts([VERDICT, verdict], interrupted=True) == 130
