"""A hundred megabytes up, a hundred down: the coordinator of the course's hand-out.

Idea: a guest short of unused memory gets one step, one with plenty gives one, and all others are
left alone. Between the two thresholds lies more than a step, so that no step calls for the next.
Formula: size + step where unused < low and the host has it; size - step where unused > high.
Cost: one pass over the guests.
Weak spot: it looks at unused memory alone, so page cache counts as need; a guest that grows by more
than a step an interval runs out of memory; and idle memory between the thresholds is never moved,
however pressed others are.
Source: the public hand-out of CS6210's project 1 (steps of about 100 MB, at least 100 MB unused
in a guest, no guest below 200 MB, 200 MB left on the host). Where it gives no figure, such as for
`high`, ours is a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.plan import MemoryPlan, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, mib
from virtlab.policies.parameters import tunable

__all__ = ["Course"]


@dataclass(slots=True)
class Course:
    """Move at most one step a guest and interval."""

    step_mib: int = tunable(100, unit="MiB", effect="what is given or taken at once", at_least=1)
    low_mib: int = tunable(100, unit="MiB", effect="unused memory below which a guest gets a step")
    high_mib: int = tunable(250, unit="MiB", effect="unused memory above which it gives a step")

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Return a step for each guest that has too little or too much."""
        spare_kib = host.spare_kib
        actions = []
        for guest in host.guests:
            resize = self._step(guest, spare_kib)
            if resize is not None:
                actions.append(resize)
                spare_kib -= max(resize.memory_kib - guest.actual_kib, 0)
        return MemoryPlan(tuple(actions), because=f"{len(actions)} of {len(host.guests)} guests")

    def _step(self, guest: GuestMemory, spare_kib: int) -> Resize | None:
        size_kib, unused_kib = guest.actual_kib, guest.unused_kib
        if unused_kib is None or not (guest.has_balloon and guest.movable):
            return None
        step_kib = mib(self.step_mib)
        unused = f"{unused_kib // KIB_PER_MIB} MiB unused"
        if unused_kib < mib(self.low_mib):
            given_kib = min(step_kib, guest.max_kib - size_kib, spare_kib)
            if given_kib > 0:
                return Resize(guest.guest, size_kib + given_kib, f"only {unused}")
        elif unused_kib > mib(self.high_mib):
            taken_kib = min(step_kib, size_kib - guest.floor_kib)
            if taken_kib > 0:
                return Resize(guest.guest, size_kib - taken_kib, unused)
        return None
