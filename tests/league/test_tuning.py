"""Every policy has the same budget, tunes on what is not held out, and never gets worse by it."""

import pytest
from league_lab import plan

from virtlab.league.season import held
from virtlab.league.standings import table_of
from virtlab.league.tuning import TUNING_SEEDS, tuned
from virtlab.model.league import League
from virtlab.policies.parameters import configured
from virtlab.policies.registry import find_policy
from virtlab.reports.league_table import league_text

FAMILIES = ["smt", "unlike-pcpus", "cpu-8-bound"]


def wanted() -> League:
    return plan(["greedy", "leave-alone"], FAMILIES)


@pytest.fixture(scope="module")
def found() -> League:
    return tuned(wanted(), budget=4, jobs=1)


def test_all_try_as_many_sets_on_families_that_are_not_held_out(found: League) -> None:
    assert found.tuning["budget"] == 4
    assert found.tuning["families"] == ["smt"]
    assert found.tuning["seeds"] == list(TUNING_SEEDS)
    assert max(TUNING_SEEDS) < min(wanted().seeds)
    chosen = found.tuning["chosen"]
    assert isinstance(chosen, dict)
    assert {name: one["tried"] for name, one in chosen.items()} == {"greedy": 4, "leave-alone": 1}
    assert all(one["score"] <= 0.0 for one in chosen.values())
    assert found.families == wanted().families


def test_what_is_chosen_may_be_set_and_is_played_with(found: League) -> None:
    for entrant in found.entrants:
        configured(find_policy(entrant.policy, entrant.kind), entrant.settings)
    text = league_text(table_of(held(found, jobs=1)))
    assert "Each policy tried 4 sets of parameters" in text


def test_the_same_budget_gives_the_same_parameters(found: League) -> None:
    assert tuned(wanted(), budget=4, jobs=2) == found
