"""What each lesson says that there is to see is what there is to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from virtlab.lessons.catalogue import find_lesson
from virtlab.lessons.lesson import Curves

Seen = Callable[..., Any]


def test_a_vcpu_that_is_moved_away_gets_more_and_one_that_is_not_gets_the_same(seen: Seen) -> None:
    moved, stayed = (seen("ten-calls", pcpu=pcpu) for pcpu in ("2", "0"))

    assert moved.bars("shares")["after"] > 1.5 * moved.bars("shares")["before"]
    assert stayed.bars("shares")["after"] == pytest.approx(stayed.bars("shares")["before"], abs=1)
    assert "map 0100" in moved.text("pin")
    assert "actual 400 MiB" in moved.text("balloon")


def test_each_layer_says_how_many_vcpus_there_are(seen: Seen) -> None:
    layers = seen("layers", vcpus="3")

    assert [row[1] for row in layers.rows("same")] == [3, 3, 3, 3]
    assert "qemu-system" in layers.text("process")


def test_jobs_wait_the_longer_the_less_often_the_scheduler_looks(seen: Seen) -> None:
    waits = seen("polling").bars("waits")

    names = ["every 1 s", "every 2 s", "every 5 s", "every 10 s", "no scheduler"]
    assert sorted(waits, key=waits.__getitem__) == names
    assert waits["no scheduler"] > 3 * waits["every 10 s"]


def test_a_squeezed_guest_kills_swaps_or_deflates(seen: Seen) -> None:
    fates = seen("balloon").by_name("fates")

    assert fates["plain"][3].startswith("killed")
    assert (fates["with swap"][2] > 0, fates["with swap"][3]) == (True, "finished")
    assert (fates["deflates"][2], fates["deflates"][3]) == (0, "finished")


def test_a_balloon_that_deflates_on_oom_is_above_its_target_meanwhile(seen: Seen) -> None:
    shown = seen("balloon").all
    (sizes,) = (one.series for one in shown if isinstance(one, Curves) and one.place == "sizes")

    assert max(sizes["deflates"][40:60]) > 500
    assert max(sizes["plain"][40:60]) == 400


def test_a_balloon_that_leaves_enough_harms_nobody(seen: Seen) -> None:
    balloon = seen("balloon", target_mib="900")

    assert "nobody" in balloon.text("fates")
    assert [row[3] for row in balloon.rows("fates")] == [0, 0, 0, 0]


def test_balanced_and_stable_can_each_be_had_without_the_other(seen: Seen) -> None:
    verdicts = seen("balanced").by_name("verdicts")

    assert verdicts["leave-alone"][2:] == ["no", "yes"]
    assert verdicts["back-and-forth"][2:] == ["yes", "no"]
    assert verdicts["even"][2:] == ["yes", "yes"]


def test_a_limit_below_the_noise_and_one_above_everything_judge_nothing(seen: Seen) -> None:
    low, high = (seen("balanced", limit_points=x).by_name("verdicts") for x in ("0.5", "50"))

    assert [row[2] for row in low.values()] == ["no", "no", "no"]
    assert [row[2] for row in high.values()] == ["yes", "yes", "yes"]


def test_a_coordinator_lowers_the_shortage_to_no_less_than_is_possible(seen: Seen) -> None:
    shortage = seen("coordinator").bars("shortage")

    assert shortage["steady"] < 0.5 * shortage["static"]
    assert shortage["steady"] >= shortage["the least possible"]


def test_a_league_has_another_winner_where_there_is_nothing_to_do(seen: Seen) -> None:
    league = seen("which-one")

    first, second = league.by_name("first"), league.by_name("second")
    assert first["even"][0] < first["leave-alone"][0]
    assert second["leave-alone"][3] == 0
    assert second["at-random"][0] > second["leave-alone"][0]
    assert "leave-alone" in league.text("second")


def test_crossings_grow_with_the_guests_and_guards_with_their_square(seen: Seen) -> None:
    spin = seen("spin", guests="16")

    assert {row[0]: row[1] for row in spin.rows("border")} == {
        "8 guests": 17,
        "16 guests": 33,
        "32 guests": 65,
    }
    assert spin.by_name("events")["32 guests"] == [32 * 32, 32, 32, 32, 3 * 32, 3]
    assert "the same pins" in spin.text("border")


def test_a_hostile_policy_takes_the_host_with_it_inside_and_itself_over_the_wire(
    seen: Seen,
) -> None:
    fates = seen("spin", guests="16").by_name("hostile")

    assert fates == {
        "raises": ["loop over", "run over, next plays", "client gone, 20/20"],
        "answers nonsense": ["loop over", "run over, next plays", "client gone, 20/20"],
        "never returns": ["stands still", "run over, next plays", "client hangs, 20/20"],
        "kills its process": ["all gone", "all gone", "client gone, 20/20"],
    }


def test_who_overruns_its_slots_gets_the_less_the_higher_the_penalty(seen: Seen) -> None:
    means = seen("exokernel").bars("greedy")
    harsh = seen("exokernel", penalty="3").bars("greedy")

    falling = [means[f"penalty {p}"] for p in ("0", "0.5", "1", "2")]
    assert falling == sorted(falling, reverse=True)
    assert harsh["penalty 3"] < harsh["penalty 2"] - 0.2
    assert means["penalty 0"] > 5
    assert means["penalty 1"] == pytest.approx(4, abs=0.2)  # what it was granted


def test_a_longer_deadline_leaves_less_to_be_taken_by_force(seen: Seen) -> None:
    exokernel = seen("exokernel")

    taken = {"idle": [], "busy": []}  # type: dict[str, list[int]]
    for _, guest, asked, given, by_force in exokernel.rows("repossession"):
        assert given + by_force == asked
        taken[guest].append(by_force)
    assert taken["idle"] == sorted(taken["idle"], reverse=True)
    assert taken["idle"][-1] == 0
    assert min(taken["busy"]) > 200
    swap = list(exokernel.bars("host-swap").values())
    assert swap == sorted(swap, reverse=True)


def test_a_binding_is_checked_once_and_ends_with_its_reason(seen: Seen) -> None:
    exokernel = seen("exokernel")

    assert [row[1] for row in exokernel.rows("bindings")] == [4, 4, 4]
    assert [row[2] for row in exokernel.rows("bindings")] == pytest.approx([4, 1.3, 1.03])
    assert "refused (the binding is broken) with 0 calls" in exokernel.text("bindings")


def test_a_move_costs_the_more_the_more_is_in_the_caches(seen: Seen) -> None:
    costs = list(seen("exokernel").bars("warmth").values())

    assert costs == sorted(costs)
    assert costs[-1] > 3 * costs[0]


@pytest.mark.parametrize("name", ["ten-calls", "balloon", "exokernel"])
def test_the_same_lesson_shows_the_same_figures(seen: Seen, name: str) -> None:
    again = list(find_lesson(name).made({}).shown())

    assert again == seen(name).all
