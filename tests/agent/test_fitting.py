"""Recordings become scenarios in which the same is seen again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from virtlab.agent.fitting import fitted_scenario, stretches
from virtlab.agent.recorded import snapshot_of
from virtlab.errors import InputError
from virtlab.league.replay import recorded, replayed
from virtlab.model.scenario import StartGuest, StartWorkload, StopGuest
from virtlab.model.units import NS_PER_S, seconds
from virtlab.policies.coordination.static import Static
from virtlab.policies.scheduling.even import Even
from virtlab.policies.scheduling.leave_alone import LeaveAlone
from virtlab.scenario import find_scenario, load_scenario
from virtlab.scenario.writing import write_scenario

MakeRig = Callable[..., Any]


def test_a_load_that_changes_is_two_stretches() -> None:
    samples = [(n * NS_PER_S, 0.2 + 0.01 * (-1) ** n) for n in range(10)]
    samples += [(n * NS_PER_S, 0.6 + 0.01 * (-1) ** n) for n in range(10, 20)]

    found = stretches(samples)

    assert [(at, round(mean, 2)) for at, mean in found] == [(0, 0.2), (10 * NS_PER_S, 0.6)]


def test_one_sample_that_is_off_is_no_stretch() -> None:
    samples = [(n * NS_PER_S, 0.9 if n == 5 else 0.2) for n in range(20)]

    assert len(stretches(samples)) == 1


def test_a_recorded_load_wants_the_same_again(rig: MakeRig) -> None:
    one = rig("cpu-5-heavy-and-light", policy=LeaveAlone)
    one.run(20)

    fitted = fitted_scenario(one.ticks(), "again")

    wanted = {
        event.guest: event.workload.duty
        for event in one.scenario.events
        if isinstance(event, StartWorkload)
    }
    for event in fitted.events:
        assert isinstance(event, StartWorkload)
        shares = [point.cpu_share for point in event.workload.points]  # type: ignore[union-attr]
        assert shares == [pytest.approx(wanted[event.guest], abs=0.03)]
    masks = {guest.name: guest.affinity for guest in fitted.guests}
    assert masks == {
        guest.name: tuple(tuple(range(4)) if m is None else m for m in guest.affinity)
        for guest in one.scenario.guests
    }


def test_the_recorded_policy_does_in_the_simulator_what_it_did(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    one.run(30)
    ticks = one.ticks()

    seen = recorded(ticks, "recorded")
    again = replayed(fitted_scenario(ticks, "again"), Even(), "again", first=snapshot_of(ticks[0]))

    assert again.changes == seen.changes == 6
    assert again.spread_points == pytest.approx(seen.spread_points, abs=2)


def test_memory_in_use_is_the_same_again(rig: MakeRig) -> None:
    one = rig("memory-4-one-stops")
    one.run(200)
    ticks = one.ticks()
    fitted = fitted_scenario(ticks, "again")

    used: dict[str, list[int]] = {}
    for guest in ticks[-1].parts["snapshot"]["guests"]:
        used[guest["guest"]] = [guest["available_kib"] - guest["usable_kib"]]
    rich = dataclasses.replace(
        fitted,
        guests=tuple(
            dataclasses.replace(guest, memory_kib=guest.max_memory_kib) for guest in fitted.guests
        ),
    )
    from virtlab.league.memory_run import run_coordinator

    run_coordinator(
        rich,
        Static(),
        on_tick=lambda seen, _plan: [
            used[guest.guest].append(guest.available_kib - guest.usable_kib)  # type: ignore[func-returns-value,operator]
            for guest in seen.guests
        ],
    )
    for name, (there, *again) in used.items():
        assert again[-1] == pytest.approx(there, abs=30 * 1024), name


def test_guests_come_and_go_as_they_did(rig: MakeRig) -> None:
    found = find_scenario("cpu-3-balanced")
    events = (StopGuest(seconds(5), "aos_vm1"), StartGuest(seconds(12), "aos_vm1"))
    one = rig(dataclasses.replace(found, events=(*found.events, *events)))
    one.run(9)

    fitted = fitted_scenario(one.ticks(), "again")

    assert [e.guest for e in fitted.events if isinstance(e, StopGuest)] == ["aos_vm1"]


def test_a_recording_on_disk_is_a_scenario_file(rig: MakeRig, tmp_path: Path) -> None:
    one = rig("topology-1-near-memory")
    one.run(10)
    fitted = fitted_scenario(one.ticks(), "night")

    files = write_scenario(fitted, tmp_path / "night.yaml")

    read = load_scenario(tmp_path / "night.yaml")
    assert len(files) == 1 + sum(isinstance(e, StartWorkload) for e in fitted.events)
    assert read.events == fitted.events
    assert read.host.layout == fitted.host.layout
    assert [guest.affinity for guest in read.guests] == [g.affinity for g in fitted.guests]
    assert [guest.memory_cell for guest in read.guests] == [g.memory_cell for g in fitted.guests]


def test_one_tick_is_no_recording(rig: MakeRig) -> None:
    one = rig("cpu-3-balanced")
    one.run(0.5)

    with pytest.raises(InputError, match="there are not two ticks"):
        fitted_scenario(one.ticks(), "again")
