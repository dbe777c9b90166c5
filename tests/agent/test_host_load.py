"""What a host itself takes of its pCPUs, told from how busy they are and from what vCPUs ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import pytest

from virtlab.agent.host_load import HostLoad
from virtlab.agent.watch import HostFacts
from virtlab.libvirt_rpc.client import Answer
from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.topology import flat
from virtlab.model.units import NS_PER_S, mib

TWO = flat(2, mib(1024))


class _Figure(NamedTuple):
    field: str
    value: int


class _Figures(NamedTuple):
    params: list[_Figure]


class Watched:
    """A host with two pCPUs that is looked at once a second."""

    def __init__(self) -> None:
        self.load = HostLoad()
        self.second = 0
        self.idle_ns = {0: 0.0, 1: 0.0}

    def look(
        self,
        busy: Mapping[int, float],
        guests: Mapping[str, tuple[set[int], float]],
        *,
        looks: int = 45,
    ) -> Mapping[int, float]:
        """Return what is told after so many looks.

        Args:
            busy: the share of each pCPU that was not idle.
            guests: of each guest where it may run, and what it runs.
            looks: one a second.
        """
        shares: Mapping[int, float] = {}
        host = HostFacts(pcpus=2, online=frozenset({0, 1}))
        for _ in range(looks):
            self.second += 1
            for pcpu in self.idle_ns:
                self.idle_ns[pcpu] += NS_PER_S * (1.0 - busy.get(pcpu, 0.0))
            for _, (pcpu, *_), took in self.load.questions(host):
                idle = round(self.idle_ns[pcpu])
                took(Answer(1, 1, _Figures([_Figure("idle", idle), _Figure("user", 1)]), None))
            vcpus = tuple(
                VcpuView(VcpuKey(name, 0), frozenset(pcpus), run_share=share)
                for name, (pcpus, share) in sorted(guests.items())
            )
            now_ns = self.second * NS_PER_S
            shares = self.load.look(CpuSnapshot(now_ns, NS_PER_S, TWO, vcpus))
        return shares


def told(
    busy: Mapping[int, float], guests: Mapping[str, tuple[set[int], float]], *, looks: int = 45
) -> Mapping[int, float]:
    """Return what is told of a host whose pCPUs are so busy."""
    return Watched().look(busy, guests, looks=looks)


def test_what_vcpus_did_not_run_is_the_hosts() -> None:
    shares = told({0: 0.8, 1: 0.5}, {"a": ({0}, 0.3), "b": ({1}, 0.5)})

    assert shares == {0: pytest.approx(0.5, abs=0.01)}


def test_a_little_is_nothing_and_nothing_is_told_before_three_spans() -> None:
    assert told({0: 0.34}, {"a": ({0}, 0.3)}) == {}
    assert told({0: 0.8}, {"a": ({0}, 0.3)}, looks=30) == {}


def test_where_a_vcpu_may_run_anywhere_nobody_can_tell() -> None:
    assert told({0: 0.8, 1: 0.8}, {"a": ({0, 1}, 0.9)}) == {}


def test_what_nobody_can_tell_any_more_is_forgotten() -> None:
    host, loose = Watched(), {"idle": ({0, 1}, 0.0)}
    assert host.look({0: 0.6}, {}) == {0: pytest.approx(0.6, abs=0.01)}

    assert host.look({}, loose, looks=20) == {0: pytest.approx(0.6, abs=0.01)}
    assert host.look({}, loose, looks=20) == {}


def test_an_answer_that_comes_after_its_look_is_not_of_the_next() -> None:
    load, host = HostLoad(), HostFacts(pcpus=1, online=frozenset({0}))
    shares: Mapping[int, float] = {}
    late: list[Callable[[], None]] = []
    for second in range(1, 62):
        asked = [took for _, _, took in load.questions(host)]
        for answer in late:
            answer()  # as if the look to which it belongs had been given up
        figures = _Figures([_Figure("idle", 0), _Figure("user", 1)])
        late = [partial(took, Answer(1, 1, figures, None)) for took in asked]
        shares = load.look(CpuSnapshot(second * NS_PER_S, NS_PER_S, flat(1, mib(1024)), ()))

    assert shares == {}
