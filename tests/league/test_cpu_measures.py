"""What is measured of a scheduler is the truth about its host."""

from dataclasses import replace

import pytest

from virtlab.league.cpu_families import CPU_FAMILIES, HELD_OUT, cpu_family_scenario
from virtlab.league.cpu_measures import cpu_figures, jain
from virtlab.league.cpu_meter import CpuMeter, Wish, entitled
from virtlab.league.cpu_run import run_scheduler
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import VcpuKey
from virtlab.policies.policy import SchedulingPolicy
from virtlab.policies.scheduling.back_and_forth import BackAndForth
from virtlab.policies.scheduling.even import Even
from virtlab.policies.scheduling.leave_alone import LeaveAlone
from virtlab.scenario import find_scenario


def figures(scenario: Scenario, policy: SchedulingPolicy) -> dict[str, float]:
    meter = CpuMeter()
    return cpu_figures(scenario, run_scheduler(scenario, policy, on_look=meter.look), meter)


def wish(name: str, demand: float, weight: float = 1024) -> Wish:
    return Wish(VcpuKey(name, 0), demand, weight, 0)


@pytest.mark.parametrize("family", sorted(CPU_FAMILIES))
def test_a_seed_draws_the_same_host_each_time_and_another_one_another(family: str) -> None:
    drawn = {seed: cpu_family_scenario(family, seed) for seed in (1, 2)}

    assert cpu_family_scenario(family, 1) == drawn[1]
    assert replace(drawn[1], seed=2, id=drawn[2].id) != drawn[2]


def test_some_families_are_held_out_and_others_are_there_to_tune_on() -> None:
    assert set(CPU_FAMILIES) > HELD_OUT


def test_figures_of_a_crowded_pcpu_and_of_an_even_host() -> None:
    scenario = find_scenario("cpu-1-all-on-one")

    crowded, even = figures(scenario, LeaveAlone()), figures(scenario, Even())

    assert crowded["peak"] == pytest.approx(8 * 0.21)
    assert even["peak"] == pytest.approx(2 * 0.21)
    assert crowded["work_s"] == pytest.approx(29.5, abs=0.5)  # one pCPU for 30 s
    assert (crowded["moves"], even["moves"]) == (0, 6)
    assert (crowded["settle_s"], even["settle_s"]) == (30, 1)
    assert crowded["delay_p99"] > 0.4 > 0.02 > even["delay_p99"]
    assert crowded["spread"] > 40 > 2 > even["spread"]


def test_setting_the_same_mask_again_is_a_call_and_no_move() -> None:
    found = figures(find_scenario("cpu-1-all-on-one"), BackAndForth())

    assert found["calls"] == 240
    assert found["moves"] < 240


def test_work_near_its_memory_counts_for_more() -> None:
    scenario = cpu_family_scenario("numa", 1)

    near, far = figures(scenario, Even()), figures(scenario, LeaveAlone())

    assert near["work_s"] > 1.05 * far["work_s"]


def test_what_is_due_follows_weight_and_wish() -> None:
    speeds = [1.0, 1.0]

    assert entitled([wish("a", 1.0), wish("b", 1.0), wish("c", 0.2)], speeds) == pytest.approx(
        [0.9, 0.9, 0.2]
    )
    heavy = entitled([wish("a", 1.0, 3072), wish("b", 1.0), wish("c", 1.0)], speeds)
    assert heavy == pytest.approx([1.0, 0.5, 0.5])


def test_fairness_is_one_for_equals_and_one_nth_where_one_has_all() -> None:
    assert jain([0.3, 0.3, 0.3]) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([]) == 1.0
