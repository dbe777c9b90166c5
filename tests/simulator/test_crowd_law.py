"""The law for many pCPUs at once gives what the law for one gives, to the last bit."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hosts import Masks, loops

from virtlab.model.scenario import Event, PinVcpu, StartWorkload, StopGuest
from virtlab.model.units import NS_PER_MS, NS_PER_S, mib
from virtlab.model.workload import Batch, MemoryGrowth
from virtlab.simulator import scheduler
from virtlab.simulator.cpu_law import added, sharing
from virtlab.simulator.crowd_law import numpy_or_none, sharing_of_table
from virtlab.simulator.queue_law import served_in_turn, table_served_in_turn

numpy = pytest.importorskip("numpy")

_DUTY = st.one_of(
    st.sampled_from((0.0, 1.0, 0.9999, 0.99989, 0.21, 0.5, 1e-9)), st.floats(0.0, 1.0)
)


@given(st.lists(st.lists(_DUTY, max_size=24), min_size=1, max_size=8))
def test_many_pcpus_at_once_get_the_same_bits(pcpus: list[list[float]]) -> None:
    _get_the_same(pcpus)


@pytest.mark.parametrize("count", [1, 63, 64])
def test_full_pcpus_get_the_same_bits(count: int) -> None:
    rng = Random(count)

    _get_the_same([[0.2], [rng.random() for _ in range(count)], [0.99985] * count, [1.0] * count])


def _get_the_same(pcpus: list[list[float]]) -> None:
    counts = numpy.array([len(duties) for duties in pcpus])
    padded = [duties + [0.0] * (counts.max() - len(duties)) for duties in pcpus]

    run, wait, used = sharing_of_table(numpy, numpy.array(padded).T.copy(), counts)

    for place, duties in enumerate(pcpus):
        law = sharing(duties)
        assert list(zip(run[:, place], wait[:, place], strict=True))[: len(duties)] == list(law)
        assert used[place] == added([run for run, _ in law])


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0.001, 0.9998), st.booleans()), min_size=1, max_size=20),
        min_size=1,
        max_size=6,
    )
)
def test_many_pcpus_of_loops_that_are_served_in_turn_get_the_same_bits(
    pcpus: list[list[tuple[float, bool]]],
) -> None:
    for pcpu in pcpus:
        pcpu[0] = (pcpu[0][0], True)  # there is a loop
    longest = max(map(len, pcpus))
    demands = numpy.zeros((longest, len(pcpus)))
    loops = numpy.zeros((longest, len(pcpus)), bool)
    for place, pcpu in enumerate(pcpus):
        demands[: len(pcpu), place] = [demand for demand, _ in pcpu]
        loops[: len(pcpu), place] = [loop for _, loop in pcpu]

    runs, waits, used = table_served_in_turn(numpy, demands, loops)

    for place, pcpu in enumerate(pcpus):
        law = served_in_turn([demand for demand, _ in pcpu], [loop for _, loop in pcpu])
        assert list(zip(runs[:, place], waits[:, place], strict=True))[: len(pcpu)] == list(law)
        assert used[place] == added([run for run, _ in law])


_CELLS = tuple(tuple(range(first, first + 16)) for first in range(0, 64, 16))
_MASKS: dict[str, Masks] = {
    "pinned": [(n % 64,) for n in range(300)],
    "unpinned": [None] * 300,
    "in cells": [_CELLS[n % 4] if n % 3 else None for n in range(300)],
    "all on few": [(n % 3, n % 3 + 1) if n % 2 else (0, 1, 2) for n in range(300)],
    "of many kinds": [(n % 63, 63) if n % 2 else tuple(range(n % 50, 64)) for n in range(300)],
}


@pytest.mark.parametrize("kind", _MASKS)
def test_a_large_host_does_the_same_without_numpy(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_numpy = _figures(_MASKS[kind])
    monkeypatch.setattr(scheduler, "numpy_or_none", lambda: None)

    assert with_numpy == _figures(_MASKS[kind])
    assert numpy_or_none() is not None


def _figures(masks: Masks) -> str:
    rng = Random(7)
    duties = [rng.choice((0.05, 0.1, 0.3, 1.0)) for _ in range(300)]
    events: list[Event] = [
        *(
            PinVcpu(n * 37 * NS_PER_MS, f"g{rng.randrange(300)}", 0, (rng.randrange(64),))
            for n in range(100)
        ),
        *(StopGuest((500 + 200 * n) * NS_PER_MS, f"g{17 * n}") for n in range(8)),
        *(
            StartWorkload((300 + 150 * n) * NS_PER_MS, f"g{11 * n + 1}", load)
            for n, load in enumerate((Batch(NS_PER_S), MemoryGrowth(mib(64), None)) * 6)
        ),
    ]
    simulated = loops(duties, masks, pcpus=64, events=events)
    rows = []
    for second in range(1, 6):
        simulated.advance(second * NS_PER_S)
        vcpus = [vcpu for g in simulated.guests.values() for vcpu in g.vcpus]
        rows.append([(v.run_ns(), v.delay_ns(), v.halted, v.time_per_pcpu_ns) for v in vcpus])
        rows.append(simulated.pcpu_busy_ns())
    return hashlib.sha256(repr(rows).encode()).hexdigest()
