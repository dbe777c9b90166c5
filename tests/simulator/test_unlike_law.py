"""Unlike loops on one pCPU share it as they were measured to, where the other laws are far off."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hosts import guest, host, loops

from virtlab.model.scenario import GuestSpec, PinVcpu, StartWorkload, StopWorkload
from virtlab.model.units import NS_PER_S, ms
from virtlab.model.workload import Batch, Duty
from virtlab.simulator.cpu_law import added, sharing
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.unlike_law import with_gains

Load = tuple[float, float]  # duty and period in ms
_BUSY: Load = (1.0, 0.5)


def _host(guests: Sequence[Sequence[Load]], shares: Sequence[int] = ()) -> SimulatedHost:
    """Return a host of two pCPUs with all on pCPU 0; each guest has a vCPU for each load."""
    specs: list[GuestSpec] = []
    starts: list[StartWorkload] = []
    for n, own in enumerate(guests):
        tuning = (("cpu_shares", shares[n]),) if shares else ()
        specs.append(guest(f"g{n}", vcpus=len(own), affinity=((0,),) * len(own), tuning=tuning))
        starts += [
            StartWorkload(0, f"g{n}", Duty(duty, ms(period)), (index,))
            for index, (duty, period) in enumerate(own)
        ]
    return host(specs, starts, pcpus=2)


def _shares(simulated: SimulatedHost, seconds: int = 100) -> list[tuple[float, float]]:
    vcpus = [vcpu for each in simulated.guests.values() for vcpu in each.vcpus]
    before = [(vcpu.run_ns(), vcpu.delay_ns()) for vcpu in vcpus]
    span_ns = seconds * NS_PER_S
    simulated.advance(simulated.now_ns + span_ns)
    return [
        ((vcpu.run_ns() - run) / span_ns, (vcpu.delay_ns() - delay) / span_ns)
        for vcpu, (run, delay) in zip(vcpus, before, strict=True)
    ]


# Measured on Linux 6.18 with nothing else at work (docs/explanation/linux.md): guests with their
# loads, shares of guests, share and delay of each vCPU. Loops want what they turned out to want.
_LINUX = [
    ([[_BUSY], [(0.497, 0.5)]], (), [(0.517, 0.483), (0.483, 0.029)]),
    ([[(0.348, 0.5)], [(0.358, 50)]], (), [(0.329, 0.054), (0.309, 0.136)]),
    ([[(0.495, 0.5)], [(0.501, 2.0)]], (), [(0.322, 0.349), (0.450, 0.102)]),
    (
        [[(0.191, 0.5)], [(0.353, 3.0)], [(0.505, 20)]], (),
        [(0.133, 0.302), (0.282, 0.202), (0.389, 0.229)],
    ),
    (
        [[(0.346, 0.5)], [(0.346, 0.5)], [(0.203, 3.0)], [(0.203, 3.0)]], (),
        [(0.246, 0.288)] * 2 + [(0.174, 0.142)] * 2,
    ),
    (
        [[(0.496, 0.5)], [(0.496, 0.5)], [(0.508, 0.5)], [(0.508, 0.5)]], (1024, 1024, 335, 335),
        [(0.346, 0.303)] * 2 + [(0.154, 0.697)] * 2,
    ),
    (
        [[(0.5, 0.5)], [(0.5, 0.5)], [(0.504, 0.5)], [(0.504, 0.5)]], (1024, 1024, 512, 512),
        [(0.323, 0.354)] * 2 + [(0.177, 0.649)] * 2,
    ),
    (
        [[(0.191, 0.5)] * 4, [(0.505, 0.5)], [(0.505, 0.5)]], (),
        [(0.097, 0.491)] * 4 + [(0.305, 0.396)] * 2,
    ),
    ([[_BUSY, (0.193, 0.5)], [_BUSY]], (), [(0.406, 0.593), (0.094, 0.512), (0.499, 0.502)]),
]  # fmt: skip


@pytest.mark.parametrize(("guests", "shares", "linux"), _LINUX)
def test_unlike_loops_are_near_to_what_was_measured_on_linux(
    guests: list[list[Load]], shares: tuple[int, ...], linux: list[tuple[float, float]]
) -> None:
    got = _shares(_host(guests, shares))

    for (run, wait), (linux_run, linux_wait) in zip(got, linux, strict=True):
        assert run == pytest.approx(linux_run, abs=0.035)
        assert wait == pytest.approx(linux_wait, abs=0.065)


@pytest.mark.parametrize(
    "loads",
    [[_BUSY, (0.2, 0.5), (0.2, 0.5)], [_BUSY, _BUSY, (0.36, 0.5)], [(0.36, 50), _BUSY]],
    ids=["two short ones beside one busy", "one short one beside two busy", "long work"],
)
def test_what_the_other_law_has_right_stays_with_it(loads: list[Load]) -> None:
    simulated = _host([[load] for load in loads])
    simulated.advance(NS_PER_S // 2)

    vcpus = [each.vcpus[0] for each in simulated.guests.values()]
    law = sharing([vcpu.demand for vcpu in vcpus])
    assert [(vcpu.run_rate, vcpu.wait_rate) for vcpu in vcpus] == list(law)


def test_a_busy_vcpu_has_all_that_a_short_loop_leaves() -> None:
    busy, short = _shares(_host([[_BUSY], [(0.2, 0.5)]]))

    assert short == pytest.approx((0.2, 0.0), abs=0.01)
    assert busy[0] + short[0] == pytest.approx(1.0, abs=1e-6)


def test_idle_vcpus_keep_their_little_time_beside_unlike_loops() -> None:
    specs = [guest(f"g{n}", (0,), noise=0.03) for n in range(4)]
    starts = [StartWorkload(0, "g0", Batch(10**13)), StartWorkload(0, "g1", Duty(0.36, ms(0.5)))]
    shares = _shares(host(specs, starts, pcpus=2))

    assert added([run for run, _ in shares]) == pytest.approx(1.0, abs=1e-6)
    for run, wait in shares[2:]:
        assert 0.005 < run < 0.02
        assert wait < 0.1


def test_the_order_of_guests_makes_no_difference() -> None:
    loads = [(0.5, 2.0), (0.36, 0.5), (0.2, 5.0)]
    rates = []
    for order in ((0, 1, 2), (2, 0, 1)):
        simulated = _host([[loads[n]] for n in order])
        for each in simulated.guests.values():
            each.vcpus[0].draw = lambda: 0.5  # no noise
        simulated.advance(3 * NS_PER_S)
        vcpus = [each.vcpus[0] for each in simulated.guests.values()]
        rates.append({loads[n]: v.run_rate for n, v in zip(order, vcpus, strict=True)})

    assert rates[0] == pytest.approx(rates[1])


def test_a_pcpu_follows_who_comes_and_goes() -> None:
    simulated = host(
        [guest("busy", (0,)), guest("short", (0,)), guest("other", (1,))],
        [
            StartWorkload(0, "busy", Duty(1.0, ms(0.5))),
            StartWorkload(0, "short", Duty(0.36, ms(0.5))),
            StartWorkload(0, "other", Duty(1.0, ms(0.5))),
            PinVcpu(100 * NS_PER_S, "other", 0, (0,)),
            StopWorkload(200 * NS_PER_S, "busy", "cpu"),
            StopWorkload(200 * NS_PER_S, "other", "cpu"),
        ],
        pcpus=2,
    )
    runs = [_shares(simulated)[1][0] for _ in range(3)]

    # Beside one busy vCPU, beside two as by processor sharing, and alone.
    assert runs == pytest.approx([0.35, sharing((1.0, 1.0, 0.36))[2][0], 0.36], abs=0.012)


@pytest.mark.parametrize("masks", [[None, None], [(0, 1), (0,)]])
def test_loops_that_may_wake_up_elsewhere_are_not_played(
    masks: list[tuple[int, ...] | None],
) -> None:
    simulated = loops([0.3, 1.0], masks, pcpus=2)
    simulated.advance(2 * NS_PER_S)

    assert all(pcpu.gains == () for pcpu in simulated.scheduler.pcpus)


def test_large_hosts_keep_to_the_laws_in_closed_form() -> None:
    few, many = (
        loops([0.3, 1.0], [(0,)] * 2 + [(1,)] * (count - 2), pcpus=2)
        if count == 2
        else host(
            [guest(f"g{n}", (0,) if n < 2 else (1,)) for n in range(count)],
            [StartWorkload(0, f"g{n}", Duty(d, ms(0.5))) for n, d in enumerate((0.3, 1.0))],
            pcpus=2,
            memory_mib=300_000,
        )
        for count in (2, 256)
    )
    few.advance(NS_PER_S)
    many.advance(NS_PER_S)

    assert few.scheduler.pcpus[0].gains
    assert not many.scheduler.pcpus[0].gains


_DEMAND = st.one_of(st.just(1.0), st.floats(0.01, 0.9998))


@given(
    st.lists(st.tuples(_DEMAND, st.floats(0.3, 2.0)), min_size=1, max_size=8),
    st.lists(st.floats(0.0, 0.03), max_size=4),
)
def test_gains_never_give_more_than_there_is(
    loads: list[tuple[float, float]], idle: list[float]
) -> None:
    demands = [*[demand for demand, _ in loads], *idle]
    gains = [*[gain for _, gain in loads], *[1.0] * len(idle)]
    law = sharing(demands)

    shares = with_gains(law, demands, gains)

    total = added([run for run, _ in shares])
    assert total <= 1.0 + 1e-9
    if 1.0 in demands:
        assert total == pytest.approx(1.0)
    for demand, (run, wait) in zip(demands, shares, strict=True):
        assert -1e-12 <= run <= demand + 1e-9
        assert run == pytest.approx(demand * (1.0 - wait), abs=1e-9)
    assert shares[len(loads) :] == law[len(loads) :]
