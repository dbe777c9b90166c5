"""What a policy is: an object that turns each snapshot into a plan.

What a policy remembers from one snapshot to the next are its own fields, so two objects of one
class know nothing of each other. It never sleeps, prints, connects or reads a clock; where it
needs chance it draws from a generator of its own, seeded by a parameter. So the same snapshots
give the same plans, in the simulator, in a replay and on a host.

A vCPU of which a figure of the last interval is None, and a guest that is `fresh`, has just come:
whatever was known of one of the same name is about another.
"""

from __future__ import annotations

from typing import Protocol

from virtlab.model.plan import CpuPlan, MemoryPlan
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot

__all__ = ["CoordinationPolicy", "SchedulingPolicy"]


class SchedulingPolicy(Protocol):
    """Decides on which pCPUs vCPUs may run."""

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return what to pin now; an empty plan leaves things alone."""
        ...


class CoordinationPolicy(Protocol):
    """Decides how much memory each guest has."""

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Return which balloons to set now; an empty plan leaves things alone."""
        ...
