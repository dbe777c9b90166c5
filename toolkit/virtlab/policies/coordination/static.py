"""Every guest keeps the size that it has.

Idea: memory that is never moved is never missing where it was; this is what a host does by itself,
and what every other policy has to beat.
Formula: size = size.
Cost: none.
Weak spot: a guest that needs more runs out of memory beside one that leaves its own unused.
Source: none is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.plan import MemoryPlan
from virtlab.model.snapshot import MemorySnapshot

__all__ = ["Static"]


@dataclass(frozen=True, slots=True)
class Static:
    """Never resize anything."""

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Return an empty plan."""
        return MemoryPlan(because="sizes are left as they are")
