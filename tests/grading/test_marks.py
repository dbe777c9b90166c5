from __future__ import annotations

from dataclasses import replace

import pytest
from marked_runs import (
    ANYWHERE,
    CALLS,
    CRASH,
    DEALT,
    IN_TURN,
    find_test,
    good_memory,
    marked,
    rubric,
    starved_memory,
    submission,
)
from timeline_builder import CpuLab, MemoryGuest

from virtlab.grading.marks import (
    BuildOutcome,
    build_verdict,
    mark_run,
    mark_without_run,
    plain_run,
)
from virtlab.model.timeline import ProgramOutcome
from virtlab.model.verdict import PointLine, RunVerdict


def _points(run: RunVerdict) -> dict[str, float | None]:
    return {line.label: line.points for line in run.lines}


def test_each_criterion_gives_its_own_points() -> None:
    run = marked("cpu-4-unpinned", CpuLab(start=ANYWHERE).timeline())

    assert _points(run) == {"balanced": 0.0, "stable": 0.5}
    assert (run.points, run.points_max) == (0.5, 1.0)


def test_points_that_are_earned_together_are_lost_together() -> None:
    run = marked("cpu-3-balanced", CpuLab(start=IN_TURN, pins=[(9.5, 1, (2,))]).timeline())

    assert run.points == 0
    by_balance = CpuLab(loads=(30, *(20,) * 7), start=IN_TURN)
    assert marked("cpu-3-balanced", by_balance.timeline()).points == 1
    late = marked("cpu-3-balanced", CpuLab(start=IN_TURN, pins=[(0.5, 1, (1, 2))]).timeline())
    assert late.lines[1].reason.startswith("1 change of affinity after")
    swap = [(9.5, 0, (1,)), (9.5, 1, (0,))]
    swapped = marked("cpu-3-balanced", CpuLab(start=IN_TURN, pins=swap).timeline())
    assert swapped.lines[0].reason.startswith(
        "lost together with stable; by itself: standard deviation 0 points"
    )


def test_a_criterion_that_zeroes_a_test_leaves_nothing_and_deducts_nothing() -> None:
    run = marked("memory-2-all-consume", starved_memory().timeline())

    assert _points(run) == {"takes-gradually": 0.0, "releases-gradually": 0.0}
    assert run.lines[0].reason.startswith(
        "0 for the whole test, as guest-alive is not met: aos_vm1 runs out of memory at 27.5 s"
    )


def test_a_deduction_is_taken_but_never_below_zero() -> None:
    stopped = MemoryGuest(
        actual=[(0, 512), (3, 512), (28, 1700), (30, 1700), (56, 400)],
        consumer=((0, 0), (3, 0), (28, 800), (28.5, 0)),
    )
    lab = replace(good_memory(), guests=(stopped,), kills=())
    nothing = replace(lab, guests=(MemoryGuest(),))

    run, floor = (marked("memory-1-one-consumes", one.timeline()) for one in (lab, nothing))

    assert _points(run)["reaches-maximum"] == -0.25
    assert (run.points, run.points_max) == (1.5, 1.75)
    assert (floor.points, _points(floor)["reaches-maximum"]) == (0, 0)
    assert floor.lines[-1].reason.endswith("(a test does not fall below 0)")


def test_a_lab_fault_is_neither_won_nor_lost() -> None:
    broken = ProgramOutcome("lab_fault", "lab_error", "the sandbox did not start", 0)

    run = marked("cpu-1-all-on-one", CpuLab(outcome=broken).timeline())
    verdict = build_verdict(rubric(), program="p", builds={}, runs={1: [run]})

    assert _points(run) == {"balanced": None, "stable": None}
    assert (run.points, run.points_max) == (0, 0)
    assert verdict.partial


def test_a_failed_build_loses_the_points_of_its_tests() -> None:
    failed = ProgramOutcome("program_fault", "not_built", "make failed", 0)

    run = mark_without_run(
        find_test("cpu-1-all-on-one"), 2, failed, program="vcpu_scheduler", replay="virtlab run"
    )

    assert (run.points, run.points_max, run.seed) == (0, 1, 2)
    assert {result.status for result in run.criteria} == {"not_run"}
    assert run.lines[0].reason == "not run: make failed"


def test_a_program_that_failed_shows_its_last_calls() -> None:
    timeline = replace(CpuLab(outcome=CRASH).timeline(), calls=CALLS)

    run = marked("cpu-1-all-on-one", timeline)

    assert run.last_calls == (
        "3.100 s CONNECT_LIST_ALL_DOMAINS",
        "3.200 s DOMAIN_PIN_VCPU aos_vm3 vcpu=0 map=0x200: invalid",
    )


def test_a_run_without_a_rubric_has_criteria_and_no_points() -> None:
    timeline = CpuLab(criteria=[{"name": "balanced", "limits": {}, "hint": None}]).timeline()

    run = plain_run(timeline, program="p", replay="virtlab run")

    assert [result.status for result in run.criteria] == ["failed"]
    assert (run.lines, run.points_max) == ((), 0)


def test_limits_of_the_rubric_come_on_top_of_the_scenarios() -> None:
    test = replace(find_test("cpu-4-unpinned"), limits={"stable": {"settle_intervals": 0}})
    asked = tuple({"name": c.name, "limits": c.limits} for c in test.scenario.criteria)
    timeline = replace(CpuLab(start=ANYWHERE, pins=DEALT).timeline(), criteria=asked)

    run = mark_run(test, timeline, program="p", replay="virtlab run")

    assert _points(run) == {"balanced": 0.5, "stable": 0.0}


# --- a submission


def test_points_add_up_and_items_by_hand_stand_outside() -> None:
    verdict = submission()

    assert verdict.points == sum(run.points for run in verdict.runs) + 1
    assert verdict.points_max == sum(run.points_max for run in verdict.runs) + 2
    assert verdict.general[1] == PointLine(
        "Readme of vcpu_scheduler", None, 1, "given by hand, outside these points"
    )
    assert not verdict.partial


def test_a_full_mark_has_all_points_of_the_rubric() -> None:
    builds = {
        kind: BuildOutcome(True, "built") for kind in ("vcpu_scheduler", "memory_coordinator")
    }
    labs = {
        "vcpu_scheduler": CpuLab(start=IN_TURN).timeline(),
        "memory_coordinator": good_memory().timeline(),
    }
    runs = [marked(t.scenario.id, labs[t.scenario.program]) for t in rubric().tests]

    verdict = build_verdict(rubric(), program="p", builds=builds, runs={1: runs})

    assert (verdict.points, verdict.points_max) == (16, 16)
    assert verdict.points_max == rubric().points_max


def test_the_lowest_of_the_seeds_counts_and_a_difference_is_told() -> None:
    good, bad = CpuLab(pins=DEALT).timeline(), CpuLab().timeline()
    runs = {
        seed: [marked("cpu-1-all-on-one", one, seed)]
        for seed, one in ((1, good), (2, bad), (3, bad))
    }

    verdict = build_verdict(rubric(), program="p", builds={}, runs=runs)

    assert (verdict.seed, verdict.points, verdict.seeds) == (2, 0.5, (1, 2, 3))
    assert verdict.borderline == (
        "cpu-1-all-on-one: the points differ between seeds: 1 with 1 of 3, but 0.5 with seed 2, "
        "0.5 with seed 3",
    )


def test_an_interrupted_seed_is_no_lower_mark() -> None:
    run = marked("cpu-1-all-on-one", CpuLab(pins=DEALT).timeline())

    verdict = build_verdict(
        rubric(), program="p", builds={}, runs={1: [run], 2: []}, interrupted=True
    )

    assert (verdict.seed, verdict.points, verdict.partial) == (1, 1, True)


@pytest.mark.parametrize("loads", [(30.8, *(20,) * 7)])
def test_a_narrow_pass_is_told(loads: tuple[float, ...]) -> None:
    run = marked("cpu-2-half-and-half", CpuLab(loads=loads, pins=DEALT).timeline())

    verdict = build_verdict(rubric(), program="p", builds={}, runs={1: [run]})

    assert verdict.borderline == (
        "cpu-2-half-and-half, seed 1: balanced is met narrowly: standard deviation 4.7 points in "
        "10-12 s (limit 5); pCPUs in %: 51 40 40 40",
    )
