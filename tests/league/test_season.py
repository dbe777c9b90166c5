"""A league is repeatable, whole, and goes on whatever one of its policies does."""

from pathlib import Path

import pytest
from league_lab import flawed, plan

from virtlab.errors import InputError, UsageError
from virtlab.league.contest import Contest, played
from virtlab.league.corpus import chosen_families, drawn_scenario
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.entrants import chosen_entrants
from virtlab.league.guard import Guarded, PolicyError
from virtlab.league.results import LeagueFolder, league_files
from virtlab.league.season import Step, held
from virtlab.league.standings import table_of
from virtlab.model.league import measures_of
from virtlab.policies.scheduling.largest_first import LargestFirst


def test_the_same_league_gives_the_same_bytes_on_one_core_and_on_two() -> None:
    wanted = plan(["even", "greedy", "steady", "course"], ["smt", "slow-leak"], (1001, 1002))

    one, two = (league_files(table_of(held(wanted, jobs=jobs))) for jobs in (1, 2))

    assert one == two


def test_each_policy_plays_the_families_of_its_kind_with_all_measures() -> None:
    league = held(plan(["greedy", "course"], ["smt", "slow-leak"]), jobs=1)

    assert [(bout.family, bout.entrant) for bout in league.bouts] == [
        ("smt", "greedy"),
        ("slow-leak", "course"),
    ]
    assert [set(bout.figures) for bout in league.bouts] == [
        {measure.name for measure in measures_of(kind)} for kind in ("scheduling", "coordination")
    ]


def test_what_is_wrong_with_a_policy_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    names = flawed(tmp_path, "Raises", "AnswersNonsense", "PinsNobody", "AnswersNothing", "Grows")

    league = held(plan([*names, "leave-alone"], ["cpu-1-all-on-one"]), jobs=1)

    reasons = [bout.failure for bout in league.bouts]
    assert reasons == [
        "it raised ZeroDivisionError at 0 s: of nothing",
        "at 0 s it pinned aos_vm1:0 to pCPU 99, and the host has 0-3",
        "at 0 s it pinned VcpuKey(guest='nobody', number=0), and there is no such vCPU",
        "at 0 s it answered None, and a CpuPlan is wanted",
        reasons[4],
        None,
    ]
    assert reasons[4] is not None
    assert reasons[4].startswith("it took more than 1024 MiB of memory by ")
    assert league.bouts[-1].figures["work_s"] > 20.0


@pytest.mark.parametrize("flaw", ["Hangs", "Sleeps"])
def test_a_policy_that_takes_too_long_is_interrupted(tmp_path: Path, flaw: str) -> None:
    entrants = chosen_entrants(flawed(tmp_path, flaw))
    (family,) = chosen_families(["cpu-1-all-on-one"])

    (bout,) = played(Contest(family, 1, entrants, decision_s=0.05)).bouts

    assert bout.failure == "it took longer than 0.05 s over a decision at 0 s"


def test_a_policy_whose_decisions_take_too_long_together_ends_its_run() -> None:
    guarded = Guarded(LargestFirst(), run_s=0.0)
    (family,) = chosen_families(["cpu-1-all-on-one"])

    with pytest.raises(PolicyError, match="its decisions took longer than 0 s together by 0 s"):
        run_scheduler(drawn_scenario(family, 1), guarded)


def test_a_league_that_was_cut_short_goes_on_where_it_stopped(tmp_path: Path) -> None:
    wanted = plan(["even", "greedy"], ["smt"], (1001, 1002, 1003))
    folder = LeagueFolder(tmp_path, wanted)
    folder.open(resume=False, overwrite=False)

    def stop_after_one(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held(wanted, jobs=1, journal=folder.journal, on_step=stop_after_one)
    with (tmp_path / "contests.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"bouts": [{"entr')  # as a crash leaves it
    known = LeagueFolder(tmp_path, wanted).open(resume=True, overwrite=False)
    steps: list[Step] = []
    resumed = held(wanted, jobs=1, known=known, on_step=steps.append)

    assert len(known) == 1
    assert len(steps) == 2
    assert resumed == held(wanted, jobs=1)


def test_a_journal_of_other_policies_is_refused_and_no_league_is_overwritten_unasked(
    tmp_path: Path,
) -> None:
    LeagueFolder(tmp_path, plan(["even"], ["smt"])).open(resume=False, overwrite=False)
    other = LeagueFolder(tmp_path, plan(["even gain_min=0.02"], ["smt"]))

    with pytest.raises(InputError, match="is of another league"):
        other.open(resume=True, overwrite=False)
    with pytest.raises(UsageError, match="there is a league in"):
        other.open(resume=False, overwrite=False)
    assert other.open(resume=False, overwrite=True) == {}


def test_unknown_policies_families_and_parameters_are_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean steady"):
        chosen_entrants(["stedy"])
    with pytest.raises(UsageError, match="did you mean sawtooth"):
        chosen_families(["sawtoth"])
    with pytest.raises(UsageError, match="did you mean gain_min"):
        chosen_entrants(["even gain_mn=1"])
    with pytest.raises(UsageError, match="sets nothing"):
        chosen_entrants(["even gain_min"])
