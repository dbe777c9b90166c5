"""Whether vCPUs had better roam: what binding them to single pCPUs costs, seen from how they wait.

Linux wakes an unbound vCPU on a pCPU that is idle, so that it waits only where all are busy. A
bound one waits for whoever else is there. How much that is depends on what libvirt does not show:
loops whose work fits into a slice of the scheduler soon avoid one another, and bound ones wait
hardly at all; work that is longer, or comes and goes, meets at random, and then a vCPU that is
there for a share p_i of the time beside others waits

    w_i = p_i (1 - 1 / f_i)   with   f_i = 1 + sum of the p_j beside it
    p_i = d_i f_i / (1 - d_i + d_i f_i)

(processor sharing of finite sources, by its mean). So what bound vCPUs waited is held against this:
a part of it near 1 says that they meet at random, and that roaming would save most of it; a small
part says that bound ones avoid one another, and should stay. Only pCPUs that are not full tell
anything, as on full ones all wait in any case.

Cost: some steps for each vCPU, each tick.
Source: both laws are in docs/explanation/laws.md; holding one against the other is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from virtlab.model.snapshot import CpuSnapshot
from virtlab.policies.sight import Sight

__all__ = ["Roaming"]

_FULL = 0.9  # of a pCPU: above that everybody waits, whatever the work is like
_KEPT = 0.8  # of what was seen is kept from one tick to the next
_AT_RANDOM = 0.5  # of what would be waited at random: more is as good as at random
_EVIDENCE = 0.05  # of waiting by the law, summed over vCPUs: less of it tells nothing
_STEPS = 8  # of iteration, after which shares are known to a hundredth
_AGAIN = 2.0  # times as full as vCPUs are let loose at is too full for that


@dataclass(slots=True)
class Roaming:
    """Remembers how long bound vCPUs waited, and what they would if they met at random."""

    loose: bool = False  # vCPUs roam
    _waited: float = 0.0
    _expected: float = 0.0

    def decide(self, host: CpuSnapshot, sight: Sight, full_max: float) -> bool:
        """Take in a snapshot; return whether its vCPUs had better roam.

        Args:
            host: the snapshot.
            sight: the same, worked out.
            full_max: how full the host may be for that.
        """
        full = fsum(sight.carried) / fsum(sight.speeds)
        self._learn(host, sight)
        if self.loose:
            self.loose = full <= _AGAIN * full_max
        elif full <= full_max and self._expected >= _EVIDENCE:
            self.loose = self._waited >= _AT_RANDOM * self._expected
        if self.loose:
            self._waited = self._expected = 0.0
        return self.loose

    def _learn(self, host: CpuSnapshot, sight: Sight) -> None:
        """Hold what bound vCPUs waited against the law."""
        self._waited *= _KEPT
        self._expected *= _KEPT
        there: list[list[int]] = [[] for _ in sight.speeds]
        fills = sight.fills
        roamed = False
        for number, (vcpu, seat) in enumerate(zip(host.vcpus, sight.seats, strict=True)):
            if seat is not None and len(vcpu.pcpus) == 1:
                there[seat].append(number)
            elif sight.loads[number] > 0.0:
                roamed = True
        if roamed:
            return  # who roams takes time from bound ones, nobody knows where
        for numbers, fill in zip(there, fills, strict=True):
            if len(numbers) > 1 and fill < _FULL:
                vcpus = [host.vcpus[number] for number in numbers]
                if any(vcpu.cap_share is not None for vcpu in vcpus):
                    continue  # being held back counts as waiting, and the law knows of no quota
                self._expected += fsum(_waits([sight.loads[number] for number in numbers]))
                self._waited += fsum([vcpu.delay_share or 0.0 for vcpu in vcpus])


def _waits(demands: list[float]) -> list[float]:
    """Return for what share of the time each waits on one pCPU, if all meet at random."""
    there = list(demands)
    for _ in range(_STEPS):
        total = fsum(there)
        there = [
            d * (1.0 + total - p) / (1.0 - d + d * (1.0 + total - p))
            for d, p in zip(demands, there, strict=True)
        ]
    total = fsum(there)
    return [p * (1.0 - 1.0 / (1.0 + total - p)) for p in there]
