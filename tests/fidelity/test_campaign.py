"""A machine's measurements: which runs, in which order, and what is left when one is cut short.

A simulated host with other draws stands for the real one; real guests are in tests/realhost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from virtlab.errors import EnvironmentLackError, UsageError
from virtlab.fidelity.campaign import Asked, Place, compare_files, run_campaign
from virtlab.fidelity.contribution import read_contribution, write_contribution
from virtlab.fidelity.plan import chosen, example, plan
from virtlab.grading.run import RunRecord, run_program
from virtlab.hosts.real.requirements import HostFigures
from virtlab.model.fidelity import Machine
from virtlab.model.scenario import Scenario
from virtlab.model.units import mib
from virtlab.resources import examples_dir
from virtlab.scenario import find_scenario, scenario_files

MACHINE = Machine("A processor", 2, 24_000, "6.1", "9.0.0", "QEMU 7.2.22", "qemu", True)
FIRST, SECOND = "cpu-1-all-on-one-2pcpu", "cpu-3-balanced-2pcpu"
ONLY = (FIRST, SECOND, "reference-c")


class Elsewhere:
    """Runs programs with other draws than the scenario's own, and may fail at one of its runs."""

    def __init__(self, failure: BaseException | None = None, *, loud: int | None = None) -> None:
        self.ran: list[str] = []
        self._failure = failure
        self._loud = loud  # the run that others disturb

    def __call__(self, scenario: Scenario, *things: Any, seed: int, **more: Any) -> RunRecord:
        self.ran.append(scenario.id)
        if self._failure is not None and len(self.ran) == 2:
            raise self._failure
        record = run_program(scenario, *things, seed=seed + 100, **more)
        outcome = record.timeline.outcome
        if len(self.ran) == self._loud:
            outcome = replace(outcome, status="lab_fault", kind="disturbed", reason="too loud")
        return replace(record, timeline=replace(record.timeline, outcome=outcome))


def place(runner: Elsewhere, pcpus: int = 2) -> Place:
    return Place(runner, HostFigures(pcpus, mib(24_000), mib(22_000)), MACHINE)


def scenarios(*ids: str) -> list[Scenario]:
    return [find_scenario(name) for name in ids]


def test_the_same_laws_on_both_sides_are_within_the_aims(tmp_path: Path) -> None:
    share = tmp_path / "mine.json"

    outcome = run_campaign(Asked(ONLY, share=share), place(Elsewhere()))

    found = outcome.compared
    assert [(one.scenario, one.program) for one in found.distances] == [
        (FIRST, "reference-c"), (SECOND, "reference-c"),
    ]  # fmt: skip
    assert found.within_aims, found.aims
    assert not outcome.interrupted
    contribution = read_contribution(share)
    assert contribution == found.contribution
    assert [run.real.criteria["balanced"] for run in contribution.runs] == ["passed", "passed"]
    missing = {one.scenario: one.why for one in contribution.not_run}
    assert missing["cpu-1-all-on-one"] == "needs 4 pCPUs, and this host has 2"
    assert {FIRST, SECOND, "memory-1-one-consumes"}.isdisjoint(missing)
    assert contribution.tests == len(scenario_files())


def test_what_was_measured_outlives_an_interruption_and_is_not_measured_again(
    tmp_path: Path,
) -> None:
    share = tmp_path / "mine.json"
    cut_short = run_campaign(Asked(ONLY, share=share), place(Elsewhere(KeyboardInterrupt())))
    assert cut_short.interrupted
    assert [run.scenario for run in read_contribution(share).runs] == [FIRST]

    again = Elsewhere()
    outcome = run_campaign(Asked(ONLY, share=share), place(again))

    assert again.ran == [SECOND]
    assert [run.scenario for run in outcome.compared.contribution.runs] == [FIRST, SECOND]


def test_a_disturbed_run_is_kept_marked_and_measured_again(tmp_path: Path) -> None:
    share = tmp_path / "mine.json"
    first = run_campaign(Asked(ONLY, share=share), place(Elsewhere(loud=2)))
    assert [run.disturbed for run in first.compared.contribution.runs] == [None, "too loud"]
    assert first.compared.aims[0].runs == 1

    again = Elsewhere()
    second = run_campaign(Asked(ONLY, share=share), place(again))

    assert again.ran == [SECOND]
    assert [run.disturbed for run in second.compared.contribution.runs] == [None, None]


def test_a_host_that_fails_keeps_what_was_measured_before(tmp_path: Path) -> None:
    share = tmp_path / "mine.json"
    gone = EnvironmentLackError("libvirtd does not answer any more")

    with pytest.raises(EnvironmentLackError, match="does not answer any more"):
        run_campaign(Asked(ONLY, share=share), place(Elsewhere(gone)))

    assert [run.scenario for run in read_contribution(share).runs] == [FIRST]


def test_no_run_begins_that_would_end_too_late(tmp_path: Path) -> None:
    runner = Elsewhere()
    both = (FIRST, "memory-1-one-consumes", "reference-c")

    outcome = run_campaign(Asked(both, minutes=1.5), place(runner))

    assert runner.ran == [FIRST]  # of 30 s; the other takes 240
    assert outcome.out_of_time == ["memory-1-one-consumes with reference-c"]


def test_a_place_where_nothing_can_be_written_is_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    runner = Elsewhere()

    with pytest.raises(UsageError, match="there is no such folder"):
        run_campaign(Asked(ONLY, share=tmp_path / "nowhere" / "mine.json"), place(runner))

    assert runner.ran == []


def test_a_test_that_does_not_fit_is_refused_with_its_reason() -> None:
    with pytest.raises(EnvironmentLackError) as caught:
        run_campaign(Asked(("cpu-1-all-on-one",)), place(Elsewhere()))

    said = "cpu-1-all-on-one cannot run here: it needs 4 pCPUs, and this host has 2."
    assert said in str(caught.value)


def test_a_file_of_another_machine_is_not_gone_on_with(tmp_path: Path) -> None:
    share = tmp_path / "mine.json"
    run_campaign(Asked((FIRST, "reference-c"), share=share), place(Elsewhere()))
    other = replace(place(Elsewhere()), machine=replace(MACHINE, processor="Another"))

    with pytest.raises(UsageError, match="measured on another machine"):
        run_campaign(Asked(ONLY, share=share), other)


def test_a_file_of_loops_that_were_not_held_to_their_duty_is_not_gone_on_with(
    tmp_path: Path,
) -> None:
    share = tmp_path / "mine.json"
    run_campaign(Asked((FIRST, "reference-c"), share=share), place(Elsewhere()))
    write_contribution(share, replace(read_contribution(share), loops_held=False))

    with pytest.raises(UsageError, match="loops that were not held to their duty"):
        run_campaign(Asked(ONLY, share=share), place(Elsewhere()))


def test_what_others_measured_is_held_against_the_laws_as_they_are_now(tmp_path: Path) -> None:
    share = tmp_path / "mine.json"
    run_campaign(Asked((FIRST, "reference-c"), share=share), place(Elsewhere()))
    text = share.read_text()
    assert text.count('"simulated":{') == 1
    head, _, tail = text.partition('"simulated":{')
    share.write_text(
        head + '"simulated":{' + tail.replace('"share_points":', '"share_points":9', 4)
    )

    (found,) = compare_files([share])

    assert found.within_aims


def test_the_most_telling_runs_come_first() -> None:
    tests = scenarios(FIRST, "cpu-5-heavy-and-light-2pcpu", "memory-1-one-consumes")
    runs = plan(tests, examples_dir(), repeat=2)

    def words(number: int) -> list[tuple[str, str]]:
        return [(one.scenario.id, one.program.name) for one in runs if one.number == number]

    assert words(1)[:5] == [
        (FIRST, "reference-c"),
        ("cpu-5-heavy-and-light-2pcpu", "reference-c"),
        ("memory-1-one-consumes", "reference-c"),
        (FIRST, "flawed/does-nothing"),
        ("memory-1-one-consumes", "flawed/never-gives"),
    ]
    assert words(1) == words(2)
    assert all(run.program.path.is_dir() for run in runs)


def test_a_program_of_ones_own_runs_instead_of_the_examples(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()

    runs = plan(scenarios(FIRST, SECOND), examples_dir(), own=[mine])

    assert [(run.scenario.id, run.program.name) for run in runs] == [
        (FIRST, "mine"), (SECOND, "mine"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ((FIRST,), {(FIRST, "reference-c"), (FIRST, "flawed/does-nothing")}),
        (("flawed/all-on-pcpu-0",), {(SECOND, "flawed/all-on-pcpu-0")}),
        ((FIRST, "reference-c"), {(FIRST, "reference-c")}),
    ],
)
def test_only_what_is_named_runs(names: Sequence[str], left: set[tuple[str, str]]) -> None:
    runs = [
        run
        for run in plan(scenarios(FIRST, SECOND), examples_dir())
        if run.program.name != "reference-python"
    ]

    assert {(run.scenario.id, run.program.name) for run in chosen(runs, names)} == left


def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    runs = plan(scenarios(FIRST), examples_dir())

    with pytest.raises(UsageError) as caught:
        chosen(runs, ["reference-cc"])

    assert "--only reference-cc: no run that fits this machine has such" in str(caught.value)
    assert "reference-c" in str(caught.value)


@pytest.mark.parametrize("name", ["../../..", "/etc", "flawed", "near-memory", "flawed/../flawed"])
def test_names_in_a_contribution_lead_nowhere_but_to_our_examples(name: str) -> None:
    assert example(name, examples_dir()) is None


def test_each_known_example_is_found() -> None:
    found = example("flawed/does-nothing", examples_dir())

    assert found is not None
    assert found.path.is_dir()
