"""What could be had: proven where it says so, and nobody is below it."""

from itertools import product

import pytest

from virtlab.league.corpus import chosen_families, drawn_scenario
from virtlab.league.cpu_families import cpu_family_scenario
from virtlab.league.cpu_measures import cpu_figures
from virtlab.league.cpu_meter import CpuMeter
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.memory_families import family_scenario
from virtlab.league.memory_measures import measured, needs_of
from virtlab.league.memory_run import COURSE_LIMITS, run_coordinator
from virtlab.league.optimum import cpu_optimum, memory_optimum
from virtlab.league.placement_optimum import fewest_moved, least_peak
from virtlab.model.topology import FULL_CAPACITY
from virtlab.policies.coordination.qmemman import Qmemman
from virtlab.policies.coordination.steady import Steady
from virtlab.policies.scheduling.even import Even
from virtlab.policies.scheduling.largest_first import LargestFirst

FULL = (FULL_CAPACITY,)


def test_the_least_peak_is_that_of_all_placements_tried_one_by_one() -> None:
    loads = [0.5, 0.45, 0.3, 0.3, 0.25, 0.2]
    capacity = (1024, 1024, 512)

    found = least_peak(loads, capacity)

    best = min(
        max(
            sum(load for load, seat in zip(loads, seats, strict=True) if seat == pcpu)
            * FULL_CAPACITY
            / capacity[pcpu]
            for pcpu in range(3)
        )
        for seats in product(range(3), repeat=len(loads))
    )
    assert found.exact
    assert found.value == pytest.approx(best, abs=1e-3)
    assert found.value <= best + 1e-9


def test_largest_first_is_not_always_the_best_and_the_solver_knows() -> None:
    # Graham's example: largest first gets 11 thirds of what could be had with 9.
    found = least_peak([0.5, 0.5, 0.4, 0.4, 0.3, 0.3, 0.3], FULL * 3)

    assert found.exact
    assert found.value == pytest.approx(0.9)


def test_as_few_move_as_have_to_and_who_may_run_anywhere_is_free() -> None:
    loads = [0.4, 0.4, 0.2, 0.2]
    home = frozenset({0})

    crowded = fewest_moved([loads], [0.6], [home] * 4, FULL * 2)
    one_free = fewest_moved([loads], [0.6], [None, home, home, home], FULL * 2)
    wide = fewest_moved([loads], [0.6], [frozenset({0, 1})] * 4, FULL * 2)

    assert [crowded, one_free, wide] == [
        type(crowded)(2, exact=True),
        type(crowded)(1, exact=True),
        type(crowded)(0, exact=True),
    ]


def test_who_moved_once_may_stand_anywhere_at_later_moments() -> None:
    masks = [frozenset({0}), frozenset({1}), frozenset({1})]
    moments = [[0.5, 0.5, 0.0], [0.5, 0.3, 0.3], [0.2, 0.5, 0.5]]

    found = fewest_moved(moments, [0.6, 0.6, 0.7], masks, FULL * 2)

    assert (found.value, found.exact) == (1, True)


@pytest.mark.parametrize("family", ["overcommit", "smt", "arrivals-and-departures", "crowd"])
def test_no_policy_is_below_the_floors(family: str) -> None:
    scenario = cpu_family_scenario(family, 3)
    best = cpu_optimum(scenario)

    for policy in (Even(), LargestFirst()):
        meter = CpuMeter()
        found = cpu_figures(scenario, run_scheduler(scenario, policy, on_look=meter.look), meter)
        assert found["peak"] >= best.figures["peak"] - 1e-9
        assert found["moves"] >= best.figures["moves"]


def test_the_floor_is_exact_where_loads_stay_and_a_relaxation_where_they_come_and_go() -> None:
    assert cpu_optimum(cpu_family_scenario("smt", 1)).how == {"peak": "exact", "moves": "exact"}
    assert cpu_optimum(cpu_family_scenario("bursts", 1)).how == {"peak": "bound", "moves": "bound"}


@pytest.mark.parametrize("family", ["all-grow", "stuck-balloon", "late-guests"])
def test_a_clairvoyant_lacks_no_more_than_policies_and_no_less_than_all_need(family: str) -> None:
    scenario = family_scenario(family, 3)
    needs = needs_of(scenario, reserve_kib=COURSE_LIMITS.reserve_kib)

    best = memory_optimum(scenario, needs)

    assert best.how == {"shortage_mib_s": "clairvoyant", "idle_mib": "clairvoyant"}
    assert best.figures["shortage_mib_s"] >= needs.least_mib_s - 1e-3
    for policy in (Steady(), Qmemman()):
        run = measured(run_coordinator(scenario, policy), needs)
        assert run.shortage_mib_s >= best.figures["shortage_mib_s"] - 1e-3


def test_a_clairvoyant_cannot_take_from_a_balloon_that_is_stuck() -> None:
    scenario = family_scenario("stuck-balloon", 3)
    needs = needs_of(scenario, reserve_kib=COURSE_LIMITS.reserve_kib)

    assert memory_optimum(scenario, needs).figures["shortage_mib_s"] > needs.least_mib_s + 100


def test_every_shipped_scenario_has_an_optimum() -> None:
    families = {family.name: family for family in chosen_families([])}
    scheduled = drawn_scenario(families["cpu-2-half-and-half"], 1)

    assert cpu_optimum(scheduled).figures == {"peak": pytest.approx(0.42), "moves": 4}
    assert cpu_optimum(drawn_scenario(families["general-4-no-guest"], 1)).figures["moves"] == 0


def test_without_the_solver_the_floors_stand_in_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtlab.league.optimum.has_solver", lambda: False)
    scheduled, scenario = cpu_family_scenario("smt", 1), family_scenario("all-grow", 1)
    needs = needs_of(scenario, reserve_kib=COURSE_LIMITS.reserve_kib)

    cpu, memory = cpu_optimum(scheduled), memory_optimum(scenario, needs)

    assert cpu.how == {"peak": "bound", "moves": "bound"}
    assert memory.how == {"shortage_mib_s": "bound"}
    assert memory.figures == {"shortage_mib_s": needs.least_mib_s}
