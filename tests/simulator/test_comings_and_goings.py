"""A host at which guests come and go for ever stays as large as the guests that are there."""

from __future__ import annotations

import gc
import sys
from array import array
from weakref import WeakSet

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host

from virtlab.model.scenario import StartWorkload
from virtlab.model.units import NS_PER_MS, NS_PER_S, ms
from virtlab.model.workload import Duty
from virtlab.simulator import scheduler
from virtlab.simulator.guest import SimulatedGuest
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.noise_tables import NoiseTables
from virtlab.simulator.seat_times import SeatTimes

_GUESTS = 300


def _large_host() -> SimulatedHost:
    return host(
        [guest(f"g{n}", (n % 50,), noise=0.03) for n in range(_GUESTS)],
        [StartWorkload(0, f"g{n}", Duty(0.3, ms(0.5))) for n in range(0, _GUESTS, 3)],
        pcpus=50,
        memory_mib=1_000_000,
    )


def _come(simulated: SimulatedHost, name: str, number: int) -> SimulatedGuest:
    """Let a client define and start a guest of two vCPUs, with a load that nobody had before."""
    spec = guest(name, vcpus=2, affinity=((number % 50,), None), noise=0.03)
    came = simulated.define(spec)
    came.start()
    for vcpu in came.vcpus:
        duty = (1 + number % 9_000) / 10_000
        simulated.scheduler.set_load(vcpu, duty, period_ns=ms(0.5))
    return came


def _go(simulated: SimulatedHost, gone: SimulatedGuest) -> None:
    gone.destroy()
    simulated.forget(gone)


@pytest.mark.parametrize(("with_numpy", "guests"), [(True, 2_000), (False, 200)])
def test_thousands_of_guests_that_came_and_went_leave_nothing(
    with_numpy: bool, guests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_numpy:
        pytest.importorskip("numpy")
    else:
        monkeypatch.setattr(scheduler, "numpy_or_none", lambda: None)
    simulated = _large_host()
    seen: WeakSet[SimulatedGuest] = WeakSet()
    there: list[SimulatedGuest] = []
    events_max = 0

    for number in range(guests):
        came = _come(simulated, f"new-{number}", number)
        seen.add(came)
        there.append(came)
        if len(there) > 5:
            _go(simulated, there.pop(0))
        if number % 100 == 0:
            simulated.advance(simulated.now_ns + 30 * NS_PER_MS)
            events_max = max(events_max, len(simulated.queue))
    del came
    while there:
        _go(simulated, there.pop())
    simulated.advance(simulated.now_ns + NS_PER_S)
    gc.collect()

    assert len(seen) == 0
    assert len(simulated.guests) == _GUESTS
    assert events_max < 1_000
    assert simulated.host_memory.held_kib() == sum(
        each.memory.rss_at(simulated.now_ns) for each in simulated.guests.values()
    )
    columns = simulated.scheduler.columns
    assert (columns is not None) == with_numpy
    if columns is not None:
        assert len(columns.vcpus) < _GUESTS + 20
        assert len(columns["run_ns"]) == 4096
        assert len(columns.masks.masks) == 0


def test_a_guest_that_is_gone_keeps_its_counters_and_nobody_gets_them() -> None:
    pytest.importorskip("numpy")
    simulated = _large_host()
    gone = _come(simulated, "gone", 5)
    simulated.advance(3 * NS_PER_S)
    before = [(v.run_ns(), v.delay_ns(), list(v.time_per_pcpu_ns)) for v in gone.vcpus]
    _go(simulated, gone)
    came = _come(simulated, "came", 7)

    assert [v.run_ns() for v in came.vcpus] == [0, 0]
    simulated.advance(6 * NS_PER_S)

    assert [(v.run_ns(), v.delay_ns(), list(v.time_per_pcpu_ns)) for v in gone.vcpus] == before
    assert all(vcpu.run_ns() > 0 for vcpu in came.vcpus)


def test_a_guest_that_the_scenario_brings_back_keeps_its_row_and_counters() -> None:
    pytest.importorskip("numpy")
    simulated = _large_host()
    simulated.advance(NS_PER_S)
    known = simulated.guests["g3"]
    ran_ns = known.vcpus[0].run_ns()
    _go(simulated, known)

    _come(simulated, "came", 7)

    assert known.vcpus[0].run_ns() == ran_ns > 0


def test_rows_that_are_used_again_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")

    def figures() -> list[tuple[int, int]]:
        simulated = _large_host()
        there: list[SimulatedGuest] = []
        for number in range(60):
            there.append(_come(simulated, f"new-{number}", number))
            if number % 3 == 2:
                _go(simulated, there.pop(number * 7 % len(there)))
            simulated.advance(simulated.now_ns + 90 * NS_PER_MS)
        vcpus = [vcpu for each in simulated.guests.values() for vcpu in each.vcpus]
        return [(vcpu.run_ns(), vcpu.delay_ns()) for vcpu in vcpus]

    with_numpy = figures()
    monkeypatch.setattr(scheduler, "numpy_or_none", lambda: None)

    assert figures() == with_numpy


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 2**40)), max_size=60))
def test_seat_times_are_sums_in_ten_bytes_a_pcpu(moves: list[tuple[int, int]]) -> None:
    times, sums = SeatTimes(), dict[int, int]()

    for pcpu, ran_ns in moves:
        times.add(pcpu, ran_ns)
        sums[pcpu] = sums.get(pcpu, 0) + ran_ns

    assert list(times) == sorted(sums.items())
    # Arrays have some room to grow; a dictionary of this would take a hundred bytes for each.
    size = sum(sys.getsizeof(part) for part in (times._pcpus, times._ran_ns))
    assert size < 2 * sys.getsizeof(array("q")) + 12 * len(sums) + 120


def test_noise_of_loads_that_are_gone_leaves_its_place_to_others() -> None:
    numpy = pytest.importorskip("numpy")
    tables = NoiseTables(numpy)
    rows = [0] * 40

    for number in range(10_000):
        at = number % len(rows)
        rows[at] = tables.change(rows[at], (number / 1e4, number / 1e4 + 0.01, 1.0))
        assert list(tables.values[rows[at]][: tables.counts[rows[at]]]) == [
            number / 1e4, number / 1e4 + 0.01, 1.0,
        ]  # fmt: skip

    assert len(set(rows)) == len(rows)
    assert len(tables.counts) <= 64
    assert [tables.change(row, ()) for row in rows] == [0] * 40
