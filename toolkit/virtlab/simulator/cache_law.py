"""What a move costs a vCPU: the time to fill the caches of its new pCPU.

    cost = 0.2 ms + working set / refill bandwidth

Measured on Linux, two CPUs, at 100 moves a second: code with little in the cache lost at most 2 %
of a second's work, so 0.2 ms a move; with 512 KiB in use 1 to 4 % (0.1 to 0.4 ms a move), with
8 MiB 6 to 17 % (0.6 to 1.7 ms). A refill at 8 GiB/s gives 2.6 and 11.8 %, the middle of both.

Good up to 8 MiB, between CPUs of one last-level cache; moves farther cost the same here. Code that
waits for each line before it knows the next fills its cache several times as slowly: a chain of
pointers through 512 KiB lost 1.5 ms a move. Code that streams loses next to nothing.
"""

from __future__ import annotations

from typing import Final

from virtlab.model.units import NS_PER_MS, NS_PER_S

__all__ = ["MOVE_COST_NS", "move_cost_ns"]

# The kernel's sysctl_sched_migration_cost of 0.5 ms is its guess for code with some working set.
MOVE_COST_NS: Final = NS_PER_MS // 5
_REFILL_KIB_S: Final = 8 * 1024 * 1024


def move_cost_ns(working_set_kib: int) -> int:
    """Return the work that a vCPU loses by a move, in pCPU time.

    It is time that runs and does no work: a batch ends later by it, while the CPU time that
    counters show stays as it is. Loads without an end have no work to lose that anybody could see.
    """
    return MOVE_COST_NS + working_set_kib * NS_PER_S // _REFILL_KIB_S
