"""Weights share a pCPU as on Linux, and the vCPUs of one guest are weighed together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host

from virtlab.model.scenario import GuestSpec, PinVcpu, StartWorkload, StopWorkload
from virtlab.model.units import NS_PER_MS, NS_PER_S, ms
from virtlab.model.workload import Duty
from virtlab.simulator.cpu_law import sharing
from virtlab.simulator.crowd_law import numpy_or_none
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.weight_law import table_by_weight, weighted_sharing

Vcpu = tuple[float, int]  # the duty of its load, and the pCPU to which it is bound


def _weighed(duties: Sequence[float], weights: Sequence[int]) -> list[tuple[float, float]]:
    """Return the shares of guests of one vCPU."""
    total = sum(run for run, _ in sharing(tuple(duties)))
    alone = [0.0] * len(duties)
    return list(weighted_sharing(duties, weights, alone, range(len(duties)), total))


@pytest.mark.parametrize(
    ("weights", "first"),
    [((1024, 335), 0.753), ((1024, 512), 0.665)],
    ids=["nice 0 and 5", "shares 1024 and 512"],
)
def test_busy_loops_share_by_weight_as_on_linux(weights: tuple[int, int], first: float) -> None:
    (run, wait), _ = _weighed((1.0, 1.0), weights)

    assert run == pytest.approx(first, abs=0.005)
    assert wait == pytest.approx(1 - run)


@pytest.mark.parametrize(
    ("duties", "weights", "linux"),
    [
        ((0.3, 0.6, 0.8), (1024, 335, 110), (0.267, 0.412, 0.274)),
        ((0.5,) * 4, (1024, 1024, 335, 335), (0.310, 0.310, 0.174, 0.174)),
    ],
)
def test_weighed_loops_of_50_ms_are_near_to_what_was_measured_on_linux(
    duties: tuple[float, ...], weights: tuple[int, ...], linux: tuple[float, ...]
) -> None:
    runs = [run for run, _ in _weighed(duties, weights)]

    assert runs == pytest.approx(linux, abs=0.02)


def _guests(guests: Sequence[Sequence[Vcpu]]) -> SimulatedHost:
    """Return a host of two pCPUs with guests named g0, g1 ... of which each vCPU has a load."""
    specs: list[GuestSpec] = []
    starts: list[StartWorkload] = []
    for number, vcpus in enumerate(guests):
        name = f"g{number}"
        masks = tuple((at,) for _, at in vcpus)
        specs.append(guest(name, vcpus=len(vcpus), affinity=masks))
        for index, (duty, _) in enumerate(vcpus):
            starts.append(StartWorkload(0, name, Duty(duty, ms(0.5)), (index,)))
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


_BUSY, _HALF, _THIRD, _FIFTH = (1.0, 0), (0.5, 0), (0.36, 0), (0.2, 0)
_BUSY_1, _HALF_1, _THIRD_1, _FIFTH_1 = (1.0, 1), (0.5, 1), (0.36, 1), (0.2, 1)


@pytest.mark.parametrize(
    ("guests", "linux"),
    [
        ([[_BUSY] * 4, [_BUSY]], [0.124, 0.124, 0.124, 0.124, 0.501]),
        ([[_BUSY] * 2, [_BUSY], [_BUSY]], [0.168, 0.168, 0.332, 0.332]),
        ([[_HALF] * 4, [_BUSY]], [0.125, 0.125, 0.125, 0.125, 0.500]),
        ([[_FIFTH] * 4, [_HALF], [_HALF]], [0.097, 0.097, 0.097, 0.097, 0.305, 0.306]),
        ([[_THIRD] * 3, [_THIRD]], [0.224, 0.224, 0.224, 0.270]),
        ([[_BUSY, _FIFTH], [_BUSY]], [0.406, 0.094, 0.499]),
        ([[_BUSY, _HALF_1], [_BUSY]], [0.398, 0.497, 0.601]),
        ([[_BUSY, _FIFTH_1], [_BUSY]], [0.445, 0.199, 0.554]),
        ([[_THIRD, _THIRD_1], [_THIRD], [_HALF]], [0.254, 0.348, 0.279, 0.363]),
        ([[_BUSY, _BUSY_1], [_BUSY]], [0.334, 0.988, 0.666]),
        ([[_BUSY, _BUSY], [_BUSY, _BUSY_1]], [0.334, 0.334, 0.335, 0.989]),
    ],
)  # fmt: skip
def test_guests_are_weighed_as_wholes_as_on_linux(
    guests: list[list[Vcpu]], linux: list[float]
) -> None:
    runs = [run for run, _ in _shares(_guests(guests))]

    assert runs == pytest.approx(linux, abs=0.031)


def test_four_busy_vcpus_of_a_guest_have_together_what_a_guest_of_one_has() -> None:
    runs = [run for run, _ in _shares(_guests([[_BUSY] * 4, [_BUSY]]))]

    assert runs == pytest.approx([0.125] * 4 + [0.5], abs=1e-6)


def test_a_guest_has_its_weight_back_where_its_other_load_ends() -> None:
    simulated = _guests([[_BUSY, _BUSY_1], [_BUSY]])
    assert _shares(simulated, 10)[0][0] == pytest.approx(1 / 3, abs=1e-6)

    guest_0 = simulated.guests["g0"]
    simulated.scheduler.set_load(guest_0.vcpus[1], 0.0)

    assert _shares(simulated, 10)[0][0] == pytest.approx(1 / 2, abs=1e-6)


def test_a_paused_guest_and_a_lone_vcpu_count_for_nothing_elsewhere() -> None:
    simulated = _guests([[_BUSY, _BUSY_1], [_BUSY]])
    simulated.advance(NS_PER_S)
    simulated.guests["g0"].suspend()
    simulated.guests["g0"].resume()

    assert _shares(simulated, 10)[0][0] == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize("duty", [0.21, 0.36, 0.5, 1.0])
def test_guests_that_are_alike_share_as_by_the_exact_law(duty: float) -> None:
    # Two guests of two vCPUs each on one pCPU: four vCPUs of equal weight.
    alike = _shares(_guests([[(duty, 0)] * 2] * 2))
    alone = _shares(_guests([[(duty, 0)]] * 4))

    # Each draws its noise from a stream of its own.
    assert sum(run for run, _ in alike) == pytest.approx(sum(run for run, _ in alone), abs=4e-3)
    assert sum(wait for _, wait in alike) == pytest.approx(sum(w for _, w in alone), abs=1e-2)


def _exact(guests: Sequence[Sequence[float]], weights: Sequence[int]) -> list[float]:
    """Return what vCPUs on one pCPU run, by the Markov chain of loops with exponential rounds.

    Each guest that is there has its weight, and those of its vCPUs that are there have equal parts.
    """
    vcpus = [(n, duty) for n, own in enumerate(guests) for duty in own]
    states = list(product((0, 1), repeat=len(vcpus)))
    rates = []  # of each state: what each of its vCPUs runs
    for state in states:
        there = [sum(s for s, (g, _) in zip(state, vcpus, strict=True) if g == n)
                 for n in range(len(guests))]  # fmt: skip
        every = sum(w for w, k in zip(weights, there, strict=True) if k)
        rates.append([weights[g] / every / there[g] if here else 0.0
                      for here, (g, _) in zip(state, vcpus, strict=True)])  # fmt: skip
    chances = [1.0 / len(states)] * len(states)
    step = 0.02
    for _ in range(20_000):
        after = chances[:]
        for at, (state, chance) in enumerate(zip(states, chances, strict=True)):
            for n, (_, duty) in enumerate(vcpus):
                # Rounds of unit length: work ends at 1 / duty, sleep at 1 / (1 - duty).
                rate = rates[at][n] / duty if state[n] else 1.0 / (1.0 - duty)
                flow = chance * rate * step
                after[at] -= flow
                after[at ^ (1 << (len(vcpus) - 1 - n))] += flow
        moved = max(abs(a - b) for a, b in zip(after, chances, strict=True))
        chances = after
        if moved < 1e-9:
            break
    return [
        sum(chance * rate[n] for chance, rate in zip(chances, rates, strict=True))
        for n in range(len(vcpus))
    ]


@pytest.mark.parametrize(
    ("guests", "weights"),
    [
        ([[0.5], [0.5]], (1024, 335)),
        ([[0.3], [0.6], [0.8]], (1024, 512, 256)),
        ([[0.5, 0.5], [0.8]], (1024, 1024)),
        ([[0.2, 0.2, 0.2], [0.5]], (1024, 1024)),
        ([[0.9, 0.2], [0.9]], (1024, 1024)),
        ([[0.36, 0.36, 0.36], [0.36]], (2048, 1024)),
        ([[0.95], [0.36], [0.95]], (1024, 10_240, 1024)),
        ([[0.95], [0.1], [0.95]], (100, 10_000, 100)),
    ],
)
def test_the_law_is_near_to_the_exact_answer_for_guests_on_one_pcpu(
    guests: list[list[float]], weights: tuple[int, ...]
) -> None:
    duties = [duty for own in guests for duty in own]
    families = [n for n, own in enumerate(guests) for _ in own]
    total = sum(run for run, _ in sharing(tuple(duties)))

    law = weighted_sharing(
        duties, [weights[n] for n in families], [0.0] * len(duties), families, total
    )

    for (run, _), exact in zip(law, _exact(guests, weights), strict=True):
        assert run == pytest.approx(exact, abs=0.02 if max(weights) <= 4 * min(weights) else 0.025)


_WEIGHT = st.integers(2, 262_144)


@given(_WEIGHT, st.lists(st.tuples(st.floats(0.001, 1.0), _WEIGHT), min_size=1, max_size=20))
def test_beside_a_busy_vcpu_no_time_is_lost_at_any_weights(
    weight: int, others: list[tuple[float, int]]
) -> None:
    duties = [1.0, *(duty for duty, _ in others)]
    weights = [weight, *(own for _, own in others)]

    law = weighted_sharing(duties, weights, [0.0] * len(duties), range(len(duties)), 1.0)

    assert sum(run for run, _ in law) == pytest.approx(1.0, abs=1e-9)
    assert all(run <= duty for (run, _), duty in zip(law, duties, strict=True))


def test_more_vcpus_of_a_guest_than_are_counted_may_want_next_to_nothing() -> None:
    duties = [1e-17] * 17 + [1.0]

    law = weighted_sharing(duties, [1024] * 17 + [2048], [0.0] * 18, [0] * 17 + [1], 1.0)

    assert law[-1][0] == pytest.approx(1.0)


_PLACE = st.tuples(
    st.one_of(st.sampled_from((0.0, 1.0, 0.9999, 1e-9)), st.floats(0.0, 1.0)),
    st.sampled_from((2, 335, 1024, 262_144)),
    st.sampled_from((0.0, 0.28, 1.0, 254.0)),
)


@settings(deadline=None)  # the first one loads numpy
@given(st.lists(st.lists(_PLACE, min_size=1, max_size=20), min_size=1, max_size=6))
def test_many_pcpus_at_once_get_the_same_bits(
    pcpus: list[list[tuple[float, int, float]]],
) -> None:
    numpy = pytest.importorskip("numpy")
    longest = max(map(len, pcpus))
    duties = numpy.zeros((longest, len(pcpus)))
    weights = numpy.full((longest, len(pcpus)), 1024)
    elsewhere = numpy.zeros((longest, len(pcpus)))
    totals = [sum(run for run, _ in sharing([d for d, _, _ in pcpu])) for pcpu in pcpus]
    for place, pcpu in enumerate(pcpus):
        duties[: len(pcpu), place] = [duty for duty, _, _ in pcpu]
        weights[: len(pcpu), place] = [weight for _, weight, _ in pcpu]
        elsewhere[: len(pcpu), place] = [count for _, _, count in pcpu]

    run, wait = table_by_weight(numpy, duties, weights, elsewhere, numpy.array(totals))

    for place, pcpu in enumerate(pcpus):
        columns = [list(column) for column in zip(*pcpu, strict=True)]
        law = weighted_sharing(*columns, range(len(pcpu)), totals[place])  # type: ignore[arg-type]
        assert list(zip(run[:, place], wait[:, place], strict=True))[: len(pcpu)] == list(law)
        assert sum(run for run, _ in law) <= totals[place] + 1e-9


@pytest.mark.parametrize("pinned", [True, False])
def test_a_large_host_weighs_guests_with_numpy_and_without(
    pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numpy")

    def figures() -> list[tuple[int, int]]:
        masks = [[(n * 3 + i * (n % 5)) % 40 if pinned else None for i in range(4)]
                 for n in range(80)]  # fmt: skip
        specs = [
            guest(f"g{n}", vcpus=4, noise=0.03, tuning=(("cpu_shares", 300),) if n % 9 == 0 else (),
                  affinity=tuple(None if at is None else (at,) for at in own))
            for n, own in enumerate(masks)
        ]  # fmt: skip
        events = [
            StartWorkload(0, f"g{n}", Duty((0.3, 0.05, 0.8, 1.0)[(n + i) % 4], ms(0.5)), (i,))
            for n in range(80) for i in range(n % 4 + 1)
        ]  # fmt: skip
        later = [
            PinVcpu(1500 * NS_PER_MS, "g3", 1, (7,)),
            StopWorkload(2500 * NS_PER_MS, "g6", "cpu"),
            PinVcpu(2700 * NS_PER_MS, "g7", 2, (0, 1)),
        ]
        simulated = host(specs, [*events, *later], pcpus=40, memory_mib=65_536)
        simulated.guests["g12"].tune({"vcpu_quota": 20_000})
        simulated.advance(4 * NS_PER_S)
        vcpus = [vcpu for each in simulated.guests.values() for vcpu in each.vcpus]
        return [(vcpu.run_ns(), vcpu.delay_ns()) for vcpu in vcpus]

    with_numpy = figures()
    monkeypatch.setattr("virtlab.simulator.scheduler.numpy_or_none", lambda: None)

    assert figures() == with_numpy
    assert numpy_or_none() is not None
