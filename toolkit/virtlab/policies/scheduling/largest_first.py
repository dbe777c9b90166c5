"""Longest processing time first: deal all vCPUs out anew, the largest onto the emptiest pCPU.

Idea: the big ones are hard to place, so they come first, and the small ones even out what is left.
Formula: in falling order of demand r / (1 - w), each onto the pCPU of the least load so far. The
fullest is at most 4/3 - 1/(3m) of the best possible, on m equal pCPUs (Graham 1969).
Cost: a sort of n vCPUs and n steps on a heap of m pCPUs.
Weak spot: it knows no way from where things are to where they should be. A demand that changes by
a little may send half of all vCPUs elsewhere, and noise that swaps two equal ones in the order
swaps their places; `spread_max` keeps it still while things are even.
Source: R. L. Graham, Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17 (1969).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.policies.parameters import tunable
from virtlab.policies.seats import demand_of, permitted, seat_of, speeds

__all__ = ["LargestFirst"]


@dataclass(frozen=True, slots=True)
class LargestFirst:
    """Deal out all vCPUs of known demand whenever the pCPUs are uneven."""

    spread_max: float = tunable(
        0.10,
        unit="share of a pCPU",
        effect="largest gap between two pCPUs that is left alone",
        at_least=0,
    )

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return the pins that bring every vCPU to where it was dealt."""
        loads = _fixed(host)
        vcpus = [v for v in host.vcpus if v.movable and demand_of(v) is not None]
        now = dict(loads)
        for vcpu in vcpus:
            seat = seat_of(vcpu)
            if seat in now:
                now[seat] += demand_of(vcpu) or 0.0
        gap = max(now.values(), default=0.0) - min(now.values(), default=0.0)
        bound = all(len(v.pcpus) == 1 for v in vcpus)
        if not vcpus or (bound and gap <= self.spread_max):
            return CpuPlan(because=f"the pCPUs differ by {gap:.2f}")
        places = _dealt(vcpus, loads, host)
        pins = tuple(
            Pin(v.key, frozenset({places[v.key]}), f"wants {demand_of(v):.2f}")
            for v in vcpus
            if v.pcpus != {places[v.key]}
        )
        return CpuPlan(pins, f"the pCPUs differed by {gap:.2f}")


def _fixed(host: CpuSnapshot) -> dict[int, float]:
    """Return what each pCPU has to carry in any case."""
    loads = {pcpu: host.host_share.get(pcpu, 0.0) for pcpu in host.pcpus}
    for vcpu in host.vcpus:
        seat = seat_of(vcpu)
        if not vcpu.movable and seat in loads:
            loads[seat] += demand_of(vcpu) or 0.0
    return loads


def _dealt(
    vcpus: list[VcpuView], fixed: Mapping[int, float], host: CpuSnapshot
) -> dict[VcpuKey, int]:
    """Return a pCPU for each vCPU: largest first, onto the emptiest that it may use."""
    speed = speeds(host.topology)
    heap = [(load / speed[pcpu], pcpu) for pcpu, load in fixed.items()]
    heapq.heapify(heap)
    places = {}
    for vcpu in sorted(vcpus, key=lambda v: (-(demand_of(v) or 0.0), v.key)):
        mask = None if vcpu.allowed is None else permitted(vcpu, host)
        passed = []
        while mask is not None and heap[0][1] not in mask:
            passed.append(heapq.heappop(heap))
        fill, pcpu = heap[0]
        heapq.heapreplace(heap, (fill + (demand_of(vcpu) or 0.0) / speed[pcpu], pcpu))
        for other in passed:
            heapq.heappush(heap, other)
        places[vcpu.key] = pcpu
    return places
