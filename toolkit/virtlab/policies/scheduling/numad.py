"""numad's placement, brought from NUMA nodes down to single pCPUs.

Idea: whoever uses much asks for a little more than it uses; every place is scored by how much of
that it has free, and the best one wins. One move a pass, and then a long pause.
Formula: load = largest of the last 8 samples, in hundredths of a CPU; need = load x 100 / 85, at
most 100. With mem and cpu asked for, and freeM and freeC free,
score = (10 min(freeM, mem) + 4 max(0, freeM - mem)) (6 min(freeC, cpu) + max(0, freeC - cpu)).
A policy for vCPUs knows no memory of nodes: the first factor is one constant there. A pCPU's free
share counts what the vCPU itself uses on it, and a thread beside a busy sibling a fifth.
Cost: a score for each pCPU, for one vCPU after another, until one moves.
Weak spot: who uses less than half a CPU is never looked at; one move each 5 s needs minutes for a
crowded host; what ran is taken for what was wanted; and a hold-off of 300 s keeps mistakes.
Source: numad 20150602 (interval 5 to 15 s, 85 % target utilisation, hold-off 300 s, its bypass for
the busiest node); pCPUs in place of nodes, and that only moves which even out are made, are ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from virtlab.model.plan import CpuPlan, Pin, Rejected
from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.units import NS_PER_S
from virtlab.policies.parameters import tunable
from virtlab.policies.seats import permitted, seat_of, siblings_of

__all__ = ["Numad", "score"]

_SAMPLES = 8
_SIBLING_PART = 0.2  # what a second thread of a busy core counts
_NO_MEMORY = (0.1, 0.1)  # free and asked for: the first factor is 1


def score(free_memory: float, memory: float, free_cpu: float, cpu: float) -> float:
    """Return how well a place suits a request; MiB, and hundredths of a CPU."""
    by_memory = 10 * min(free_memory, memory) + 4 * max(0.0, free_memory - memory)
    return by_memory * (6 * min(free_cpu, cpu) + max(0.0, free_cpu - cpu))


@dataclass(slots=True)
class Numad:
    """Move one vCPU a pass to the pCPU that has most of what it needs."""

    utilisation: int = tunable(
        85,
        unit="per cent",
        effect="how full a place is meant to be; less asks for more room",
        at_least=10,
        at_most=100,
    )
    load_min: int = tunable(
        50, unit="per cent of a CPU", effect="who uses less is left alone", at_least=0, at_most=100
    )
    wait_moved_s: int = tunable(
        5, unit="s", effect="pause after a pass that moved somebody", at_least=0
    )
    wait_s: int = tunable(15, unit="s", effect="pause after any other pass", at_least=0)
    hold_off_s: int = tunable(
        300, unit="s", effect="how long a vCPU stays where it was put", at_least=0
    )
    slop: int = tunable(
        50,
        unit="per cent of a CPU",
        effect="how much evener a move out of the busiest pCPU has to be to break the hold-off",
        at_least=0,
    )
    _samples: dict[VcpuKey, deque[float]] = field(default_factory=dict)
    _bound_ns: dict[VcpuKey, int] = field(default_factory=dict)
    _next_ns: float = -inf

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return at most one move."""
        self._remember(host)
        if host.time_ns < self._next_ns:
            return CpuPlan(because="between two passes")
        free = self._free(host)
        rejected: list[Rejected] = []
        for vcpu in self._candidates(host):
            pcpu, why_not = self._place(vcpu, free, host)
            if why_not:
                rejected.append(Rejected(f"{vcpu.key} to pCPU {pcpu}", why_not))
                continue
            self._bound_ns[vcpu.key] = host.time_ns
            self._next_ns = host.time_ns + self.wait_moved_s * NS_PER_S
            reason = f"uses {self._load(vcpu):.0f} %, of which pCPU {pcpu} has {free[pcpu]:.0f} %"
            pin = Pin(vcpu.key, frozenset({pcpu}), reason)
            return CpuPlan((pin,), "one move a pass", rejected=tuple(rejected))
        self._next_ns = host.time_ns + self.wait_s * NS_PER_S
        return CpuPlan(because="nobody is better off elsewhere", rejected=tuple(rejected))

    def _remember(self, host: CpuSnapshot) -> None:
        present = set()
        for vcpu in host.vcpus:
            present.add(vcpu.key)
            if vcpu.run_share is None:
                self._samples[vcpu.key] = deque(maxlen=_SAMPLES)
                self._bound_ns.pop(vcpu.key, None)
            else:
                own = self._samples.setdefault(vcpu.key, deque(maxlen=_SAMPLES))
                own.append(100 * vcpu.run_share)
        for key in self._samples.keys() - present:
            del self._samples[key]
            self._bound_ns.pop(key, None)

    def _load(self, vcpu: VcpuView) -> float:
        return max(self._samples[vcpu.key], default=0.0)

    def _free(self, host: CpuSnapshot) -> list[float]:
        """Return what is free of each pCPU, in hundredths; a fifth where its sibling is busy."""
        used = [100 * host.host_share.get(pcpu, 0.0) for pcpu in host.pcpus]
        for vcpu in host.vcpus:
            seat = seat_of(vcpu)
            if seat is not None and seat < len(used):
                used[seat] += 100 * (vcpu.run_share or 0.0)
        siblings = siblings_of(host.topology)
        free = []
        for pcpu, of_it in enumerate(used):
            beside = min(max((used[s] for s in siblings.get(pcpu, ())), default=0.0), 100.0)
            part = 1.0 - (1.0 - _SIBLING_PART) * beside / 100
            free.append(max(0.0, 100 * part - of_it))
        return free

    def _candidates(self, host: CpuSnapshot) -> list[VcpuView]:
        """Return who uses enough: those never bound by falling load, then the longest bound."""
        busy = [v for v in host.vcpus if v.movable and self._load(v) > self.load_min]
        return sorted(busy, key=lambda v: (self._bound_ns.get(v.key, -1), -self._load(v), v.key))

    def _place(self, vcpu: VcpuView, free: Sequence[float], host: CpuSnapshot) -> tuple[int, str]:
        """Return the pCPU of the best score, and why it should not go there, if it should not."""
        load, seat = self._load(vcpu), seat_of(vcpu)
        need = min(100.0, load * 100 / self.utilisation)
        own = [100 * (vcpu.run_share or 0.0) if pcpu == seat else 0.0 for pcpu in host.pcpus]
        scores = {
            pcpu: score(*_NO_MEMORY, room, need)
            for pcpu in sorted(permitted(vcpu, host))
            for room in [free[pcpu] + own[pcpu]]
        }
        best = max(scores, key=lambda pcpu: (scores[pcpu], pcpu == seat, -pcpu))
        if best == seat:
            return best, "it is there already" if len(vcpu.pcpus) == 1 else ""
        gain = _gain(free, seat, best, load)
        if seat is not None and gain <= 0.0:
            return best, "the pCPUs would be no evener"
        bound_ns = self._bound_ns.get(vcpu.key)
        held = bound_ns is not None and host.time_ns - bound_ns < self.hold_off_s * NS_PER_S
        on_busiest = seat is not None and free[seat] == min(free)
        if held and not (on_busiest and gain > self.slop):
            return best, f"it was moved less than {self.hold_off_s} s ago"
        return best, ""


def _gain(free: Sequence[float], seat: int | None, best: int, load: float) -> float:
    """Return by how much two pCPUs come nearer to the mean of all, in hundredths of a CPU."""
    if seat is None:
        return inf
    mean = sum(free) / len(free)
    low, high = free[seat], free[best]
    after = abs(low + load - mean) + abs(high - load - mean)
    return (high - low) - after
