"""Several runs of one program: how often each criterion was met, and between which figures."""

from typing import Any

from virtlab.grading.spread import spread_of
from virtlab.model.spread import CriterionSpread
from virtlab.model.verdict import CriterionResult, RunVerdict
from virtlab.reports.spread import spread_text


def result(name: str, status: Any, measured: float | None) -> CriterionResult:
    return CriterionResult(name, status, measured, 5.0, "points", None, None, "", None)


def run(*results: CriterionResult) -> RunVerdict:
    return RunVerdict(
        "s",
        "t",
        "p",
        1,
        "ok",
        "completed",
        "",
        (),
        (),
        results,
        (),
        0.0,
        0.0,
        "virtlab run",
        "real",
    )


def test_runs_are_summed_up_and_those_not_judged_are_told_apart() -> None:
    runs = [
        run(result("balanced", "passed", 2.0), result("no-crash", "passed", None)),
        run(result("balanced", "failed", 8.0), result("no-crash", "passed", None)),
        run(result("balanced", "passed", 3.0), result("no-crash", "passed", None)),
        run(result("balanced", "not_run", None), result("no-crash", "not_run", None)),
    ]

    spreads = spread_of(runs)

    assert spreads == (
        CriterionSpread("balanced", 2, 3, 4, 2.0, 3.0, 8.0, "points"),
        CriterionSpread("no-crash", 3, 3, 4, None, None, None, "points"),
    )
    assert spread_text(spreads) == (
        "balanced  met in 2 of 3 runs, 1 not judged, 2 to 8 points, median 3\n"
        "no-crash  met in 3 of 3 runs, 1 not judged\n"
    )
