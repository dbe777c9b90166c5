"""The host's load average, held against the exponential that the kernel's numbers stand for."""

from __future__ import annotations

from math import exp, fsum
from random import Random

import pytest
from small_hosts import guest, host, loops

from virtlab.model.scenario import StartWorkload, StopGuest
from virtlab.model.units import BOOT_S, ms, seconds
from virtlab.model.workload import Duty
from virtlab.simulator.guest import GuestState
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.load_average import FIXED_1, LOAD_STEP_NS


def averages(simulated: SimulatedHost) -> list[float]:
    return [load / FIXED_1 for load in simulated.load.fixed]


@pytest.mark.parametrize("after_s", [20, 60, 300, 1200])
def test_given_six_busy_vcpus_then_the_averages_approach_six_as_exponentials(after_s: int) -> None:
    simulated = loops([1.0] * 6, pcpus=2)  # two run and four wait: all are runnable

    simulated.advance(seconds(after_s))

    looks = seconds(BOOT_S + after_s) // LOAD_STEP_NS - seconds(BOOT_S) // LOAD_STEP_NS
    for found, minutes in zip(averages(simulated), (1, 5, 15), strict=True):
        assert found == pytest.approx(6 * (1 - exp(-looks * 5 / (60 * minutes))), abs=0.1)


def test_given_all_guests_have_left_then_the_load_falls_to_nothing() -> None:
    guests = [guest("a", noise=0.9), guest("b", noise=0.9)]
    simulated = host(guests, [StopGuest(seconds(60), "a"), StopGuest(seconds(60), "b")])
    simulated.advance(seconds(62))
    before = averages(simulated)

    simulated.advance(seconds(3600))

    assert all(load > 0.0 for load in before)
    assert averages(simulated)[0] == 0.0


def test_a_host_starts_without_load_and_looks_first_on_the_kernels_grid() -> None:
    simulated = loops([1.0] * 4)

    simulated.advance(0)
    first = averages(simulated)
    simulated.advance(20 * LOAD_STEP_NS - seconds(100) - 1)
    just_before = averages(simulated)
    simulated.advance(20 * LOAD_STEP_NS - seconds(100))

    assert first == just_before == [0.0, 0.0, 0.0]
    assert averages(simulated)[0] == pytest.approx(4 * (1 - exp(-1 / 12)), abs=0.01)


def test_many_vcpus_in_columns_are_counted_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    guests = [guest(f"g{number:03}", noise=0.8) for number in range(40)]
    one_by_one = host(guests)
    monkeypatch.setattr("virtlab.simulator.scheduler._COLUMNS_MIN", 1)
    in_columns = host(guests)

    for simulated in (one_by_one, in_columns):
        simulated.advance(seconds(120))

    assert in_columns.scheduler.columns is not None
    assert one_by_one.scheduler.columns is None
    assert in_columns.load.fixed == one_by_one.load.fixed


def test_seats_that_guests_have_left_are_not_counted_in_columns() -> None:
    pytest.importorskip("numpy")
    names = [f"g{number:03}" for number in range(300)]
    loads = [StartWorkload(0, name, Duty(0.3, ms(0.5))) for name in names]
    simulated = host([guest(name) for name in names], loads, pcpus=64, memory_mib=400_000)
    assert simulated.scheduler.columns is not None
    random = Random(3)
    for _ in range(60):
        simulated.advance(simulated.now_ns + random.randint(1, 200_000_000))
        chosen = simulated.guests[random.choice(names)]
        (chosen.suspend if chosen.state is GuestState.RUNNING else chosen.resume)()
        simulated.advance(simulated.now_ns)

        vcpus = [vcpu for each in simulated.guests.values() for vcpu in each.vcpus]
        assert simulated.scheduler.runnable() == fsum(v.run_rate + v.wait_rate for v in vcpus)
