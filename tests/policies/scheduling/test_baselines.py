"""The known policies, held against what is published of them."""

import pytest

from hosts import host, places, vcpu
from virtlab.league.cpu_run import run_scheduler
from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot
from virtlab.model.topology import Cell, Topology
from virtlab.policies.policy import SchedulingPolicy
from virtlab.policies.scheduling.at_random import AtRandom
from virtlab.policies.scheduling.back_and_forth import BackAndForth
from virtlab.policies.scheduling.greedy import Greedy
from virtlab.policies.scheduling.largest_first import LargestFirst
from virtlab.policies.scheduling.leave_alone import LeaveAlone
from virtlab.policies.scheduling.numad import Numad, score
from virtlab.scenario import find_scenario


def test_greedy_takes_three_rounds_for_eight_on_one_pcpu_as_the_courses_sample_does() -> None:
    rounds = []

    def note(_: CpuSnapshot, plan: CpuPlan) -> None:
        rounds.append(len(plan.actions))

    run_scheduler(find_scenario("cpu-1-all-on-one"), Greedy(), on_tick=note)

    assert rounds[:5] == [0, 2, 2, 2, 0]
    assert sum(rounds) == 6


def test_greedy_moves_the_vcpu_nearest_to_half_the_gap() -> None:
    crowded = [vcpu("a", 0, 0.6), vcpu("b", 0, 0.25), vcpu("c", 0, 0.1), vcpu("d", 1, 0.25)]

    plan = Greedy(moves_max=1).decide(host(crowded, 2))

    assert places(plan) == {"b:0": {1}}  # the gap is 0.7


def test_greedy_halts_where_only_a_swap_would_help() -> None:
    swaps_needed = [vcpu("a", 0, 0.5), vcpu("b", 0, 0.5), vcpu("c", 1, 0.3), vcpu("d", 1, 0.3)]
    assert Greedy().decide(host(swaps_needed, 2)).actions == ()


def test_largest_first_is_at_grahams_bound_on_his_worst_case() -> None:
    # 2m + 1 jobs on m = 3 machines: 5, 5, 4, 4, 3, 3, 3 end at 11, where 9 is possible.
    jobs = [5, 5, 4, 4, 3, 3, 3]
    vcpus = [vcpu(f"vm{n}", 0, job / 20) for n, job in enumerate(jobs)]

    plan = LargestFirst().decide(host(vcpus, 3))

    loads = dict.fromkeys(range(3), 0)
    for n, job in enumerate(jobs):
        loads[min(places(plan).get(f"vm{n}:0", {0}))] += job
    assert max(loads.values()) == 11


def test_largest_first_knows_what_a_crowded_vcpu_wants() -> None:
    # Both got half of pCPU 0, but one waited for the other half: it wants all of a pCPU.
    vcpus = [vcpu("a", 0, 0.5, 0.5), vcpu("b", 0, 0.4, 0.2), vcpu("c", 0, 0.1, 0.8)]

    plan = LargestFirst().decide(host(vcpus, 2))

    assert places(plan) == {"b:0": {1}, "c:0": {1}}


def test_largest_first_keeps_to_what_the_administrator_permits() -> None:
    vcpus = [vcpu("a", 0, 0.5, allowed=frozenset({0, 2})), vcpu("b", 0, 0.4), vcpu("c", 0, 0.3)]

    plan = LargestFirst().decide(host(vcpus, 2))

    assert places(plan) == {"b:0": {1}, "c:0": {1}}


def test_numads_score_is_the_published_one() -> None:
    # A load of 200 and 1000 MiB at 85 %: 235 and 1176 are asked for.
    assert score(3000, 1176, 350, 235) == 29_060_400
    assert score(6000, 1176, 150, 235) == 27_950_400


def _numad_until(policy: Numad, seconds: int, on: dict[str, int]) -> list[tuple[int, str, int]]:
    """Run numad by the second over busy vCPUs that share their pCPU; return its moves."""
    moves = []
    for at_s in range(1, seconds + 1):
        crowd = {name: sum(on[other] == on[name] for other in on) for name in on}
        vcpus = [vcpu(n, p, 1 / crowd[n], 1 - 1 / crowd[n]) for n, p in on.items()]
        for key, pcpus in places(policy.decide(host(vcpus, 4, at_s=at_s))).items():
            name = key.partition(":")[0]
            on[name] = min(pcpus)
            moves.append((at_s, name, on[name]))
    return moves


def test_numad_looks_at_nobody_who_uses_less_than_half_a_cpu() -> None:
    assert _numad_until(Numad(), 60, dict.fromkeys("abc", 0)) == []  # a third each


def test_numad_moves_one_in_a_pass_and_waits_five_seconds_after_it() -> None:
    moves = _numad_until(Numad(load_min=10), 30, dict.fromkeys("abcd", 0))

    assert [at_s for at_s, _, _ in moves] == [1, 6, 11]
    assert sorted(pcpu for _, _, pcpu in moves) == [1, 2, 3]


def test_numad_holds_a_vcpu_for_five_minutes_after_a_move() -> None:
    policy = Numad(load_min=10)
    on = {"a": 0, "b": 0}
    assert [name for _, name, _ in _numad_until(policy, 20, on)] == ["a"]
    on["c"] = on["a"]  # somebody else comes to where it was put, and is held by nothing

    again = _numad_until(policy, 20, on)

    assert "a" not in [name for _, name, _ in again]


def test_numad_counts_a_thread_beside_a_busy_one_a_fifth() -> None:
    cores = Topology((Cell((0, 1, 2, 3), 1, (10,)),), ((0, 1), (2, 3)), (1024,) * 4)
    vcpus = [vcpu("a", 0, 0.5, 0.5), vcpu("b", 0, 0.5, 0.5)]

    plan = Numad(load_min=10).decide(host(vcpus, cores))

    assert min(places(plan)["a:0"]) in (2, 3)


@pytest.mark.parametrize("policy", [AtRandom, BackAndForth])
def test_weak_policies_never_come_to_rest(policy: type[SchedulingPolicy]) -> None:
    timeline = run_scheduler(find_scenario("cpu-3-balanced"), policy())

    assert sum(pin.effective for pin in timeline.pins) > 100


def test_a_seed_of_random_pins_gives_the_same_pins_again() -> None:
    seen = host([vcpu(f"vm{n}", 0, 0.2) for n in range(9)])

    assert AtRandom(seed=3).decide(seen) == AtRandom(seed=3).decide(seen)
    assert AtRandom(seed=3).decide(seen) != AtRandom(seed=4).decide(seen)


@pytest.mark.parametrize(
    "policy", [AtRandom, BackAndForth, Greedy, LargestFirst, LeaveAlone, Numad]
)
def test_every_baseline_lives_with_an_empty_host_and_with_figures_that_are_missing(
    policy: type[SchedulingPolicy],
) -> None:
    unknown = [vcpu("a", 0, None, None, last_on=None), vcpu("b", range(4), None, None)]

    assert policy().decide(host([])).actions == ()
    for pin in policy().decide(host(unknown)).actions:
        assert pin.pcpus <= {0, 1, 2, 3}


@pytest.mark.parametrize("policy", [AtRandom, BackAndForth, Greedy, LargestFirst, Numad])
def test_no_baseline_touches_a_vcpu_that_may_not_be_moved(policy: type[SchedulingPolicy]) -> None:
    vcpus = [vcpu(f"vm{n}", 0, 0.9, 0.05, movable=n > 0) for n in range(4)]

    plan = policy().decide(host(vcpus))

    assert "vm0:0" not in places(plan)
    assert len(plan.actions) > 0
