"""Pin every vCPU anywhere, again and again: the floor under any comparison.

Idea: none. A policy that does not beat this one does nothing for its host.
Cost: one draw for each vCPU and tick.
Weak spot: all of it; with few vCPUs it is even now and then, by luck, and then moves on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.snapshot import CpuSnapshot
from virtlab.policies.parameters import tunable
from virtlab.policies.seats import permitted

__all__ = ["AtRandom"]


@dataclass(slots=True)
class AtRandom:
    """Pin every vCPU to a pCPU drawn at random, each tick."""

    seed: int = tunable(1, unit="number", effect="another sequence of draws")
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return a pin for every vCPU that may be moved."""
        pins = tuple(
            Pin(v.key, frozenset({self._random.choice(sorted(permitted(v, host)))}), "drawn")
            for v in host.vcpus
            if v.movable
        )
        return CpuPlan(pins, "a draw for each vCPU")
