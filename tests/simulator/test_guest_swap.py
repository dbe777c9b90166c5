"""Swap in guests and on the host: what goes there, how fast, and whom it slows."""

from __future__ import annotations

from functools import reduce
from operator import add

import pytest
from small_hosts import guest, host

from virtlab.model.scenario import Event, StartWorkload, StopWorkload
from virtlab.model.timeline import EventRecord
from virtlab.model.units import mib, seconds
from virtlab.model.workload import MemoryGrowth
from virtlab.simulator.host import SimulatedHost


def grow(name: str = "g0", rate_mib_s: int = 16, until_mib: int | None = None) -> StartWorkload:
    until = None if until_mib is None else mib(until_mib)
    return StartWorkload(0, name, MemoryGrowth(mib(rate_mib_s), until, then_release=False))


def swapping_guest(*events: Event, **changes: object) -> tuple[SimulatedHost, list[EventRecord]]:
    options: dict[str, object] = {"swap_kib": mib(600), **changes}
    simulated = host([guest("g0", (0,), **options)], events)
    simulated.guests["g0"].set_stats_period(1)
    records: list[EventRecord] = []
    simulated.on_event = records.append
    return simulated, records


def statistics(simulated: SimulatedHost) -> dict[str, float]:
    shown = simulated.guests["g0"].memory.statistics(simulated.now_ns)
    return {name: value / 1024 for name, value in shown.items()}


def consumer_mib(simulated: SimulatedHost) -> float:
    return simulated.guests["g0"].memory.figures(simulated.now_ns).consumer_kib / 1024


def test_the_oom_killer_comes_when_memory_and_swap_are_both_full() -> None:
    simulated, records = swapping_guest(grow())

    simulated.advance(seconds(70))

    kinds = [record.kind for record in records if record.kind in ("guest_swap", "oom_kill")]
    assert kinds == ["guest_swap", "oom_kill"]
    kill = next(record for record in records if record.kind == "oom_kill")
    # On Linux 128 MiB of memory and 600 of swap held 704 to 736 MiB when the killer came; here
    # 336 MiB are free or cache, as without swap, and 600 of swap take the rest.
    assert kill.values["consumer_kib"] == pytest.approx(mib(336 + 600), rel=0.001)


def test_pages_go_out_before_a_kill_and_statistics_count_them() -> None:
    simulated, records = swapping_guest(grow(until_mib=436))

    simulated.advance(seconds(60))

    assert [r.kind for r in records if r.kind == "oom_kill"] == []
    assert consumer_mib(simulated) == 436
    shown = statistics(simulated)
    assert shown["swap_out"] == pytest.approx(100, abs=0.1)
    assert shown["swap_in"] == 0
    assert shown["unused"] == pytest.approx(4, abs=0.1)


def test_a_consumer_is_slowed_to_what_swap_takes() -> None:
    # Measured on Linux: 1300 MiB/s before and 500 to 620 once it swapped.
    simulated, records = swapping_guest(grow(rate_mib_s=1300), swap_kib_s=mib(500))

    simulated.advance(seconds(20))

    begun, killed = (
        next(record.time_ns for record in records if record.kind == kind)
        for kind in ("guest_swap", "oom_kill")
    )
    assert begun == pytest.approx(seconds(336 / 1300), rel=0.001)
    assert killed - begun == pytest.approx(seconds(600 / 500), rel=0.001)


def test_a_balloon_takes_what_swap_can_hold_at_the_speed_of_swap() -> None:
    simulated, records = swapping_guest(swap_kib_s=mib(20))
    simulated.guests["g0"].set_memory(mib(132))

    simulated.advance(seconds(2))
    on_the_way = simulated.guests["g0"].memory.figures(simulated.now_ns).actual_kib
    simulated.advance(seconds(4))

    # 186 MiB are free and 150 cache; 176 would be left, 44 more must go to swap.
    assert mib(132) < on_the_way < mib(176)
    assert simulated.guests["g0"].memory.figures(simulated.now_ns).actual_kib == mib(132)
    assert statistics(simulated)["swap_out"] == pytest.approx(44, abs=0.1)
    assert [r.kind for r in records if r.kind != "guest_swap"] == []


def test_what_idle_processes_had_in_swap_comes_back_where_memory_is_free() -> None:
    simulated, _ = swapping_guest(grow(until_mib=400), StopWorkload(seconds(40), "g0", "memory"))
    simulated.advance(seconds(39))
    out_mib = statistics(simulated)["swap_out"]

    simulated.advance(seconds(50))
    shown = statistics(simulated)
    simulated.advance(seconds(200))

    assert out_mib == pytest.approx(64, abs=0.1)  # all of it of idle processes
    # 60 faults a second bring eight pages each.
    assert shown["swap_in"] == pytest.approx(10 * 60 * 32 / 1024, rel=0.1)
    assert statistics(simulated)["swap_in"] == pytest.approx(64, abs=0.1)


def test_what_an_ended_consumer_had_in_swap_is_free_without_a_read() -> None:
    simulated, _ = swapping_guest(grow(until_mib=600), StopWorkload(seconds(50), "g0", "memory"))

    simulated.advance(seconds(200))

    # Of 264 MiB that went out 72 were of idle processes, and only these come back.
    shown = statistics(simulated)
    assert shown["swap_out"] == pytest.approx(264, abs=0.2)
    assert shown["swap_in"] == pytest.approx(72, abs=0.2)


def two_consumers(swap_mib_s: int | None) -> SimulatedHost:
    # 3 GiB, 1 of them the host's own: the guests have 1984 MiB before it swaps.
    speed = None if swap_mib_s is None else mib(swap_mib_s)
    names = ("g0", "g1")
    guests = [guest(n, (i,), memory_kib=mib(2048)) for i, n in enumerate(names)]
    events = [grow(name, 64) for name in names]
    return host(guests, events, memory_mib=3072, swap_mib=4096, swap_kib_s=speed)


def consumed_mib(simulated: SimulatedHost) -> list[float]:
    now_ns = simulated.now_ns
    each = [one.memory.figures(now_ns).consumer_kib for one in simulated.guests.values()]
    return [kib / 1024 for kib in each]


def test_a_host_that_swaps_slows_all_that_touch_new_pages_to_what_its_disk_takes() -> None:
    simulated = two_consumers(20)
    simulated.advance(seconds(20))
    assert simulated.memory().swap_used_kib > 0

    before = consumed_mib(simulated)
    simulated.advance(seconds(30))
    after = consumed_mib(simulated)

    assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx([100, 100], abs=0.5)


def test_a_host_that_swaps_again_below_its_disks_speed_slows_nobody() -> None:
    fast, free = two_consumers(1000), two_consumers(None)
    for simulated in (fast, free):
        simulated.advance(seconds(18))

    assert fast.memory().swap_used_kib > 0
    assert consumed_mib(fast) == consumed_mib(free)


def test_a_slowed_host_runs_at_full_pace_again_once_memory_is_free() -> None:
    simulated = two_consumers(20)
    simulated.advance(seconds(20))
    simulated.guests["g1"].destroy()
    simulated.advance(seconds(21))

    before = consumed_mib(simulated)[0]
    simulated.advance(seconds(22))

    assert consumed_mib(simulated)[0] - before == pytest.approx(64, abs=0.5)


def test_the_pace_is_the_same_float_under_every_python() -> None:
    # The built-in sum of these rates is another float from Python 3.12 on, which compensates.
    rates_kib_s = (37_975, 84_422, 32_815, 84_534, 9_683, 81_179)
    guests = [guest(f"g{n}", (n,), memory_kib=mib(2048)) for n in range(len(rates_kib_s))]
    events = [
        StartWorkload(0, f"g{n}", MemoryGrowth(rate, None)) for n, rate in enumerate(rates_kib_s)
    ]
    simulated = host(guests, events, pcpus=6, memory_mib=3000, swap_mib=9000, swap_kib_s=20_000)

    simulated.advance(seconds(40))

    added_one_by_one = reduce(add, [rate / 1e9 for rate in rates_kib_s])
    assert simulated.host_memory.pace == 20_000 / 1e9 / added_one_by_one


def test_a_reboot_forgets_what_lay_in_swap() -> None:
    simulated, _ = swapping_guest(grow(until_mib=400))
    fresh_mib = statistics(simulated)["unused"]
    simulated.advance(seconds(39))
    swapped_mib = statistics(simulated)["swap_out"]

    simulated.guests["g0"].reboot()

    assert swapped_mib > 0
    assert statistics(simulated)["swap_out"] == 0
    assert statistics(simulated)["unused"] == fresh_mib
