"""Leave everything to Linux: no vCPU is ever pinned.

Idea: the kernel balances run queues itself, many times a second, with knowledge that no client of
libvirt has: who is runnable just now, whose caches are warm.
Cost: none.
Weak spot: it balances *runnable tasks* and not shares, within the masks that it finds: what is
pinned badly stays so, and three busy vCPUs on two pCPUs are moved two or three times a second.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot

__all__ = ["LeaveAlone"]


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Never pin anything."""

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return an empty plan."""
        return CpuPlan(because="Linux is left alone")
