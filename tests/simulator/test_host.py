"""The host as a whole: life cycles, the books on CPU time, and sameness however it is advanced."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host, loops, run_shares

from virtlab.model.scenario import (
    LoseGuest,
    PinVcpu,
    StartGuest,
    StartWorkload,
    StopGuest,
    StopWorkload,
)
from virtlab.model.timeline import EventRecord
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Duty, MemoryGrowth, Trace, TracePoint
from virtlab.simulator.host import GuestState, SimulatedHost

BUSY = Duty(1.0, ms(1))


def books(simulated: SimulatedHost) -> list[object]:
    """Return all that can be read of a host's CPUs."""
    found: list[object] = [simulated.now_ns, simulated.pcpu_busy_ns()]
    for each in simulated.guests.values():
        for vcpu in each.vcpus:
            found += [vcpu.run_ns(), vcpu.delay_ns(), vcpu.time_per_pcpu_ns, vcpu.pcpu]
            found += [vcpu.halted, vcpu.loaded]
    return found


@settings(max_examples=40, deadline=None)
@given(
    duties=st.lists(st.sampled_from((0.05, 0.21, 0.36, 1.0)), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, seconds(10)), max_size=12).map(sorted),
    free=st.booleans(),
    seed=st.integers(0, 5),
)
def test_how_time_is_cut_makes_no_difference(
    duties: list[float], cuts: list[int], free: bool, seed: int
) -> None:
    masks = None if free else [(n % 2,) for n in range(len(duties))]
    whole = loops(duties, masks, pcpus=2, seed=seed)
    cut = loops(duties, masks, pcpus=2, seed=seed)

    whole.advance(seconds(10))
    for until_ns in [*cuts, seconds(10)]:
        cut.advance(until_ns)
        books(cut)

    assert books(whole) == books(cut)


def test_the_same_seed_gives_the_same_host_under_any_hash_seed() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from small_hosts import loops\n"
        "h = loops([0.21, 0.36, 1.0, 1.0, 1.0], pcpus=2, seed=3)\n"
        "h.advance(20 * 10**9)\n"
        "print(h.pcpu_busy_ns(), [g.vcpus[0].run_ns() for g in h.guests.values()])\n"
    )
    folder = str(__file__).rpartition("/")[0]

    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, folder],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert len(outputs) == 1


def test_other_seeds_give_other_noise_around_the_same_mean() -> None:
    totals = [sum(run_shares(loops([0.21], [(0,)], seed=seed), 60)) for seed in range(20)]

    assert len(set(totals)) > 10
    assert fmean(totals) == pytest.approx(0.21, abs=0.001)


@pytest.mark.parametrize("duty", [0.01, 0.03, 0.5, 0.98])
def test_noise_leaves_the_mean_where_it_is(duty: float) -> None:
    assert run_shares(loops([duty], [(0,)]), 2_000)[0] == pytest.approx(duty, abs=0.001)


def test_time_on_each_pcpu_adds_up_to_the_time_that_ran() -> None:
    simulated = loops([1.0, 0.3], [(0,), (1,)])
    simulated.advance(seconds(3) + 7)
    simulated.guests["g0"].pin(0, frozenset({2}))
    simulated.advance(seconds(5) + 11)

    vcpu = simulated.guests["g0"].vcpus[0]
    assert vcpu.time_per_pcpu_ns == [seconds(3) + 7, 0, seconds(2) + 4, 0]
    for each in simulated.guests.values():
        assert sum(each.vcpus[0].time_per_pcpu_ns) == each.vcpus[0].run_ns()


def test_pairs_of_equal_guests_read_as_in_the_course() -> None:
    simulated = loops([0.21] * 8, [(n % 4,) for n in range(8)])
    simulated.advance(seconds(30))

    for busy_ns in simulated.pcpu_busy_ns():
        assert 0.39 <= busy_ns / seconds(30) <= 0.45


def test_a_guest_keeps_nothing_of_its_id_over_a_restart() -> None:
    simulated = host([guest("g0"), guest("g1")])
    told: list[tuple[str, str]] = []
    simulated.on_lifecycle = lambda each, what: told.append((each.name, what))
    first = simulated.guests["g0"]
    uuid = first.uuid

    first.destroy()
    assert (first.id, first.state) == (-1, GuestState.SHUTOFF)
    first.start()

    assert (first.id, first.state, first.uuid) == (3, GuestState.RUNNING, uuid)
    assert simulated.guests["g1"].id == 2
    assert told == [("g0", what) for what in ("killed", "destroyed", "started", "resumed")]


def test_a_shutdown_takes_two_seconds_and_a_destroy_none() -> None:
    simulated = loops([1.0], [(0,)])
    simulated.advance(seconds(1))
    each = simulated.guests["g0"]

    each.shutdown()
    simulated.advance(seconds(3) - 1)
    assert each.id == 1
    simulated.advance(seconds(3))

    assert each.id == -1
    assert run_shares(simulated, 2) == [0.0]
    assert simulated.pcpu_busy_ns()[0] == seconds(3)


def test_a_paused_guest_stands_still_and_goes_on_with_its_load() -> None:
    simulated = loops([1.0, 1.0], [(0,), (0,)])
    simulated.advance(seconds(1))
    each = simulated.guests["g1"]

    each.suspend()
    assert (each.state, each.vcpus[0].loaded) == (GuestState.PAUSED, False)
    assert run_shares(simulated, 2) == [1.0, 0.0]
    each.resume()

    assert (each.state, each.vcpus[0].loaded) == (GuestState.RUNNING, True)
    assert run_shares(simulated, 2) == pytest.approx([0.5, 0.5])


def test_a_paused_guest_can_be_destroyed() -> None:
    simulated = loops([1.0], [(0,)])
    simulated.guests["g0"].suspend()

    simulated.guests["g0"].destroy()

    assert simulated.guests["g0"].id == -1


def test_the_scenario_happens_at_its_times() -> None:
    events = [
        StartWorkload(0, "g0", BUSY),
        PinVcpu(seconds(1), "g0", 0, (3,)),
        StopWorkload(seconds(2), "g0", "cpu"),
        StopGuest(seconds(3), "g0"),
        StartGuest(seconds(6), "g0"),
        LoseGuest(seconds(7), "g0"),
    ]
    simulated = host([guest("g0", (0,))], events)
    seen: list[EventRecord] = []
    simulated.on_event = seen.append
    simulated.advance(seconds(10))

    assert [(record.time_ns // seconds(1), record.kind) for record in seen] == [
        (0, "load_start"),
        (2, "load_end"),
        (5, "guest_stop"),
        (6, "guest_start"),
        (7, "guest_lost"),
    ]
    assert simulated.pcpu_busy_ns() == [seconds(1), 0, 0, seconds(1)]
    lost = simulated.guests["g0"]
    assert (lost.state, lost.reason) == (GuestState.SHUTOFF, 3)  # VIR_DOMAIN_SHUTOFF_CRASHED


def test_events_leave_vcpus_alone_that_a_client_took_away() -> None:
    events = [
        PinVcpu(seconds(1), "g0", 1, (0,)),
        StartWorkload(seconds(1), "g0", Duty(1.0, ms(1)), vcpus=(0, 1)),
    ]
    simulated = host([guest("g0", vcpus=2, affinity=(None, None))], events)
    one = simulated.guests["g0"]
    one.destroy()
    one.redefine(replace(one.spec, vcpus=1, affinity=(None,)))
    one.start()

    simulated.advance(seconds(2))

    assert [vcpu.run_ns() for vcpu in one.vcpus] == [seconds(1)]


def test_a_trace_is_followed_point_by_point() -> None:
    points = (TracePoint(0, 1.0, None), TracePoint(seconds(2), 0.0, mib(50)))
    simulated = host([guest("g0", (1,))], [StartWorkload(0, "g0", Trace(points))])
    simulated.advance(seconds(5))

    assert simulated.pcpu_busy_ns()[1] == seconds(2)
    assert simulated.guests["g0"].memory.figures(simulated.now_ns).consumer_kib == mib(50)


def test_touching_memory_costs_cpu_time_and_waits_for_its_vcpu() -> None:
    growth = MemoryGrowth(mib(16), mib(320), seconds(60))
    grown = []
    for others in (0, 3):
        guests = [guest(f"g{n}", (0,)) for n in range(others + 1)]
        loads = [StartWorkload(0, f"g{n}", BUSY) for n in range(1, others + 1)]
        simulated = host(guests, [*loads, StartWorkload(0, "g0", growth)])
        simulated.advance(seconds(4))
        memory = simulated.guests["g0"].memory.figures(simulated.now_ns)
        grown.append(memory.consumer_kib / mib(1))
        if not others:
            assert simulated.pcpu_busy_ns()[0] / seconds(4) == pytest.approx(0.05, abs=0.001)

    assert grown[0] == pytest.approx(64, abs=1)
    assert grown[1] < 0.9 * grown[0]


def test_nothing_runs_on_a_frozen_host() -> None:
    guests = [guest(f"g{n}", (n,), max_memory_kib=mib(2048)) for n in range(2)]
    loads = [StartWorkload(0, "g0", BUSY), StartWorkload(0, "g1", MemoryGrowth(mib(200), None))]
    simulated = host(guests, loads, memory_mib=2048)
    simulated.guests["g1"].set_memory(mib(2048))
    simulated.advance(seconds(60))

    assert simulated.frozen
    assert run_shares(simulated, 5) == [0.0, 0.0]


def test_balanced_pairs_stay_within_three_points_on_a_hundred_seeds() -> None:
    worst = 0.0
    for seed in range(100):
        simulated = loops([0.21] * 8, [(n % 4,) for n in range(8)], seed=seed)
        before = simulated.pcpu_busy_ns()
        for second in range(2, 31, 2):
            simulated.advance(seconds(second))
            after = simulated.pcpu_busy_ns()
            used = [(b - a) / seconds(0.02) for a, b in zip(before, after, strict=True)]
            worst = max(worst, pstdev(used))
            before = after

    assert worst < 3.0


def test_stopping_loads_ends_the_traces_of_all_vcpus() -> None:
    trace = Trace((TracePoint(0, 0.2, None), TracePoint(seconds(5), 0.9, None)))
    simulated = host(
        [guest("vm", vcpus=2, affinity=(None, None))],
        [
            StartWorkload(0, "vm", trace, (0,)),
            StartWorkload(0, "vm", trace, (1,)),
            StopWorkload(seconds(2), "vm", "cpu"),
        ],
    )

    simulated.advance(seconds(8))

    assert [vcpu.duty for vcpu in simulated.guests["vm"].vcpus] == [0.0, 0.0]
