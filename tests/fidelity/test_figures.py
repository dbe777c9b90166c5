"""What is compared of a run, on timelines of simulated hosts: what is known of them is exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from virtlab.fidelity.alike import as_found, growth_duty, replayed
from virtlab.fidelity.figures import acts_of, held_kib_of, run_figures
from virtlab.model.fidelity import Act
from virtlab.model.scenario import GROWTH_DUTY, Scenario
from virtlab.model.timeline import Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib, seconds
from virtlab.model.workload import MemoryGrowth
from virtlab.scenario import load_scenario

CPU = """\
schema_version: 1
id: two-busy
title: Two busy guests on pCPU 0
why: a try
program: vcpu_scheduler
host: {pcpus: 2, memory_mib: 4096}
guests:
  - {names: [web, db], memory_mib: 512, start_on: [0], load: {duty: 1}}
run: {duration_s: 30, interval_s: 1}
criteria: [{name: balanced}, {name: stable}]
"""
MEMORY = """\
schema_version: 1
id: one-grows
title: One guest grows
why: a try
program: memory_coordinator
host: {pcpus: 2, memory_mib: 8192}
guests:
  - {name: web, memory_mib: 512, max_memory_mib: 1024}
events:
  - {at_s: 4, guest: web, start_load: {rate_mib_s: 16, until_mib: 200, then: keep}}
run: {duration_s: 40, interval_s: 2}
criteria: [{name: guest-alive}]
"""


def scenario(text: str, folder: Path) -> Scenario:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return load_scenario(path)


@pytest.fixture
def cpu(tmp_path: Path) -> Scenario:
    return scenario(CPU, tmp_path)


@pytest.fixture
def memory(tmp_path: Path) -> Scenario:
    return scenario(MEMORY, tmp_path)


def by_program(timeline: Timeline) -> Timeline:
    """Return a timeline in which a program did what was done."""
    return replace(
        timeline,
        pins=tuple(replace(pin, by="program") for pin in timeline.pins),
        memory_calls=tuple(replace(call, by="program") for call in timeline.memory_calls),
    )


def test_shares_and_delays_are_points_of_a_pcpu(cpu: Scenario) -> None:
    figures = run_figures(replayed(cpu, ()))

    assert [(one.guest, one.phase) for one in figures.vcpus] == [("web", 1), ("db", 1)]
    for one in figures.vcpus:
        assert one.share_points == pytest.approx(50, abs=0.1)
        assert one.delay_points == pytest.approx(50, abs=0.1)
    assert figures.sizes == ()
    assert figures.criteria == {"balanced": "failed", "stable": "passed"}


def test_a_host_that_tells_no_delay_has_none(cpu: Scenario) -> None:
    silent = replayed(cpu, ())
    guests = tuple(
        replace(guest, vcpus=tuple(replace(v, delay_ns=(0,) * len(v.run_ns)) for v in guest.vcpus))
        for guest in silent.guests
    )

    figures = run_figures(replace(silent, guests=guests))

    assert [one.delay_points for one in figures.vcpus] == [0, 0]  # the simulated one tells
    real = run_figures(replace(silent, guests=guests, clock="real"))
    assert [one.delay_points for one in real.vcpus] == [None, None]


def test_a_scheduler_settles_when_all_windows_from_there_on_are_even(cpu: Scenario) -> None:
    moved = replayed(cpu, [Act(seconds(3), "db", 0, (1,), None)])

    (settled,) = run_figures(moved).settling
    (never,) = run_figures(replayed(cpu, ())).settling

    assert (settled.what, settled.intervals) == ("phase 1", 5)  # the window of 3 to 5 s
    assert never.intervals == 10  # as late as counts


def test_sizes_are_taken_at_each_interval(memory: Scenario) -> None:
    figures = run_figures(replayed(memory, [Act(seconds(8), "web", None, (), mib(1000))]))

    (web,) = figures.sizes
    assert figures.times_ns == tuple(at * NS_PER_S for at in range(0, 41, 2))
    assert web.range_kib == mib(512)
    assert (web.actual_kib[0], web.actual_kib[-1]) == (mib(512), mib(1000))
    (rest,) = figures.settling
    assert (rest.what, rest.intervals) == ("web at rest", 4.5)  # half a second after 8 s


def test_what_a_program_did_can_be_done_again(memory: Scenario) -> None:
    acts = (
        Act(seconds(8), "web", None, (), mib(900)),
        Act(seconds(20), "web", None, (), mib(700)),
    )
    first = by_program(replayed(memory, acts))

    again = replayed(memory, acts_of(first))

    assert acts_of(first) == acts
    assert run_figures(again).sizes == run_figures(first).sizes


def test_affinities_are_done_again_too(cpu: Scenario) -> None:
    acts = (Act(seconds(3), "db", 0, (1,), None),)
    first = by_program(replayed(cpu, acts))

    assert acts_of(first) == acts
    assert run_figures(replayed(cpu, acts_of(first))).vcpus == run_figures(first).vcpus


def test_guests_alike_hold_what_the_real_ones_held(memory: Scenario) -> None:
    held_kib = {"web": mib(90)}

    found = replayed(as_found(memory, held_kib, "qemu"), ())

    web = found.guest("web")
    assert web.unused_kib[0] == mib(512 - 90)
    assert held_kib_of(found) == held_kib
    # All of it, since no page cache makes room: 200 MiB are taken from what is free.
    assert web.unused_kib[-1] == mib(512 - 90 - 200)


def test_a_guest_of_which_nothing_is_known_stays_as_the_scenario_has_it(memory: Scenario) -> None:
    assert as_found(memory, {"web": 0}, "kvm").guests == memory.guests


def test_touching_pages_costs_an_emulated_guest_more(memory: Scenario) -> None:
    def ran_s(accelerator: str) -> float:
        timeline = replayed(as_found(memory, {}, accelerator), ())
        run_ns = timeline.guest("web").vcpus[0].run_ns
        return (run_ns[14] - run_ns[6]) / NS_PER_S  # it grows from 4 s on, at 16 MiB/s

    emulated = growth_duty(MemoryGrowth(16 * KIB_PER_MIB, None), "qemu")
    assert ran_s("qemu") - ran_s("kvm") == pytest.approx(8 * (emulated - GROWTH_DUTY), abs=0.01)
    assert growth_duty(MemoryGrowth(1 << 30, None), "qemu") == 1.0


def test_emulated_balloons_have_rates_of_their_own(memory: Scenario) -> None:
    grow = [
        Act(seconds(8), "web", None, (), mib(1024)),
        Act(seconds(12), "web", None, (), mib(512)),
    ]

    def sizes(accelerator: str) -> list[int]:
        timeline = replayed(as_found(memory, {}, accelerator), grow)
        return [kib // KIB_PER_MIB for kib in timeline.guest("web").actual_kib[12:15]]

    assert sizes("kvm") == [1024, 512, 512]
    assert sizes("qemu")[-1] == 512
