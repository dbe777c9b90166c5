"""Packing, held against the best of all placements on small hosts."""

from collections import Counter
from dataclasses import replace
from itertools import product
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from virtlab.policies.bounds import even_level
from virtlab.policies.packing import Ground, Items, Packing, pack

PRICE = 0.01**2


class Item(NamedTuple):
    """One row."""

    load: float
    home: int | None
    bound: bool = True
    permitted: frozenset[int] | None = None
    far: tuple[float, ...] | None = None


def columns(rows: list[Item]) -> Items:
    return Items(*(list(column) for column in zip(*rows, strict=True)))


def ground(
    items: list[Item],
    pcpus: int,
    *,
    speeds: tuple[float, ...] = (),
    siblings: dict[int, tuple[int, ...]] | None = None,
    cells: tuple[int, ...] = (),
) -> Ground:
    speeds = speeds or (1.0,) * pcpus
    fixed = (0.0,) * pcpus
    level = even_level([item.load for item in items], fixed, speeds)
    return Ground(
        fixed,
        speeds,
        siblings or {},
        cells or (0,) * pcpus,
        0.425 if siblings else 0.0,
        level,
        (0.0,) * pcpus,
    )


def seated(seats: tuple[int, ...], items: list[Item], there: Ground) -> Packing:
    packing = Packing(there, columns(items), PRICE)
    packing.seat_at_home()
    for number, seat in enumerate(seats):
        packing.move(number, seat)
    return packing


@given(
    items=st.lists(
        st.builds(
            Item,
            load=st.integers(5, 100).map(lambda points: points / 100),
            home=st.integers(0, 2),
            bound=st.just(True),
            permitted=st.sampled_from([None, None, frozenset({0, 1}), frozenset({2})]),
            far=st.none(),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None)
@example(
    items=[
        Item(0.05, 0, True, frozenset({0, 1})),
        Item(0.05, 0, True, frozenset({0, 1})),
        Item(0.06, 1),  # has to leave the only other pCPU to those with a mask
    ]
)
def test_what_was_found_is_near_the_best_there_is_and_never_worse_than_now(
    items: list[Item],
) -> None:
    there = ground(items, 3)
    items = [
        item if item.permitted is None or item.home in item.permitted else item._replace(home=None)
        for item in items
    ]

    found = pack(there, columns(items), PRICE)

    best = min(
        seated(seats, items, there).total()
        for seats in product(range(3), repeat=len(items))
        if all(i.permitted is None or s in i.permitted for i, s in zip(items, seats, strict=True))
    )
    now = Packing(there, columns(items), PRICE)
    now.seat_at_home()
    assert best - 1e-9 <= found.total() <= now.total() + 1e-9
    assert found.total() <= best + 0.35 * max(item.load for item in items) ** 2
    for item, seat in zip(items, found.seats, strict=True):
        assert item.permitted is None or seat in item.permitted


def test_an_even_host_is_left_alone() -> None:
    items = [Item(0.2 + n % 2 / 100, n % 4, True) for n in range(8)]

    assert pack(ground(items, 4), columns(items), PRICE).seats == [n % 4 for n in range(8)]


def test_eight_on_one_need_six_moves_and_no_more() -> None:
    items = [Item(0.21, 0, True) for _ in range(8)]

    found = pack(ground(items, 4), columns(items), PRICE)

    assert sum(seat != 0 for seat in found.seats) == 6
    assert found.loads == pytest.approx([0.42] * 4)


def test_two_swap_where_no_single_move_helps() -> None:
    items = [Item(0.5, 0, True), Item(0.5, 0, True), Item(0.3, 1, True), Item(0.3, 1, True)]

    found = pack(ground(items, 2), columns(items), PRICE)

    assert found.loads == pytest.approx([0.8, 0.8])
    assert sum(s != i.home for i, s in zip(items, found.seats, strict=True)) == 2


def test_nothing_is_moved_for_less_than_its_price() -> None:
    items = [Item(0.51, 0, True), Item(0.5, 0, True), Item(0.5, 1, True), Item(0.49, 1, True)]

    assert pack(ground(items, 2), columns(items), 0.02**2).seats == [0, 0, 1, 1]
    assert pack(ground(items, 2), columns(items), 0.001**2).seats != [0, 0, 1, 1]


def test_a_slow_pcpu_is_given_less() -> None:
    items = [Item(0.3, 0, True) for _ in range(6)]

    found = pack(ground(items, 2, speeds=(1.0, 0.5)), columns(items), PRICE)

    assert found.loads == pytest.approx([1.2, 0.6])


def test_an_idle_core_is_better_than_an_idle_thread() -> None:
    siblings = {0: (1,), 1: (0,), 2: (3,), 3: (2,)}
    items = [Item(0.6, 0, True), Item(0.6, 1, True)]

    found = pack(ground(items, 4, siblings=siblings), columns(items), PRICE)

    assert {seat // 2 for seat in found.seats} == {0, 1}


def test_everybody_sits_near_its_memory_if_that_is_even() -> None:
    near, far = (1.0, 1.18), (1.18, 1.0)
    items = [Item(0.3, 0, True, None, near if n % 2 else far) for n in range(8)]

    found = pack(ground(items, 4, cells=(0, 0, 1, 1)), columns(items), PRICE)

    assert [seat // 2 for seat in found.seats] == [1, 0] * 4
    assert found.loads == pytest.approx([0.6] * 4)


def test_who_is_bound_to_nothing_stays_where_it_ran_last_if_that_is_as_good() -> None:
    items = [Item(0.5, (n * 3) % 4, False) for n in range(4)]

    assert pack(ground(items, 4), columns(items), PRICE).seats == [0, 3, 2, 1]


def test_noise_is_not_packed_as_if_it_were_size() -> None:
    random = Random(4)
    items = [Item(0.21 + random.gauss(0, 0.02), n % 32) for n in range(256)]
    unsure = replace(ground(items, 64), slack=(0.1,) * 64)  # as after one look

    found = pack(unsure, columns(items), PRICE)

    assert set(Counter(found.seats).values()) == {4}
