"""Which changes are made all or not at all."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from virtlab.agent.together import belonging


def test_two_that_change_places_belong_together_wherever_they_stand() -> None:
    assert list(belonging([(0, 1), (2, 3), (1, 0)])) == [[0, 2], [1]]


def test_three_that_go_round_belong_together_and_a_chain_does_not() -> None:
    assert list(belonging([(0, 1), (1, 2), (2, 0)])) == [[0, 1, 2]]
    assert list(belonging([(0, 1), (1, 2), (2, 3)])) == [[0], [1], [2]]


def test_the_shortest_circle_is_taken_and_each_arrow_once() -> None:
    assert list(belonging([(0, 1), (1, 2), (2, 0), (1, 0)])) == [[0, 3], [1], [2]]


def test_what_goes_nowhere_in_particular_stands_alone() -> None:
    assert list(belonging([None, (1, 0), None, (0, 1)])) == [[0], [1, 3], [2]]


places = st.integers(0, 5)


@given(st.lists(st.none() | st.tuples(places, places), max_size=30))
def test_each_change_is_in_one_group_and_groups_are_circles(
    arrows: list[tuple[int, int] | None],
) -> None:
    groups = list(belonging(arrows))

    assert sorted(number for group in groups for number in group) == list(range(len(arrows)))
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    for group in groups:
        its = [arrow for number in group if (arrow := arrows[number]) is not None]
        if len(group) > 1:
            assert len(group) == len(its) <= 4
            assert Counter(begin for begin, _ in its) == Counter(end for _, end in its)
