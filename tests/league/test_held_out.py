"""Families that are held out are repeatable, give policies something to do, and are marked."""

from dataclasses import replace

import pytest

from virtlab.league.corpus import known_families
from virtlab.league.cpu_families import HELD_OUT as CPU_HELD_OUT
from virtlab.league.memory_families import family_scenario
from virtlab.league.memory_held_out import HELD_OUT
from virtlab.league.memory_measures import measured, needs_of
from virtlab.league.memory_run import COURSE_LIMITS, run_coordinator
from virtlab.policies.coordination.static import Static


@pytest.mark.parametrize("family", sorted(HELD_OUT))
def test_a_seed_draws_the_same_host_each_time_and_memory_has_to_move(family: str) -> None:
    scenario = family_scenario(family, 1)
    needs = needs_of(scenario, reserve_kib=COURSE_LIMITS.reserve_kib)

    still = measured(run_coordinator(scenario, Static()), needs)

    assert family_scenario(family, 1) == scenario
    assert replace(scenario, seed=2, id=f"{family}-2") != family_scenario(family, 2)
    assert still.shortage_mib_s > needs.least_mib_s + 1000


def test_what_is_held_out_is_marked_and_nothing_else() -> None:
    marked = {name for name, family in known_families().items() if family.held_out}

    assert marked == set(HELD_OUT) | CPU_HELD_OUT
