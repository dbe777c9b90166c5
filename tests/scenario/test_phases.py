"""Where phases begin: events, and points of traces for as long as those are followed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from virtlab.errors import ScenarioError
from virtlab.model.scenario import (
    Event,
    LoseGuest,
    PinVcpu,
    Scenario,
    StartWorkload,
    StopWorkload,
)
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Batch, Duty, MemoryGrowth, Trace, TracePoint
from virtlab.scenario import find_scenario, load_scenario

# The share changes at 0, 10 and 30 s; at 20 s only memory does.
TRACE = Trace(
    (
        TracePoint(0, 0.2, None),
        TracePoint(seconds(10), 0.5, None),
        TracePoint(seconds(20), 0.5, mib(60)),
        TracePoint(seconds(30), 0.2, None),
    )
)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return find_scenario("cpu-3-balanced")


def starts_s(scenario: Scenario, *events: Event) -> list[float]:
    changed = replace(scenario, events=events, duration_s=60)
    return [start / 1e9 for start in changed.phases_ns()]


def test_each_new_share_of_a_trace_begins_a_phase(scenario: Scenario) -> None:
    name = scenario.guests[0].name

    assert starts_s(scenario, StartWorkload(0, name, TRACE)) == [0, 10, 30]
    assert starts_s(scenario, StartWorkload(seconds(5), name, TRACE)) == [0, 5, 15, 35]
    assert starts_s(scenario, StartWorkload(seconds(50), name, TRACE)) == [0, 50]


@pytest.mark.parametrize(
    "taken",
    [
        lambda name: StartWorkload(seconds(15), name, Duty(0.5, ms(1))),
        lambda name: StartWorkload(seconds(15), name, Batch(seconds(1)), (0,)),
        lambda name: StopWorkload(seconds(15), name, "all"),
        lambda name: LoseGuest(seconds(15), name),
    ],
)
def test_a_trace_that_nobody_follows_any_more_begins_none(
    scenario: Scenario, taken: object
) -> None:
    name = scenario.guests[0].name
    event = taken(name)  # type: ignore[operator]

    assert starts_s(scenario, StartWorkload(0, name, TRACE), event) == [0, 10, 15]


@pytest.mark.parametrize(
    ("event", "at"),
    [
        (lambda name, _: StopWorkload(seconds(15), name, "memory"), [15]),
        (lambda name, _: StartWorkload(seconds(15), name, MemoryGrowth(1, 1)), [15]),
        (lambda _, other: StartWorkload(seconds(15), other, Duty(0.5, ms(1))), [15]),
        (lambda name, _: PinVcpu(seconds(15), name, 0, (0,)), []),
    ],
)
def test_what_leaves_a_trace_alone_ends_none_of_its_phases(
    scenario: Scenario, event: object, at: list[int]
) -> None:
    name, other = scenario.guests[0].name, scenario.guests[1].name
    happening = event(name, other)  # type: ignore[operator]

    assert starts_s(scenario, StartWorkload(0, name, TRACE), happening) == [0, 10, *at, 30]


def test_a_trace_is_followed_until_the_last_of_its_vcpus_is_taken(scenario: Scenario) -> None:
    one = replace(scenario.guests[0], vcpus=2, affinity=(None, None))
    wide = replace(scenario, guests=(one,))
    trace = StartWorkload(0, one.name, TRACE)
    first = StartWorkload(seconds(5), one.name, Duty(0.5, ms(1)), (0,))
    second = StartWorkload(seconds(15), one.name, Duty(0.5, ms(1)), (1,))

    assert starts_s(wide, trace, first) == [0, 5, 10, 30]
    assert starts_s(wide, trace, first, second) == [0, 5, 10, 15]


def test_a_trace_whose_phases_are_too_short_to_be_balanced_in_is_refused(tmp_path: Path) -> None:
    text = """schema_version: 1
id: x
title: t
why: w
program: vcpu_scheduler
host: {pcpus: 4, memory_mib: 8192}
guests:
  - {name: a, memory_mib: 512, load: {trace: t.csv}}
run: {duration_s: 60, interval_s: 1}
criteria:
  - {name: balanced}
"""
    (tmp_path / "s.yaml").write_text(text)
    (tmp_path / "t.csv").write_text("time_s,cpu\n0,0.2\n20,0.5\n40,0.1\n45,0.2\n")

    with pytest.raises(ScenarioError) as caught:
        load_scenario(tmp_path / "s.yaml")

    assert [(problem.line, problem.what) for problem in caught.value.problems] == [
        (11, "the phase from 40 to 45 s is too short to judge: settling and one window take 12 s.")
    ]
