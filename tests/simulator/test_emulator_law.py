"""QEMU's own threads run on pCPUs where a scenario says how much they use."""

from __future__ import annotations

import pytest
from small_hosts import guest, host

from virtlab.model.scenario import StartWorkload
from virtlab.model.units import NS_PER_S, ms
from virtlab.model.workload import Batch, Duty
from virtlab.simulator.emulator_law import emulator_duty
from virtlab.simulator.host import SimulatedHost


def _host(*, load: float = 1.0, guests: int = 1, **changes: object) -> SimulatedHost:
    """Return guests whose vCPU is bound to pCPU 0 of two."""
    return host(
        [guest(f"g{n}", (0,), **changes) for n in range(guests)],
        [StartWorkload(0, f"g{n}", Duty(load, ms(0.5))) for n in range(guests)],
        pcpus=2,
    )


def _busy_shares(simulated: SimulatedHost, seconds: int = 20) -> list[float]:
    before = simulated.pcpu_busy_ns()
    simulated.advance(simulated.now_ns + seconds * NS_PER_S)
    after = simulated.pcpu_busy_ns()
    return [(b - a) / (seconds * NS_PER_S) for a, b in zip(before, after, strict=True)]


def test_it_wants_a_part_of_what_the_loads_want_and_one_pcpu_at_most() -> None:
    assert emulator_duty(0.1, [0.5, 0.3]) == pytest.approx(0.08)
    assert emulator_duty(1.0, [1.0] * 4) == 1.0


def test_it_loads_the_pcpu_to_which_it_is_bound() -> None:
    simulated = _host(emulator_share=0.2, emulator_affinity=(1,))

    assert _busy_shares(simulated) == pytest.approx([1.0, 0.2], abs=0.005)
    each = simulated.guests["g0"]
    assert each.cpu_time_ns() == pytest.approx(1.2 * each.vcpus[0].run_ns(), rel=0.005)

    each.pin_emulator(frozenset({0}))
    assert _busy_shares(simulated) == pytest.approx([1.0, 0.0], abs=1e-6)
    assert each.vcpus[0].delay_ns() > NS_PER_S  # the two wait for one another


def test_left_out_it_loads_no_pcpu_and_two_percent_are_counted() -> None:
    simulated = _host(emulator_affinity=(1,))

    assert _busy_shares(simulated) == [1.0, 0.0]
    each = simulated.guests["g0"]
    assert each.cpu_time_ns() == each.vcpus[0].run_ns() * 102 // 100


def test_it_ends_and_pauses_with_its_guest_and_its_loads() -> None:
    simulated = host(
        [guest("g", (0,), emulator_share=0.5, emulator_affinity=(1,))],
        [StartWorkload(0, "g", Batch(2 * NS_PER_S))],
        pcpus=2,
    )

    assert _busy_shares(simulated, 10) == pytest.approx([0.2, 0.1], abs=0.01)
    simulated.scheduler.set_load(simulated.guests["g"].vcpus[0], 0.4)
    simulated.guests["g"].loads_changed()
    assert _busy_shares(simulated, 10)[1] == pytest.approx(0.2, abs=0.01)
    simulated.guests["g"].suspend()
    assert _busy_shares(simulated, 10) == [0.0, 0.0]
    simulated.guests["g"].resume()
    assert _busy_shares(simulated, 10)[1] == pytest.approx(0.2, abs=0.01)
    simulated.guests["g"].destroy()
    assert _busy_shares(simulated, 10) == [0.0, 0.0]


def test_short_loops_are_served_in_turn_beside_it() -> None:
    beside = _host(load=0.3, guests=2, emulator_share=0.01, emulator_affinity=(0,))
    alone = _host(load=0.3, guests=2)

    ((run, wait),) = {_run_and_wait(beside)}
    ((run_alone, wait_alone),) = {_run_and_wait(alone)}

    # Taking turns at random they would wait 0.09 of the time.
    assert wait_alone == pytest.approx(0.012, abs=0.004)
    assert wait == pytest.approx(wait_alone, abs=0.01)
    assert run == pytest.approx(run_alone, abs=0.005)


def _run_and_wait(simulated: SimulatedHost) -> tuple[float, float]:
    simulated.advance(50 * NS_PER_S)
    vcpu = simulated.guests["g0"].vcpus[0]
    return vcpu.run_ns() / (50 * NS_PER_S), vcpu.delay_ns() / (50 * NS_PER_S)


def test_quotas_hold_for_it_and_for_all_threads_together() -> None:
    limited = (("emulator_quota", 10_000),)
    simulated = _host(emulator_share=0.5, emulator_affinity=(1,), tuning=limited)
    assert _busy_shares(simulated) == pytest.approx([1.0, 0.1], abs=1e-6)

    simulated.guests["g0"].tune({"emulator_quota": -1, "global_quota": 75_000})
    assert sum(_busy_shares(simulated)) == pytest.approx(0.75, abs=1e-6)


def test_an_unbound_one_finds_a_pcpu_that_has_time() -> None:
    simulated = _host(emulator_share=0.3)

    assert sum(_busy_shares(simulated)) == pytest.approx(1.3, abs=0.1)


def test_a_large_host_has_them_with_numpy_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")

    def figures() -> list[tuple[int, int, int]]:
        specs = [
            guest(
                f"g{n}", (n % 30,), noise=0.03,
                emulator_share=(None, 0.05, 0.4)[n % 3],
                emulator_affinity=(n % 30,) if n % 2 else None,
            )
            for n in range(300)
        ]  # fmt: skip
        starts = [StartWorkload(0, f"g{n}", Duty(0.15, ms(0.5))) for n in range(0, 300, 2)]
        simulated = host(specs, starts, pcpus=30, memory_mib=250_000)
        simulated.advance(4 * NS_PER_S)
        guests = simulated.guests.values()
        return [(g.vcpus[0].run_ns(), g.vcpus[0].delay_ns(), g.cpu_time_ns()) for g in guests]

    with_numpy = figures()
    monkeypatch.setattr("virtlab.simulator.scheduler.numpy_or_none", lambda: None)

    assert figures() == with_numpy
