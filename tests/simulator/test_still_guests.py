"""Guests that stand still, as they are paused or their host froze, and what a reboot keeps."""

from __future__ import annotations

import pytest
from small_hosts import guest, host

from virtlab.model.faults import GuestFault
from virtlab.model.scenario import Event, SetMemory, StartWorkload
from virtlab.model.timeline import EventRecord
from virtlab.model.units import EPOCH_S, mib, ms, seconds
from virtlab.model.workload import Duty, MemoryGrowth, Trace, TracePoint
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.memory_sizes import MemoryFigures

ROOM_MIB_S = 2.11 * 1024  # how fast a balloon gives


def figures(simulated: SimulatedHost, name: str = "g0") -> MemoryFigures:
    return simulated.guests[name].memory.figures(simulated.now_ns)


def paused(at_s: float, *events: Event, **changes: object) -> SimulatedHost:
    """Return a host whose one guest is paused at a moment."""
    simulated = host([guest("g0", (0,), **changes)], events)
    simulated.advance(seconds(at_s))
    simulated.guests["g0"].suspend()
    return simulated


def went_on(simulated: SimulatedHost, until_s: float) -> SimulatedHost:
    """Let the guest go on."""
    simulated.guests["g0"].resume()
    simulated.advance(seconds(until_s))
    return simulated


def test_a_paused_guests_balloon_stands_still_and_then_gets_where_it_was_bound() -> None:
    simulated = host([guest("g0")])
    simulated.guests["g0"].set_memory(mib(2048))
    simulated.advance(ms(100))
    simulated.guests["g0"].suspend()
    on_its_way_kib = figures(simulated).actual_kib

    simulated.advance(seconds(10))
    simulated.guests["g0"].set_memory(mib(1024))
    simulated.advance(seconds(20))
    still = figures(simulated)
    went_on(simulated, 20.1)
    moved_mib = (figures(simulated).actual_kib - on_its_way_kib) / 1024
    simulated.advance(seconds(21))

    assert mib(512) < on_its_way_kib < mib(1024)
    assert (still.actual_kib, still.target_kib) == (on_its_way_kib, mib(1024))
    assert moved_mib == pytest.approx(ROOM_MIB_S * 0.1, abs=0.1)
    assert figures(simulated).actual_kib == mib(1024)


def test_nothing_grows_in_a_paused_guest_whoever_asks_for_it_meanwhile() -> None:
    simulated = paused(0, StartWorkload(seconds(1), "g0", MemoryGrowth(mib(16), None)))

    simulated.advance(seconds(5))
    still = figures(simulated)
    went_on(simulated, 7)

    assert (still.consumer_kib, still.unused_kib) == (0, mib(190))
    assert figures(simulated).consumer_kib == pytest.approx(mib(32), rel=0.001)


def test_a_hold_goes_on_for_as_long_as_was_left() -> None:
    load = MemoryGrowth(mib(100), mib(100), seconds(3))  # held from 1 s on, until 4 s
    simulated = paused(2, StartWorkload(0, "g0", load))

    simulated.advance(seconds(10))
    still_kib = figures(simulated).consumer_kib
    went_on(simulated, 11.9)
    before_kib = figures(simulated).consumer_kib
    simulated.advance(seconds(12.1))

    assert (still_kib, before_kib) == (mib(100), mib(100))
    assert figures(simulated).consumer_kib == 0


def test_a_load_that_ends_while_its_guest_is_paused_frees_nothing_again_later() -> None:
    load = MemoryGrowth(mib(100), mib(100), seconds(3))
    simulated = paused(2, StartWorkload(0, "g0", load))
    records: list[EventRecord] = []
    simulated.on_event = records.append

    simulated.loads.stop(simulated.guests["g0"], "memory")
    went_on(simulated, 20)

    assert [record.kind for record in records] == ["load_end"]


def test_a_paused_guest_reports_nothing_and_its_ticks_come_later() -> None:
    simulated = host([guest("g0")])
    one = simulated.guests["g0"]
    one.set_stats_period(2)

    seen = []
    for half in range(26):
        simulated.advance(seconds(half / 2))
        if half == 6:
            one.suspend()
        if half == 13:
            one.resume()  # after 3.5 s, so that the tick of 4 s comes at 7.5 s
        seen.append(one.memory.statistics(simulated.now_ns)["last_update"] - EPOCH_S)

    assert seen[::2] == [0, 0, 2, 2, 2, 2, 2, 2, 7, 7, 9, 9, 11]
    assert seen[14:16] == [2, 7]


def test_a_period_that_is_set_during_a_pause_renews_as_soon_as_the_guest_goes_on() -> None:
    simulated = paused(1)
    one = simulated.guests["g0"]

    simulated.advance(seconds(2))
    one.set_stats_period(5)
    simulated.advance(seconds(4))
    still_s = one.memory.statistics(simulated.now_ns)["last_update"] - EPOCH_S
    went_on(simulated, 4)
    on_s = one.memory.statistics(simulated.now_ns)["last_update"] - EPOCH_S
    simulated.advance(seconds(9))

    assert (still_s, on_s) == (0, 4)
    assert one.memory.statistics(simulated.now_ns)["last_update"] - EPOCH_S == 9


def test_a_fault_that_ends_during_a_pause_hides_no_tick_after_it() -> None:
    stale = GuestFault(seconds(3), "g0", "statistics-stale", seconds(6))
    simulated = host([guest("g0")], [stale])
    one = simulated.guests["g0"]
    one.set_stats_period(2)
    simulated.advance(seconds(5))
    one.suspend()

    simulated.advance(seconds(10))
    went_on(simulated, 11)

    # The tick of 6 s comes 5 s later.
    assert one.memory.statistics(simulated.now_ns)["last_update"] - EPOCH_S == 11


def test_a_stalled_balloon_loses_no_patience_while_its_guest_is_paused() -> None:
    squeezed = paused(2, SetMemory(0, "g0", mib(150)))  # below its kernel and processes
    records: list[EventRecord] = []
    squeezed.on_event = records.append

    squeezed.advance(seconds(30))
    went_on(squeezed, 30.5)
    soon = [record.kind for record in records]
    squeezed.advance(seconds(33))

    assert soon == []
    assert "oom_kill" in [record.kind for record in records]


def test_pages_are_not_reported_by_a_guest_that_is_paused() -> None:
    load = MemoryGrowth(mib(200), mib(100), 0)
    simulated = paused(1, StartWorkload(0, "g0", load), free_page_reporting=True)
    before_kib = figures(simulated).rss_kib

    simulated.advance(seconds(30))
    still_kib = figures(simulated).rss_kib
    went_on(simulated, 60)

    assert still_kib == before_kib
    assert figures(simulated).rss_kib < before_kib


def test_a_trace_moves_memory_only_once_its_guest_goes_on() -> None:
    trace = Trace((TracePoint(0, 0.1, None), TracePoint(seconds(2), 0.1, mib(60))))
    simulated = paused(1, StartWorkload(0, "g0", trace))

    simulated.advance(seconds(5))
    still_kib = figures(simulated).consumer_kib
    went_on(simulated, 5)

    assert still_kib == 0
    assert figures(simulated).consumer_kib == mib(60)


def frozen(*events: Event, **changes: object) -> SimulatedHost:
    """Return a host that g1 froze, which touched pages beside a busy g0."""
    simulated = host(
        [guest("g0", (0,), **changes), guest("g1", (0,), memory_kib=mib(2048))],
        [
            StartWorkload(0, "g0", Duty(1.0, ms(0.5))),
            StartWorkload(0, "g1", MemoryGrowth(mib(400), None)),
            *events,
        ],
        memory_mib=2048,
    )
    simulated.advance(seconds(5))
    assert simulated.frozen
    return simulated


def test_no_memory_moves_on_a_frozen_host() -> None:
    trace = Trace((TracePoint(0, 0.5, mib(50)),))
    simulated = frozen(StartWorkload(seconds(6), "g0", trace))
    records: list[EventRecord] = []
    simulated.on_event = records.append
    before = [figures(simulated, name) for name in ("g0", "g1")]

    simulated.guests["g0"].set_memory(mib(400))
    simulated.guests["g0"].suspend()
    simulated.guests["g0"].resume()
    simulated.advance(seconds(60))

    after = [figures(simulated, name) for name in ("g0", "g1")]
    assert [(one.actual_kib, one.consumer_kib, one.rss_kib) for one in after] == [
        (one.actual_kib, one.consumer_kib, one.rss_kib) for one in before
    ]
    assert records == []


def test_nobody_reports_from_a_frozen_host() -> None:
    simulated = frozen()
    one = simulated.guests["g0"]

    one.set_stats_period(1)
    simulated.advance(seconds(20))

    assert one.memory.statistics(simulated.now_ns)["last_update"] == EPOCH_S


def test_a_reboot_gives_no_page_back_to_the_host() -> None:
    load = MemoryGrowth(mib(400), mib(1000), 0)
    simulated = host([guest("g0")], [StartWorkload(0, "g0", load)])
    simulated.guests["g0"].set_memory(mib(2048))
    simulated.advance(seconds(20))
    before, free_kib = figures(simulated), simulated.memory().free_kib

    simulated.guests["g0"].reboot()
    after = figures(simulated)
    simulated.advance(seconds(60))

    assert before.rss_kib == mib(1322)
    assert (after.rss_kib, after.actual_kib, after.consumer_kib) == (mib(1322), mib(2048), 0)
    assert figures(simulated).rss_kib == mib(1322)
    assert simulated.memory().free_kib == free_kib


def test_a_balloon_goes_on_to_its_target_after_a_reboot() -> None:
    simulated = host([guest("g0", memory_kib=mib(2048))])
    simulated.guests["g0"].set_memory(mib(400))
    simulated.advance(ms(500))
    on_its_way_kib = figures(simulated).actual_kib

    simulated.guests["g0"].reboot()
    at_once_kib = figures(simulated).actual_kib
    simulated.advance(seconds(10))

    assert mib(400) < at_once_kib == on_its_way_kib < mib(2048)
    assert figures(simulated).actual_kib == mib(400)


def test_a_squeezed_guest_comes_up_large_enough_for_its_system() -> None:
    simulated = host([guest("g0")])
    simulated.guests["g0"].set_memory(mib(100))
    simulated.advance(seconds(5))  # it has lost a daemon
    squeezed_kib = figures(simulated).actual_kib

    simulated.guests["g0"].reboot()

    assert squeezed_kib < mib(64 + 88 + 4)
    assert figures(simulated).actual_kib == mib(64 + 88 + 4)


def test_a_paused_guest_that_is_rebooted_stays_paused() -> None:
    simulated = paused(1)

    simulated.guests["g0"].reboot()
    simulated.guests["g0"].set_memory(mib(1024))
    simulated.advance(seconds(5))
    still_kib = figures(simulated).actual_kib
    went_on(simulated, 10)

    assert (still_kib, figures(simulated).actual_kib) == (mib(512), mib(1024))
