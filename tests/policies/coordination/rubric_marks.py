"""What a policy earns of a rubric's memory tests, in process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from virtlab.grading.marks import mark_run
from virtlab.grading.rubric import find_rubric
from virtlab.league.memory_run import run_coordinator
from virtlab.policies.policy import CoordinationPolicy


def lost(
    policy: Callable[[], CoordinationPolicy], rubric: str, seeds: Iterable[int]
) -> dict[str, list[str]]:
    """Return the reasons of each test in which points were lost, by its scenario and seed."""
    reasons = {}
    tests = [t for t in find_rubric(rubric).tests if t.scenario.program == "memory_coordinator"]
    for test in tests:
        for seed in seeds:
            run = run_coordinator(test.scenario, policy(), seed=seed)
            verdict = mark_run(test, run, program="", replay="")
            if verdict.points != test.points_max:
                failed = [one.reason for one in verdict.criteria if one.status != "passed"]
                reasons[f"{test.scenario.id} {seed}"] = failed
    return reasons
