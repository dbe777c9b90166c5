"""Waking up elsewhere: what it saves, one pCPU at a time and in tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtlab.simulator.cpu_law import added, sharing
from virtlab.simulator.crowd_law import numpy_or_none
from virtlab.simulator.roaming import (
    idle_chances,
    idle_chances_row,
    woken_elsewhere,
    woken_table,
)

numpy: Any = numpy_or_none()
needs_numpy = pytest.mark.skipif(numpy is None, reason="without numpy nothing is in tables")

_SHARE = st.floats(0.0, 1.0)
_USED = st.lists(st.one_of(st.sampled_from((0.0, 1.0, 1.0000000000000002)), _SHARE), min_size=1)


@given(_USED)
def test_the_chance_is_that_not_all_the_others_are_busy(used: list[float]) -> None:
    for own, chance in enumerate(idle_chances(used)):
        all_busy = 1.0
        for other, share in enumerate(used):
            if other != own:
                all_busy *= min(share, 1.0)
        assert chance == pytest.approx(1.0 - all_busy, abs=1e-12)
        assert 0.0 <= chance <= 1.0


def test_a_lone_pcpu_has_no_other_to_wake_up_on() -> None:
    assert idle_chances([0.2]) == [0.0]


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8), _SHARE)
def test_waking_up_elsewhere_saves_waiting_and_keeps_the_demand(
    duties: list[float], chance: float
) -> None:
    law = sharing(duties)
    used = added([run for run, _ in law])

    shares = woken_elsewhere(law, duties, [chance] * len(duties), used)

    assert added([run for run, _ in shares]) <= 1.0 + 1e-9
    for duty, (run, wait), (law_run, law_wait) in zip(duties, shares, law, strict=True):
        assert run >= law_run
        assert wait <= law_wait + 1e-12
        assert run / (1.0 - wait) == pytest.approx(duty, rel=1e-6)


def test_those_that_stay_keep_what_the_law_gives_them() -> None:
    law = sharing([0.3, 0.3, 0.4])

    shares = woken_elsewhere(law, [0.3, 0.3, 0.4], [0.0, 0.9, 0.0], 0.6)

    assert (shares[0], shares[2]) == (law[0], law[2])
    assert shares[1][1] < law[1][1]


@needs_numpy
@given(_USED)
def test_a_row_of_chances_has_the_same_bits(used: list[float]) -> None:
    assert idle_chances_row(numpy, numpy.array(used)).tolist() == idle_chances(used)


@needs_numpy
@given(
    st.lists(
        st.lists(st.tuples(_SHARE, st.sampled_from((0.0, 0.5, 1.0))), min_size=3, max_size=3),
        min_size=2,
        max_size=5,
    )
)
def test_a_table_has_the_same_bits(pcpus: list[list[tuple[float, float]]]) -> None:
    laws = [sharing([duty for duty, _ in loops]) for loops in pcpus]
    used = [added([run for run, _ in law]) for law in laws]
    columns = [
        numpy.array(values).T.copy()
        for values in (
            [[run for run, _ in law] for law in laws],
            [[wait for _, wait in law] for law in laws],
            [[duty for duty, _ in loops] for loops in pcpus],
            [[chance for _, chance in loops] for loops in pcpus],
        )
    ]

    run, wait = woken_table(numpy, *columns, numpy.array(used))

    for at, (law, loops, share) in enumerate(zip(laws, pcpus, used, strict=True)):
        duties, chances = zip(*loops, strict=True)
        expected = woken_elsewhere(law, duties, chances, share)
        assert list(zip(run[:, at], wait[:, at], strict=True)) == list(expected)
