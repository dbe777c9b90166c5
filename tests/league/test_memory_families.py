"""The families are repeatable and short of memory, and what is measured on them is the truth."""

import dataclasses

import pytest

from virtlab.league.memory_families import FAMILIES, family_scenario
from virtlab.league.memory_measures import Measures, measured, needs_of
from virtlab.league.memory_run import COURSE_LIMITS, run_coordinator
from virtlab.model.scenario import Scenario
from virtlab.policies.coordination.course import Course
from virtlab.policies.coordination.proxmox import Proxmox
from virtlab.policies.coordination.static import Static
from virtlab.policies.coordination.steady import Steady

RESERVE_KIB = COURSE_LIMITS.reserve_kib


def measures(scenario: Scenario, policy: object) -> Measures:
    needs = needs_of(scenario, reserve_kib=RESERVE_KIB)
    return measured(run_coordinator(scenario, policy), needs)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_seed_draws_the_same_host_each_time_and_another_one_another(family: str) -> None:
    assert family_scenario(family, 3) == family_scenario(family, 3)
    drawn = {seed: family_scenario(family, seed) for seed in (1, 2)}
    assert dataclasses.replace(drawn[1], seed=2, id=drawn[2].id) != drawn[2]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_memory_has_to_move_and_nobody_does_better_than_the_bound(family: str) -> None:
    scenario = family_scenario(family, 1)
    needs = needs_of(scenario, reserve_kib=RESERVE_KIB)

    still, ours = (
        measured(run_coordinator(scenario, policy), needs) for policy in (Static(), Steady())
    )

    assert still.shortage_mib_s > needs.least_mib_s + 1000
    assert needs.least_mib_s <= ours.shortage_mib_s < still.shortage_mib_s / 2
    assert (ours.kills, ours.frozen, ours.host_swap_mib) == (0, False, 0)


def test_shortage_and_idle_memory_are_what_a_guest_lacks_and_leaves() -> None:
    scenario = family_scenario("one-hot", 1)
    needs = needs_of(scenario, reserve_kib=RESERVE_KIB)
    run = run_coordinator(scenario, Static())
    hot = run.guest("g0")

    figures = measured(run, needs)

    lacking_kib = [
        max(need - size, 0) for need, size in zip(needs.by_guest["g0"], hot.actual_kib, strict=True)
    ]
    assert figures.shortage_mib_s == pytest.approx(sum(lacking_kib) / 1024)
    # With swap enough, what its consumer holds is what it would hold with memory enough.
    assert max(hot.consumer_kib) == max(
        need - scenario.guests[0].kernel_kib - scenario.guests[0].processes_kib - 20 * 1024
        for need in needs.by_guest["g0"]
    )
    assert figures.calls == 0


def test_a_guest_that_is_killed_goes_on_lacking_what_it_would_need() -> None:
    scenario = family_scenario("one-hot", 1)
    bare = dataclasses.replace(
        scenario,
        guests=tuple(dataclasses.replace(guest, swap_kib=0) for guest in scenario.guests),
    )

    with_swap, without = measures(scenario, Static()), measures(bare, Static())

    assert without.kills == 1
    assert without.shortage_mib_s == pytest.approx(with_swap.shortage_mib_s, rel=0.01)


def test_policies_differ_where_they_should() -> None:
    hot, stuck = family_scenario("one-hot", 1), family_scenario("stuck-balloon", 1)

    # At its target Proxmox moves nothing, and the course counts on whom it must not.
    assert measures(hot, Proxmox()).shortage_mib_s > 50_000
    assert measures(stuck, Course()).shortage_mib_s > 2 * measures(stuck, Steady()).shortage_mib_s
