"""Each scenario of the generality rubric costs some weak program a point, and no reference any.

What does so for a coordinator stands among the mutants: `examples/mutants`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from virtlab.grading.rubric import RubricTest, find_rubric
from virtlab.grading.trial import build_for_trial
from virtlab.model.scenario import ProgramKind
from virtlab.model.verdict import Verdict

SUBMISSIONS = Path(__file__).parents[2] / "examples" / "submissions"
RUBRIC = find_rubric("generality")
# A flawed example -> criteria that it must lose, by the number of the scenario.
CAUGHT = {
    "does-nothing": {1: {"balanced"}, 6: {"balanced"}, 7: {"balanced"}, 8: {"balanced"}},
    "assumes-one-vcpu": {3: {"balanced"}},
    "needs-a-running-guest": {4: {"no-crash"}},
    "swaps-for-ever": {2: {"stable"}, 5: {"stable"}},
    "keeps-old-domains": {6: {"balanced"}},
    "indexes-by-domain-id": {7: {"balanced"}},
    "moves-too-slowly": {8: {"balanced", "stable"}},
    "balances-by-count": {10: {"balanced"}},
    "all-on-pcpu-0": {9: {"balanced"}, 13: {"balanced"}},
    "balances-on-cumulative-time": {14: {"balanced"}},
}
SCHEDULERS = [t for t in RUBRIC.tests if t.scenario.program == "vcpu_scheduler"]


def number(test: RubricTest) -> int:
    return int(test.scenario.id.split("-")[1])


def lost(verdict: Verdict) -> dict[int, set[str]]:
    return {
        int(run.scenario.split("-")[1]): names
        for run in verdict.runs
        if (names := {result.name for result in run.criteria if result.status != "passed"})
    }


@pytest.mark.parametrize("name", CAUGHT)
def test_a_weak_program_loses_where_it_is_meant_to(name: str) -> None:
    asked = replace(RUBRIC, tests=tuple(t for t in SCHEDULERS if number(t) in CAUGHT[name]))
    with build_for_trial(SUBMISSIONS / "flawed" / name, "vcpu_scheduler") as trial:
        verdict = trial.verdict(asked, [1])

    got = lost(verdict)
    for one, names in CAUGHT[name].items():
        assert names <= got.get(one, set()), (one, got)


def test_every_scenario_catches_somebody() -> None:
    caught = {one for scenarios in CAUGHT.values() for one in scenarios}

    assert caught == {number(test) for test in SCHEDULERS}


@pytest.mark.parametrize("name", ["reference-c", "reference-python"])
@pytest.mark.parametrize("kind", ["vcpu_scheduler", "memory_coordinator"])
def test_the_references_lose_nothing_with_another_seed(name: str, kind: ProgramKind) -> None:
    # With seed 1 they run every shipped scenario in test_submissions.py.
    with build_for_trial(SUBMISSIONS / name, kind) as trial:
        verdict = trial.verdict(RUBRIC, [2])

    assert (verdict.points, verdict.borderline) == (verdict.points_max, ())
