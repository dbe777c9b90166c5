"""Faults in virtual time: how they begin, overlap and end, and what a restarted guest counts."""

from __future__ import annotations

import pytest
from small_hosts import guest, host

from virtlab.model.faults import GuestFault, HostFault
from virtlab.model.scenario import (
    DefineGuest,
    LoseGuest,
    StartGuest,
    StartWorkload,
    UndefineGuest,
)
from virtlab.model.timeline import EventRecord
from virtlab.model.units import EPOCH_S, mib, ms, seconds
from virtlab.model.workload import Duty
from virtlab.simulator.host import SimulatedHost


def stuck(at_s: float, for_s: float | None) -> GuestFault:
    for_ns = None if for_s is None else seconds(for_s)
    return GuestFault(seconds(at_s), "g0", "balloon-stuck", for_ns)


def followed(simulated: SimulatedHost) -> list[EventRecord]:
    records: list[EventRecord] = []
    simulated.on_event = records.append
    return records


def ends_s(records: list[EventRecord]) -> list[float]:
    return [record.time_ns / 1e9 for record in records if record.kind == "fault_end"]


def test_of_two_faults_that_overlap_the_later_end_counts() -> None:
    simulated = host([guest("g0")], [stuck(1, 10), stuck(2, 3), stuck(4, 9)])
    records = followed(simulated)

    simulated.advance(seconds(30))

    assert ends_s(records) == [13]


def test_a_fault_for_ever_does_not_end_with_one_for_a_time() -> None:
    simulated = host([guest("g0")], [stuck(1, 5), stuck(2, None), stuck(3, 1)])
    records = followed(simulated)
    simulated.advance(seconds(3))
    simulated.guests["g0"].set_memory(mib(400))

    simulated.advance(seconds(600))

    assert ends_s(records) == []
    figures = simulated.guests["g0"].memory.figures(simulated.now_ns)
    assert (figures.actual_kib, figures.target_kib) == (mib(512), mib(400))


def held_kib(simulated: SimulatedHost, name: str, until_s: float) -> int:
    """Ask a guest for 400 MiB; return what it is a while later."""
    one = simulated.guests[name]
    one.set_memory(mib(400))
    simulated.advance(seconds(until_s))
    return one.memory.figures(simulated.now_ns).actual_kib


def test_a_fault_stays_with_a_guest_that_gets_another_name_or_description() -> None:
    simulated = host([guest("g0"), guest("g1")], [stuck(1, 10)])
    records = followed(simulated)
    simulated.advance(seconds(2))
    one = simulated.guests["g0"]
    one.destroy()
    simulated.rename(one, "other")
    one.start()
    renamed_kib = held_kib(simulated, "other", 4)
    one.destroy()
    one.redefine(one.spec)
    one.start()
    redefined_kib = held_kib(simulated, "other", 6)

    simulated.advance(seconds(20))
    after = one.memory.figures(simulated.now_ns)

    assert (renamed_kib, redefined_kib, after.actual_kib) == (mib(512), mib(512), mib(400))
    assert [(r.guest, r.kind) for r in records if "fault" in r.kind] == [
        ("g0", "fault"),
        ("other", "fault_end"),
    ]


def test_another_guest_of_a_name_does_not_inherit_its_fault() -> None:
    simulated = host([guest("g0"), guest("g1")], [stuck(1, 10), stuck(3, 2)])
    simulated.advance(seconds(2))
    first = simulated.guests["g0"]
    first.destroy()
    simulated.rename(first, "first")
    second = simulated.guests["g1"]
    second.destroy()
    simulated.rename(second, "g0")
    second.start()

    simulated.advance(seconds(4))

    assert held_kib(simulated, "g0", 4.5) == mib(512)
    assert held_kib(simulated, "g0", 6) == mib(400)


def test_a_stuck_balloon_is_no_help_on_oom() -> None:
    simulated = host([guest("g0", deflate_on_oom=True)], [stuck(0, None)])
    records = followed(simulated)
    simulated.advance(0)
    before = simulated.guests["g0"].memory.figures(0).actual_kib

    simulated.guests["g0"].set_memory(mib(1024))
    simulated.advance(seconds(10))

    assert simulated.guests["g0"].memory.figures(simulated.now_ns).actual_kib == before
    assert [record.kind for record in records] == ["fault"]


def test_statistics_that_were_stale_are_renewed_at_the_next_tick() -> None:
    fault = GuestFault(seconds(2.5), "g0", "statistics-stale", seconds(3.2))
    simulated = host([guest("g0")], [fault])
    simulated.guests["g0"].set_stats_period(2)

    seen = []
    for second in range(10):
        simulated.advance(seconds(second))
        seen.append(simulated.guests["g0"].memory.statistics(simulated.now_ns)["last_update"])

    assert [at - EPOCH_S for at in seen] == [0, 0, 2, 2, 2, 2, 6, 6, 8, 8]


def test_what_was_reported_before_a_jump_keeps_its_date() -> None:
    simulated = host([guest("g0")], [HostFault(seconds(2.5), "clock-step", step_ns=seconds(100))])
    simulated.guests["g0"].set_stats_period(2)

    simulated.advance(seconds(3))
    before = simulated.guests["g0"].memory.statistics(simulated.now_ns)["last_update"]
    simulated.advance(seconds(4))
    after = simulated.guests["g0"].memory.statistics(simulated.now_ns)["last_update"]

    assert (before - EPOCH_S, after - EPOCH_S) == (2, 104)


def test_restarts_of_libvirtd_that_overlap_are_one() -> None:
    simulated = host(
        [guest("g0")],
        [
            HostFault(seconds(1), "libvirtd-restart", seconds(4)),
            HostFault(seconds(2), "libvirtd-restart", seconds(5)),
        ],
    )
    records = followed(simulated)
    told: list[tuple[float, bool]] = []
    simulated.on_outage = lambda away: told.append((simulated.now_ns / 1e9, away))

    simulated.advance(seconds(20))

    assert told == [(1, True), (7, False)]
    assert ends_s(records) == [7]


def test_a_guest_that_takes_a_name_again_has_another_uuid_and_its_declared_size() -> None:
    simulated = host(
        [guest("g0", running=False)],
        [UndefineGuest(seconds(1), "g0"), DefineGuest(seconds(3), "g0")],
    )
    first = simulated.guests["g0"].uuid

    simulated.advance(seconds(2))
    gone = "g0" not in simulated.guests
    simulated.advance(seconds(4))
    again = simulated.guests["g0"]
    again.start()

    assert gone
    assert again.uuid != first
    assert again.memory.figures(simulated.now_ns).actual_kib == mib(512)


def test_counters_begin_anew_with_the_guests_process_and_the_truth_goes_on() -> None:
    load = StartWorkload(0, "g0", Duty(1.0, ms(1)))
    simulated = host([guest("g0", (0,))], [load])
    one = simulated.guests["g0"]
    simulated.advance(seconds(5))
    before = (one.vcpus[0].thread_run_ns(), sum(one.vcpus[0].time_per_pcpu_ns))

    one.destroy()
    simulated.advance(seconds(6))
    one.start()
    vcpu = one.vcpus[0]

    assert before == (seconds(5), seconds(5))
    assert (vcpu.thread_run_ns(), vcpu.thread_delay_ns(), one.cpu_time_ns()) == (0, 0, 0)
    assert sum(vcpu.time_per_pcpu_ns) == 0
    assert vcpu.run_ns() == seconds(5)


def blocked(at_s: float, for_s: float | None = None) -> GuestFault:
    return GuestFault(seconds(at_s), "g0", "blocked", None if for_s is None else seconds(for_s))


@pytest.mark.parametrize("for_s", [None, 100])
def test_a_lock_goes_with_its_process_and_may_be_held_again(for_s: float | None) -> None:
    restart = [LoseGuest(seconds(5), "g0"), StartGuest(seconds(7), "g0")]
    simulated = host([guest("g0")], [blocked(1, for_s), *restart, blocked(20, 5)])
    records = followed(simulated)
    one = simulated.guests["g0"]

    held = []
    for second in (4, 6, 8, 21, 26, 200):
        simulated.advance(seconds(second))
        held.append(one.blocked)

    assert held == [True, False, False, True, False, False]
    assert [(r.time_ns / 1e9, r.kind) for r in records if "fault" in r.kind] == [
        (1, "fault"),
        (5, "fault_end"),
        (20, "fault"),
        (25, "fault_end"),
    ]


def test_a_guest_that_is_off_holds_no_lock() -> None:
    simulated = host([guest("g0")], [blocked(2, 10)])
    records = followed(simulated)
    simulated.advance(seconds(1))
    simulated.guests["g0"].destroy()

    simulated.advance(seconds(3))
    simulated.guests["g0"].start()

    assert not simulated.guests["g0"].blocked
    assert simulated.blocked == {}
    assert [record for record in records if record.kind == "fault"] == []


def missing(at_s: float, for_s: float | None, *fields: str) -> GuestFault:
    for_ns = None if for_s is None else seconds(for_s)
    return GuestFault(seconds(at_s), "g0", "statistics-missing", for_ns, fields)


def test_each_of_two_faults_hides_its_statistics_for_as_long_as_it_lasts() -> None:
    faults = [missing(1, None, "usable"), missing(2, 30), missing(3, 60, "rss"), missing(4, 2)]
    simulated = host([guest("g0")], faults)
    records = followed(simulated)
    one = simulated.guests["g0"]
    one.set_stats_period(1)

    seen = []
    for second in (0, 1, 2, 10, 40, 70):
        simulated.advance(seconds(second))
        shown = one.memory.statistics(simulated.now_ns)
        seen.append([name for name in ("rss", "usable", "unused") if name in shown])

    assert seen == [
        ["rss", "usable", "unused"],
        ["rss", "unused"],
        ["rss"],
        [],
        ["unused"],
        ["rss", "unused"],
    ]
    assert ends_s(records) == [32, 63]
    assert records[-1].detail.endswith("there again: rss")
