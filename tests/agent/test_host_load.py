"""What a host itself takes of its pCPUs, told from how busy they are and from what vCPUs ran."""

from __future__ import annotations

from collections.abc import Mapping
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


def told(
    busy: Mapping[int, float], guests: Mapping[str, tuple[set[int], float]], *, looks: int = 45
) -> Mapping[int, float]:
    """Return what is told of a host whose pCPUs are so busy, after so many seconds.

    Args:
        busy: the share of each pCPU that was not idle.
        guests: of each guest where it may run, and what it runs.
        looks: one a second.
    """
    load = HostLoad()
    shares: Mapping[int, float] = {}
    for second in range(1, looks + 1):
        for _, (pcpu, *_), took in load.questions(HostFacts(pcpus=2, online=frozenset({0, 1}))):
            idle = round(second * NS_PER_S * (1.0 - busy.get(pcpu, 0.0)))
            took(Answer(1, 1, _Figures([_Figure("idle", idle), _Figure("user", 1)]), None))
        vcpus = tuple(
            VcpuView(VcpuKey(name, 0), frozenset(pcpus), run_share=share)
            for name, (pcpus, share) in sorted(guests.items())
        )
        shares = load.look(CpuSnapshot(second * NS_PER_S, NS_PER_S, TWO, vcpus))
    return shares


def test_what_vcpus_did_not_run_is_the_hosts() -> None:
    shares = told({0: 0.8, 1: 0.5}, {"a": ({0}, 0.3), "b": ({1}, 0.5)})

    assert shares == {0: pytest.approx(0.5, abs=0.01)}


def test_a_little_is_nothing_and_nothing_is_told_before_three_spans() -> None:
    assert told({0: 0.34}, {"a": ({0}, 0.3)}) == {}
    assert told({0: 0.8}, {"a": ({0}, 0.3)}, looks=30) == {}


def test_where_a_vcpu_may_run_anywhere_nobody_can_tell() -> None:
    assert told({0: 0.8, 1: 0.8}, {"a": ({0, 1}, 0.9)}) == {}
