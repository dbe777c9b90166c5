"""Deal vCPUs out in turn, and shift them all by one pCPU each tick: even, and never still.

Idea: what counts vCPUs and nothing else, and cannot leave well alone, looks like this. It tells a
figure of balance from one of stability.
Cost: one pin for each vCPU and tick.
Weak spot: it pays a move for every vCPU in every tick, and puts two heavy ones together.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.snapshot import CpuSnapshot
from virtlab.policies.seats import permitted

__all__ = ["BackAndForth"]


@dataclass(slots=True)
class BackAndForth:
    """Pin the nth vCPU to its nth permitted pCPU, and in every other tick to the one after."""

    _ticks: int = 0

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return a pin for every vCPU that may be moved."""
        shift = self._ticks % 2
        self._ticks += 1
        pins = []
        for number, vcpu in enumerate(host.vcpus):
            if vcpu.movable:
                choice = sorted(permitted(vcpu, host))
                pins.append(Pin(vcpu.key, frozenset({choice[(number + shift) % len(choice)]})))
        return CpuPlan(tuple(pins), f"all are shifted by {shift}")
