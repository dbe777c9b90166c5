"""Integrals give the law as it is written down, for few vCPUs and for thousands."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import factorial, prod
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtlab.simulator.cpu_law import SEATS_MAX, sharing


def listed(duties: list[float]) -> list[tuple[float, float]]:
    """Return the shares by listing every state, as the law is written down."""
    rhos = [duty / (1.0 - duty) for duty in duties]
    run, present, total = [0.0] * len(duties), [0.0] * len(duties), 0.0
    for state in product((0, 1), repeat=len(duties)):
        there = sum(state)
        weight = factorial(there) * prod(r for r, n in zip(rhos, state, strict=True) if n)
        total += weight
        for i, n in enumerate(state):
            if n:
                run[i] += weight / there
                present[i] += weight
    return [(r / total, (p - r) / total) for r, p in zip(run, present, strict=True)]


@given(duties=st.lists(st.sampled_from((0.01, 0.2, 0.21, 0.36, 0.5, 0.9, 0.99)), max_size=8))
def test_the_integrals_agree_with_the_list_of_states(duties: list[float]) -> None:
    for got, expected in zip(sharing(duties), listed(duties), strict=True):
        assert got == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("busy", [0, 3])
def test_one_vcpu_more_than_integrals_are_for_changes_hardly_anything(busy: int) -> None:
    duties = [1.0] * busy + [0.01 * (1 + n % 7) for n in range(SEATS_MAX - busy)]

    integrated, around_the_peak = sharing(duties), sharing([*duties, 0.0, 1e-12])

    for share, other in zip(integrated, around_the_peak, strict=False):
        assert share == pytest.approx(other, abs=1e-11)


def in_fractions(duties: list[Fraction]) -> dict[Fraction, tuple[float, float]]:
    """Return the shares by duty, of the law's sums in exact fractions; 1 never sleeps."""

    def sums(others: list[Fraction], busy: int, more: int) -> Fraction:
        """Return the sum of (busy + more + k)! e_k over those that sleep."""
        terms = [Fraction(1)]
        for duty in others:
            rho = duty / (1 - duty)
            terms = [
                (terms[k] if k < len(terms) else 0) + (rho * terms[k - 1] if k else 0)
                for k in range(len(terms) + 1)
            ]
        every = (term * factorial(busy + more + k) for k, term in enumerate(terms))
        return sum(every, Fraction(0))

    busy = duties.count(Fraction(1))
    sleepers = [duty for duty in duties if duty < 1]
    total = sums(sleepers, busy, 0)
    shares = {}
    for duty in set(duties):
        if duty == 1:
            run = sums(sleepers, busy, -1) / total
            shares[duty] = (float(run), float(1 - run))
            continue
        others = sleepers.copy()
        others.remove(duty)
        rho = duty / (1 - duty)
        run, present = rho * sums(others, busy, 0) / total, rho * sums(others, busy, 1) / total
        shares[duty] = (float(run), float(present - run))
    return shares


@pytest.mark.parametrize(
    "counts",
    [
        {Fraction(1, 100): 70},
        {Fraction(1, 50): 30, Fraction(1, 3): 40, Fraction(19, 20): 2},
        {Fraction(1, 64): 64, Fraction(1): 1},
        {Fraction(9, 10): 60, Fraction(1): 10},
        {Fraction(1, 80): 79, Fraction(1, 81): 2},  # just as much as there is time for
        {Fraction(1, 8): 150, Fraction(1, 7): 1},
    ],
)
def test_more_vcpus_than_seats_get_what_the_law_says_in_exact_fractions(
    counts: dict[Fraction, int],
) -> None:
    duties = [duty for duty, count in counts.items() for _ in range(count)]
    assert len(duties) > SEATS_MAX

    shares = dict(zip(duties, sharing([float(duty) for duty in duties]), strict=True))

    for duty, expected in in_fractions(duties).items():
        assert shares[duty] == pytest.approx(expected, abs=1e-12)


def test_a_third_of_a_million_vcpus_on_one_pcpu_are_answered() -> None:
    # 1,300 guests of 255 vCPUs, most of them idle with the noise that idle vCPUs have.
    duties = [0.03 * (n % 13) / 12 if n % 3 else 0.33 for n in range(1_300 * 255)]

    shares = sharing(duties)

    assert sum(run for run, _ in shares) == pytest.approx(1.0, abs=1e-9)
    for duty, (run, wait) in set(zip(duties, shares, strict=True)):
        assert run == pytest.approx(duty * (1.0 - wait), abs=1e-12)


@pytest.mark.parametrize("duty", [0.1, 0.2, 0.3, 0.7, 0.9, 1.0])
def test_a_lone_loop_gets_exactly_what_it_wants_and_busy_ones_an_nth(duty: float) -> None:
    assert sharing([0.0, duty]) == ((0.0, 0.0), (duty, 0.0))
    for count in range(1, 9):
        assert sharing([1.0] * count) == ((1.0 / count, 1.0 - 1.0 / count),) * count


def test_the_total_is_one_less_the_chance_of_an_empty_pcpu() -> None:
    rho = 0.21 / 0.79
    states = sum(factorial(8) // factorial(8 - k) * rho**k for k in range(9))

    assert sum(run for run, _ in sharing([0.21] * 8)) == pytest.approx(1.0 - 1.0 / states)


@given(
    duties=st.lists(st.sampled_from((0.0, 0.03, 0.2, 0.5, 1.0)), max_size=9),
    seed=st.integers(0, 99),
)
def test_the_order_of_vcpus_makes_no_difference(duties: list[float], seed: int) -> None:
    shuffled = list(duties)
    Random(seed).shuffle(shuffled)

    there = dict(zip(duties, sharing(duties), strict=True))
    assert dict(zip(shuffled, sharing(shuffled), strict=True)) == there


@pytest.mark.parametrize(
    ("count", "duty"),
    [(64, 0.01), (64, 0.21), (64, 0.999), (400, 0.005), (400, 0.6), (2_000, 0.01)],
)
def test_equal_vcpus_of_any_number_share_a_pcpu_evenly(count: int, duty: float) -> None:
    run, wait = sharing([duty] * count)[0]

    assert run * count <= 1.0 + 1e-9
    assert run * count == pytest.approx(min(1.0, count * duty), abs=0.12)
    assert run / (1.0 - wait) == pytest.approx(duty, rel=1e-6)


@pytest.mark.parametrize("count", [100, 1_000])
def test_hundreds_of_different_vcpus_keep_their_demands(count: int) -> None:
    duties = [(1 + i % 19) / 20 for i in range(count)]
    shares = sharing(duties)

    assert sum(run for run, _ in shares) == pytest.approx(1.0, abs=1e-9)
    for duty, (run, wait) in zip(duties, shares, strict=True):
        assert run / (1.0 - wait) == pytest.approx(duty, rel=1e-6)


def test_nothing_runs_where_nothing_wants_to() -> None:
    assert sharing([]) == ()
    assert sharing([0.0, 0.0]) == ((0.0, 0.0), (0.0, 0.0))
