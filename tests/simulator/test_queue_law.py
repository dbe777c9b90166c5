"""Loops with short bursts are served in turn."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hosts import guest, host, run_shares

from virtlab.model.scenario import StartWorkload
from virtlab.model.units import NS_PER_S, ms
from virtlab.model.workload import Duty
from virtlab.simulator.cpu_law import added, sharing
from virtlab.simulator.queue_law import served_in_turn, slice_ns

# Measured on Linux 6.18, one of two CPUs: duties, and share and delay of each different one. The
# law's one factor was chosen with these in view.
LINUX = [
    ((0.2,) * 4, [(0.182, 0.054)]),
    ((0.2,) * 8, [(0.125, 0.369)]),
    ((0.36,) * 2, [(0.340, 0.017)]),
    ((0.36,) * 3, [(0.292, 0.165)]),
    ((0.36,) * 4, [(0.246, 0.301)]),
    ((0.5,) * 2, [(0.457, 0.081)]),
    ((0.5,) * 3, [(0.328, 0.343)]),
    ((0.8,) * 2, [(0.496, 0.383)]),
    ((0.36, 0.36, 0.2, 0.2), [(0.296, 0.167), (0.160, 0.156)]),
    ((0.5, 0.2, 0.2, 0.2, 0.2), [(0.375, 0.261), (0.151, 0.216)]),
]
_DUTY = st.floats(0.001, 0.9998)


def _served(duties: list[float] | tuple[float, ...]) -> list[tuple[float, float]]:
    return list(served_in_turn(duties, [True] * len(duties)))


@pytest.mark.parametrize(("duties", "measured"), LINUX)
def test_the_law_is_nearer_to_linux_than_processor_sharing_is(
    duties: tuple[float, ...], measured: list[tuple[float, float]]
) -> None:
    kinds = [duties.index(duty) for duty in dict.fromkeys(duties)]
    got, shared = _served(duties), sharing(duties)

    for kind, (run, wait) in zip(kinds, measured, strict=True):
        assert got[kind][0] == pytest.approx(run, abs=0.02)
        assert got[kind][1] == pytest.approx(wait, abs=0.045)
    worst, before = (
        max(abs(law[kind][1] - wait) for kind, (_, wait) in zip(kinds, measured, strict=True))
        for law in (got, shared)
    )
    assert worst < before + 0.02


@given(st.lists(_DUTY, min_size=1, max_size=12), st.lists(st.floats(0.0, 0.08), max_size=20))
def test_no_more_than_there_is_and_demands_can_be_read(
    duties: list[float], idle: list[float]
) -> None:
    demands = [*duties, *idle]
    shares = served_in_turn(demands, [True] * len(duties) + [False] * len(idle))

    assert added([run for run, _ in shares]) <= 1.0 + 1e-12
    for demand, (run, wait) in zip(demands, shares, strict=True):
        assert 0.0 <= wait < 1.0
        assert run == pytest.approx(demand * (1.0 - wait), rel=1e-9, abs=1e-15)


@given(_DUTY)
def test_a_lone_loop_gets_exactly_what_it_wants(duty: float) -> None:
    assert _served([duty]) == [(duty, 0.0)]


@given(st.lists(_DUTY, min_size=1, max_size=8), st.integers(0, 99))
def test_the_order_of_vcpus_makes_no_difference(duties: list[float], seed: int) -> None:
    shuffled = list(duties)
    Random(seed).shuffle(shuffled)

    there = dict(zip(duties, _served(duties), strict=True))
    assert dict(zip(shuffled, _served(shuffled), strict=True)) == there


def test_far_above_saturation_loops_share_as_their_duties() -> None:
    shares = _served([0.8, 0.4] * 10)

    assert shares[0][0] / shares[1][0] == pytest.approx(2.0)
    assert added([run for run, _ in shares]) == pytest.approx(1.0, abs=0.01)


def test_an_idle_vcpu_waits_little_where_loops_wait_much() -> None:
    *_, loop, idle = served_in_turn([0.2] * 8 + [0.015], [True] * 8 + [False])

    assert loop[1] > 0.35
    assert idle[1] < 0.08


@pytest.mark.parametrize(("pcpus", "slice_ms"), [(1, 0.7), (2, 1.4), (4, 2.1), (7, 2.1), (64, 2.8)])
def test_a_slice_grows_with_the_number_of_pcpus(pcpus: int, slice_ms: float) -> None:
    assert slice_ns(pcpus) == ms(slice_ms)


@pytest.mark.parametrize(
    ("periods_ms", "in_turn"),
    [((7.0,) * 4, True), ((7.1,) * 4, False), ((0.5, 0.5, 0.5, 3.0), False)],
    ids=["work of a slice", "work beyond a slice", "two periods"],
)
def test_only_loops_of_one_period_and_short_work_are_served_in_turn(
    periods_ms: tuple[float, ...], in_turn: bool
) -> None:
    simulated = host(
        [guest(f"g{n}", (0,)) for n in range(4)],
        [StartWorkload(0, f"g{n}", Duty(0.2, ms(p))) for n, p in enumerate(periods_ms)],
        pcpus=2,
    )

    shares = run_shares(simulated, 100)

    law = _served([0.2] * 4) if in_turn else sharing([0.2] * 4)
    assert sum(shares) == pytest.approx(sum(run for run, _ in law), abs=0.006)


def test_another_load_ends_being_served_in_turn() -> None:
    simulated = host(
        [guest(f"g{n}", (0,)) for n in range(3)],
        [
            *(StartWorkload(0, f"g{n}", Duty(0.4, ms(0.5))) for n in range(3)),
            StartWorkload(NS_PER_S, "g0", Duty(1.0, ms(0.5))),
        ],
        pcpus=1,
    )
    simulated.advance(NS_PER_S)

    busy, *_ = run_shares(simulated, 100)

    assert busy == pytest.approx(sharing([1.0, 0.4, 0.4])[0][0], abs=0.01)


def test_hundreds_of_idle_vcpus_get_what_each_alone_would_beside_the_same() -> None:
    levels = [0.03 * n / 12 for n in range(13)]
    idle = [levels[n * 7 % 13] for n in range(400)]
    shares = served_in_turn([0.3, *idle, 0.2], [True, *[False] * 400, True])

    assert len(set(shares[1:-1])) == len(levels)
    assert dict(zip(idle, shares[1:-1], strict=True))[0.0] == (0.0, 0.0)
    for demand, (run, wait) in zip(idle, shares[1:-1], strict=True):
        assert run == pytest.approx(demand * (1.0 - wait))
