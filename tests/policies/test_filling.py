"""Filling: few moves, and nobody fuller than it has to be."""

from math import fsum
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from virtlab.policies.bounds import fewest_moves
from virtlab.policies.filling import filled

Loads = list[tuple[float, int]]


def fill(
    here: list[Loads], limits: list[float], homeless: Loads, carried: list[float] | None = None
) -> dict[int, int]:
    """Fill pCPUs of which it is told who sits there, with their loads."""
    loads = {number: load for rows in (*here, homeless) for load, number in rows}
    return filled(
        [[number for _, number in rows] for rows in here],
        [loads.get(number, 0.0) for number in range(max(loads, default=0) + 1)],
        [fsum(load for load, _ in rows) for rows in here] if carried is None else carried,
        limits,
        [number for _, number in homeless],
    )


def after(here: list[Loads], homeless: Loads, seats: dict[int, int]) -> list[float]:
    """Return what each pCPU carries after a filling."""
    there: list[list[float]] = [[] for _ in here]
    for pcpu, rows in enumerate([*here, homeless]):
        for load, number in rows:
            seat = seats.get(number, pcpu if pcpu < len(here) else None)
            if seat is not None:
                there[seat].append(load)
    return [fsum(loads) for loads in there]


def crowd(seed: int, pcpus: int, vcpus: int) -> list[Loads]:
    random = Random(seed)
    here: list[Loads] = [[] for _ in range(pcpus)]
    for number in range(vcpus):
        here[random.randrange(pcpus)].append((random.uniform(0.06, 1.0), number))
    return [sorted(loads) for loads in here]


def test_a_crowd_is_even_to_a_thousandth_with_few_more_moves_than_the_fewest() -> None:
    for seed in range(3):
        here = crowd(seed, 128, 2560)
        loads = [fsum(load for load, _ in there) for there in here]
        level = 1.001 * fsum(loads) / 128

        seats = fill(here, [level] * 128, [])

        over = [load - level for load in after(here, [], seats) if load > level + 1e-9]
        fewest = fewest_moves([([load for load, _ in there], 0.0) for there in here], level)
        assert len(seats) <= 1.1 * fewest
        assert len(over) <= 2  # where what is left fits nowhere, others have to trade for it


def test_who_sits_nowhere_gets_a_seat_where_there_is_room() -> None:
    assert fill([[], [(0.5, 0)]], [0.8, 0.8], [(0.3, 1), (0.7, 2)]) == {1: 1, 2: 0}


def test_where_there_is_more_room_than_needed_all_are_filled_alike() -> None:
    here: list[Loads] = [[(0.1, n) for n in range(60)], [], [], []]

    seats = fill(here, [3.0] * 4, [])  # there would be room for 90 of these on 3 pCPUs

    assert [round(load, 3) for load in after(here, [], seats)] == [3.0, 1.0, 1.0, 1.0]


def test_what_fits_nowhere_is_not_seated() -> None:
    assert fill([[], []], [0.6, 0.6], [(0.4, 0)], [0.5, 0.5]) == {}


def test_what_fits_nowhere_stays_and_smaller_ones_go_in_its_place() -> None:
    here = [[(0.2, 0), (0.2, 1), (0.9, 2)], [], []]

    seats = fill(here, [0.9, 0.72, 0.72], [], [1.3, 0.5, 0.5])

    assert sorted(seats) == [0, 1]
    assert sorted(seats.values()) == [1, 2]


ROWS = st.lists(
    st.tuples(st.integers(-1, 3), st.floats(0.01, 1.0)), max_size=30
)  # where it sits, -1 for nowhere


@given(rows=ROWS, limits=st.lists(st.floats(0.0, 5.0), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
@example(rows=[(0, 1.0), (0, 0.3214566513197547), (0, 0.125)], limits=[0.0] * 4)  # rounding
def test_no_pcpu_that_had_room_is_filled_beyond_its_limit(
    rows: list[tuple[int, float]], limits: list[float]
) -> None:
    here: list[Loads] = [[] for _ in range(4)]
    homeless: Loads = []
    for number, (home, load) in enumerate(rows):
        (homeless if home < 0 else here[home]).append((load, number))
    here = [sorted(there) for there in here]
    loads = [fsum(load for load, _ in there) for there in here]

    seats = fill(here, limits, homeless)

    for before, now, limit in zip(loads, after(here, homeless, seats), limits, strict=True):
        # What fitted nowhere stays on a pCPU that was too full, whatever has come there meanwhile.
        assert before > limit or now <= limit + 1e-9
