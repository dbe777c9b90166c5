"""A vCPU: what it wants, where it sits, and the time that it got.

Its rates are set by the pCPU that it sits on and hold until something changes; between two changes
its counters are exact products of rate and time, so that looking at them changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtlab.model.units import NS_PER_MS
from virtlab.simulator.cpu_law import BUSY, EQUAL_WEIGHT
from virtlab.simulator.engine import EventHandle, EventQueue

if TYPE_CHECKING:
    from random import Random

__all__ = ["MOVE_COST_NS", "SimulatedVcpu"]

# Cache-light code lost at most 2 % of a second's work at 100 moves a second, so 0.2 ms a move; the
# kernel's sysctl_sched_migration_cost of 0.5 ms is its guess for code with some working set. It is
# time that runs and does no work (cold caches): a batch ends later by it, while the CPU time that
# counters show stays as it is. Loads without an end have no work to lose that anybody could see.
MOVE_COST_NS = NS_PER_MS // 5


class SimulatedVcpu:
    """One vCPU of a guest; `run_ns` and `delay_ns` are the truth at the host's now."""

    __slots__ = (
        "_delay_ns",
        "_per_pcpu_ns",
        "_queue",
        "_run_ns",
        "_since_ns",
        "batch",
        "batch_event",
        "batch_left_ns",
        "demand",
        "duty",
        "growing",
        "halted",
        "index",
        "key",
        "mask",
        "moved_ns",
        "name",
        "noise",
        "noise_max",
        "pcpu",
        "permitted",
        "powered",
        "roams",
        "run_rate",
        "wait_rate",
        "wanted_ppm",
        "weight",
    )

    def __init__(
        self, name: str, index: int, number: int, mask: frozenset[int], pcpus: int,
        queue: EventQueue, noise: Random, noise_max: float,
    ) -> None:  # fmt: skip
        """Take the guest's name, the vCPU's index in it, and its number on the host."""
        self.name = name
        self.index = index
        self.key = number  # settles every choice among equals
        self.mask = mask
        self.permitted = tuple(sorted(mask))
        self.pcpu = min(mask)
        self.weight = EQUAL_WEIGHT
        self.noise = noise  # this vCPU's own stream of random numbers
        self.noise_max = noise_max
        self.powered = False  # its guest runs and is not paused
        self.halted = True
        self.duty = 0.0  # what its load wants; 0 for an idle vCPU
        self.wanted_ppm = 0  # the same in millionths: sums of it are exact
        self.roams = False  # a loop that sleeps and may wake up on another pCPU
        self.growing = False  # a memory load touches pages on it
        self.demand = 0.0  # duty with this second's noise
        self.batch = False
        self.batch_left_ns = 0.0
        self.batch_event: EventHandle | None = None
        self.moved_ns = 0
        self.run_rate = 0.0
        self.wait_rate = 0.0
        self._per_pcpu_ns = [0] * pcpus
        self._queue = queue
        self._run_ns = 0
        self._delay_ns = 0
        self._since_ns = 0

    @property
    def loaded(self) -> bool:
        """Tell whether a CPU load runs on it."""
        return self.duty > 0.0 and self.powered

    def note_roaming(self) -> None:
        """Work out `roams` from mask and duty."""
        self.roams = len(self.permitted) > 1 and 0.0 < self.duty < BUSY

    @property
    def time_per_pcpu_ns(self) -> list[int]:
        """Return the time that it ran on each pCPU, cumulative."""
        times_ns = list(self._per_pcpu_ns)
        times_ns[self.pcpu] += self.live_ns()
        return times_ns

    def run_ns(self) -> int:
        """Return the time that it ran, cumulative."""
        return self._run_ns + int(self.run_rate * (self._queue.now_ns - self._since_ns))

    def delay_ns(self) -> int:
        """Return the time that it waited on a run queue, cumulative."""
        return self._delay_ns + int(self.wait_rate * (self._queue.now_ns - self._since_ns))

    def live_ns(self) -> int:
        """Return what it ran since its rates were last set, not yet written down."""
        return int(self.run_rate * (self._queue.now_ns - self._since_ns))

    def settle(self, now_ns: int) -> int:
        """Write down what the rates have brought so far; return the time that it ran."""
        span_ns = now_ns - self._since_ns
        self._since_ns = now_ns
        ran_ns = int(self.run_rate * span_ns)
        self._run_ns += ran_ns
        self._delay_ns += int(self.wait_rate * span_ns)
        self._per_pcpu_ns[self.pcpu] += ran_ns
        if self.batch:
            self.batch_left_ns -= self.run_rate * span_ns
        return ran_ns
