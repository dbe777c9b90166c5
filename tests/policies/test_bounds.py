"""Bounds that no placement beats: held against all placements of small hosts."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.policies.bounds import even_level, fewest_moves, least_busiest

LOADS = st.lists(st.floats(0.0, 1.0), max_size=5)
PCPUS = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.5, 1.0])), min_size=1, max_size=3
)


@given(loads=LOADS, pcpus=PCPUS)
@settings(max_examples=60, deadline=None)
def test_no_placement_has_a_less_busy_pcpu_than_the_bound(
    loads: list[float], pcpus: list[tuple[float, float]]
) -> None:
    fixed, speeds = zip(*pcpus, strict=True)
    best = min(
        _busiest(where, loads, pcpus) for where in product(range(len(pcpus)), repeat=len(loads))
    )

    assert least_busiest(loads, fixed, speeds) <= best + 1e-9


@given(
    homes=st.lists(st.tuples(st.integers(0, 2), st.floats(0.01, 1.0)), max_size=5),
    to=st.floats(0.1, 2.0),
)
@settings(max_examples=60, deadline=None)
def test_no_placement_under_a_limit_takes_fewer_moves_than_the_bound(
    homes: list[tuple[int, float]], to: float
) -> None:
    loads = [load for _, load in homes]
    pcpus = [(0.0, 1.0)] * 3
    moves = [
        sum(seat != home for seat, (home, _) in zip(where, homes, strict=True))
        for where in product(range(3), repeat=len(homes))
        if _busiest(where, loads, pcpus) <= to
    ]
    by_pcpu = [([load for home, load in homes if home == pcpu], 0.0) for pcpu in range(3)]

    if moves:
        assert fewest_moves(by_pcpu, to) <= min(moves)


@pytest.mark.parametrize(
    ("loads", "pcpus", "floor"),
    [
        ([0.21] * 8, 4, 0.42),
        ([0.21] * 3, 4, 0.21),  # one vCPU fills its pCPU
        ([0.6] * 5, 4, 1.2),  # two of five share
        ([0.5, 0.1], 2, 0.5),
        ([], 3, 0.0),
    ],
)
def test_bounds_of_small_hosts(loads: list[float], pcpus: int, floor: float) -> None:
    assert least_busiest(loads, [0.0] * pcpus, [1.0] * pcpus) == pytest.approx(floor)


def test_the_even_level_leaves_out_who_is_larger_than_it() -> None:
    assert even_level([1.0, 0.2, 0.2, 0.2], [0.0] * 3, [1.0] * 3) == pytest.approx(0.3)
    assert even_level([0.2, 0.2], [0.9, 0.0, 0.0], [1.0] * 3) == pytest.approx(0.2)
    assert even_level([], [0.0], [1.0]) == 0.0


def _busiest(where: tuple[int, ...], loads: list[float], pcpus: list[tuple[float, float]]) -> float:
    carried = [fixed for fixed, _ in pcpus]
    for pcpu, load in zip(where, loads, strict=True):
        carried[pcpu] += load
    return max(load / speed for load, (_, speed) in zip(carried, pcpus, strict=True))
