"""The host's load average: how many vCPUs run or wait for their turn, smoothed over minutes.

The kernel looks each 5 s and a tick at how many tasks are runnable at that instant, and mixes the
count into three averages in fixed-point numbers. Here the count is its expected value, the share of
time that each vCPU runs or waits, so that no chance is drawn. The host's own tasks are not counted.

Source: Linux, include/linux/sched/loadavg.h and kernel/sched/loadavg.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from virtlab.model.units import BOOT_S, NS_PER_MS, NS_PER_S
from virtlab.simulator.engine import EventQueue, Priority

__all__ = ["FIXED_1", "LOAD_STEP_NS", "LoadAverage"]

FIXED_1: Final = 1 << 11  # 1.0 in the kernel's fixed-point numbers
LOAD_STEP_NS: Final = 5_004 * NS_PER_MS  # 5 * HZ + 1 ticks at 250 Hz, as Debian's kernels have it
_DECAYS: Final = (1884, 2014, 2037)  # exp(-5 s / 1, 5 and 15 min)


class LoadAverage:
    """The averages over 1, 5 and 15 minutes; 0 at the host's boot and until scenario time 0."""

    def __init__(self, queue: EventQueue, runnable: Callable[[], float]) -> None:
        """Take the host's events, and what tells how many vCPUs are runnable."""
        self.fixed = (0, 0, 0)  # in units of 1 / FIXED_1
        self._queue = queue
        self._runnable = runnable
        steps = BOOT_S * NS_PER_S // LOAD_STEP_NS  # those between boot and time 0
        first_ns = (steps + 1) * LOAD_STEP_NS - BOOT_S * NS_PER_S
        queue.schedule(first_ns, Priority.NOISE, self._step)

    def _step(self, now_ns: int) -> None:
        active = round(self._runnable() * FIXED_1)
        one, five, fifteen = (
            _mixed(load, decay, active) for load, decay in zip(self.fixed, _DECAYS, strict=True)
        )
        self.fixed = (one, five, fifteen)
        self._queue.schedule(now_ns + LOAD_STEP_NS, Priority.NOISE, self._step)


def _mixed(load: int, decay: int, active: int) -> int:
    total = load * decay + active * (FIXED_1 - decay)
    if active >= load:
        total += FIXED_1 - 1  # a load that grows is rounded up, or it would never arrive
    return total // FIXED_1
