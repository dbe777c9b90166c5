"""How much of each pCPU something else than guests takes: the host itself, and its other programs.

libvirt counts how long each pCPU was busy (virNodeGetCPUStats); less what vCPUs ran there, that is
the host's. It takes a call for each pCPU, so it is asked for every tenth look only, and what counts
is the time between two such looks. Where a vCPU ran cannot be told if it may run on several pCPUs,
or was bound elsewhere meanwhile: these pCPUs are left out, and keep what was known of them for as
many spans as it took to learn it.

Only load that stays is worth placing others around, and counters move in steps of 10 ms. So what is
shown is the least of the last three spans, from 5 % on; nothing where there were fewer.

Source: include/libvirt/libvirt-host.h, VIR_NODE_CPU_STATS_IDLE and VIR_NODE_CPU_STATS_IOWAIT.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from virtlab.agent.watch import HostFacts, Question
from virtlab.libvirt_rpc.client import Answer
from virtlab.model.snapshot import CpuSnapshot
from virtlab.model.units import NS_PER_S

__all__ = ["HostLoad"]

_EVERY: Final = 10  # looks
_SPANS: Final = 3
_LEAST_SHARE: Final = 0.05
_FIGURES: Final = 4  # exactly so many on Linux: kernel, user, idle, iowait
_NOT_BUSY: Final = frozenset({"idle", "iowait"})


@dataclass(slots=True)
class HostLoad:
    """Adds up what vCPUs ran on each pCPU, and holds it against how busy the pCPU was."""

    _looks: int = 0
    _asked: dict[int, int] = field(default_factory=dict)  # idle ns of each pCPU, just answered
    _before: dict[int, int] = field(default_factory=dict)  # the same, at the end of the last span
    _ran_ns: dict[int, float] = field(default_factory=dict)  # in this span
    _untold: set[int] = field(default_factory=set)  # nobody can tell in this span
    _homes: dict[object, frozenset[int]] = field(default_factory=dict)  # of vCPUs, a look before
    _begin_ns: int = 0
    _shares: dict[int, deque[float]] = field(default_factory=dict)
    _silent: dict[int, int] = field(default_factory=dict)  # spans in a row without a share

    def questions(self, host: HostFacts) -> Iterable[Question]:
        """Return what to ask in this look."""
        self._looks += 1
        asked = self._asked = {}  # what comes after this look is of no use for it or the next
        if self._looks % _EVERY == 1:
            for pcpu in sorted(host.online):
                yield "NODE_GET_CPU_STATS", (pcpu, _FIGURES, 0), partial(_took, asked, pcpu)

    def look(self, seen: CpuSnapshot) -> Mapping[int, float]:
        """Take a snapshot in; return the shares of pCPUs that the host itself takes."""
        self._count(seen)
        if self._asked:
            self._end_span(seen.time_ns)
        return {
            pcpu: least
            for pcpu, shares in sorted(self._shares.items())
            if len(shares) == _SPANS and (least := min(shares)) >= _LEAST_SHARE
        }

    def _count(self, seen: CpuSnapshot) -> None:
        before, self._homes = self._homes, {}
        for vcpu in seen.vcpus:
            self._homes[vcpu.key] = vcpu.pcpus
            was = before.get(vcpu.key, vcpu.pcpus)
            if len(vcpu.pcpus) > 1 or was != vcpu.pcpus or vcpu.run_share is None:
                self._untold |= vcpu.pcpus | was
                continue
            (home,) = vcpu.pcpus
            ran_ns = vcpu.run_share * seen.interval_ns
            self._ran_ns[home] = self._ran_ns.get(home, 0.0) + ran_ns
        for key, was in before.items():
            if key not in self._homes:  # it has gone, and nobody tells what it still ran
                self._untold |= was

    def _end_span(self, now_ns: int) -> None:
        span_ns = now_ns - self._begin_ns
        if self._before and span_ns > NS_PER_S:
            for pcpu in self._before | self._asked | self._shares:
                self._learn(pcpu, span_ns)
        self._before, self._asked, self._begin_ns = self._asked, {}, now_ns
        self._ran_ns, self._untold = {}, set()

    def _learn(self, pcpu: int, span_ns: int) -> None:
        """Take in what a span tells of a pCPU, and forget what has not been seen again for long."""
        if pcpu in self._untold or not (pcpu in self._before and pcpu in self._asked):
            self._silent[pcpu] = self._silent.get(pcpu, 0) + 1
            if self._silent[pcpu] >= _SPANS:
                self._shares.pop(pcpu, None)
            return
        self._silent.pop(pcpu, None)
        busy_ns = span_ns - (self._asked[pcpu] - self._before[pcpu])
        share = max(busy_ns - self._ran_ns.get(pcpu, 0.0), 0.0) / span_ns
        self._shares.setdefault(pcpu, deque(maxlen=_SPANS)).append(min(share, 1.0))


def _took(asked: dict[int, int], pcpu: int, answer: Answer) -> None:
    if answer.error is None:
        figures = {one.field: one.value for one in answer.results.params}
        asked[pcpu] = sum(figures.get(name, 0) for name in _NOT_BUSY)
