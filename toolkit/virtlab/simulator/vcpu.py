"""A vCPU: what it wants, where it sits, and the time that it got.

Its rates are set by the pCPU that it sits on and hold until something changes; between two changes
its counters are exact products of rate and time, so that looking at them changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Final

from virtlab.simulator.cache_law import MOVE_COST_NS
from virtlab.simulator.cpu_law import BUSY, EQUAL_WEIGHT
from virtlab.simulator.engine import EventHandle, EventQueue
from virtlab.simulator.seat_times import SeatTimes

if TYPE_CHECKING:
    from random import Random

    from virtlab.simulator.quota_law import Pool
    from virtlab.simulator.weight_law import Group

__all__ = ["ASIDE", "SimulatedVcpu", "in_order"]

ASIDE: Final = -1  # in place of a period: loops are served in turn beside such a load


@lru_cache(maxsize=4096)
def in_order(mask: frozenset[int]) -> tuple[int, ...]:
    """Return a mask's pCPUs in order; vCPUs of one mask share the tuple."""
    return tuple(sorted(mask))


class SimulatedVcpu:
    """One vCPU of a guest; `run_ns` and `delay_ns` are the truth at the host's now."""

    __slots__ = (
        "_before_delay_ns",
        "_before_run_ns",
        "_delay_ns",
        "_left",
        "_pcpus",
        "_queue",
        "_run_ns",
        "_seated_run_ns",
        "_since_ns",
        "base_speed",
        "batch",
        "batch_event",
        "batch_left_ns",
        "beat_ns",
        "company_ppm",
        "demand",
        "draw",
        "duty",
        "duty_now",
        "family",
        "free",
        "group",
        "growing",
        "growth_duty",
        "index",
        "key",
        "levels",
        "limited",
        "mask",
        "move_cost_ns",
        "moved_ns",
        "name",
        "noise_max",
        "pcpu",
        "period_ns",
        "permitted",
        "pool",
        "powered",
        "quota",
        "roams",
        "run_rate",
        "speed",
        "speed_by_cell",
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
        self.permitted = in_order(mask)
        self.pcpu = self.permitted[0]
        self.weight = EQUAL_WEIGHT  # of its guest
        self.group: Group | None = None  # the vCPUs of its guest; None: it is the only one
        self.family = number  # the same for all vCPUs of a guest: the first one's number
        self.company_ppm = 0  # for how much the others of its guest count, in millionths of one
        self.quota = inf  # share of a pCPU that it may run at most
        self.pool: Pool | None = None  # quota of all vCPUs of its guest
        self.limited = False  # a quota of its own or of its guest holds for it
        self.draw = noise.random  # from this vCPU's own stream of random numbers
        self.levels: tuple[float, ...] = ()  # what it may want, each with the same chance
        self.noise_max = noise_max
        self.powered = False  # its guest runs and is not paused
        self.duty = 0.0  # what its load wants; 0 for an idle vCPU
        self.wanted_ppm = 0  # the same in millionths: sums of it are exact
        self.period_ns = 0  # of a loop; 0 for other loads
        self.beat_ns = 0  # the same of a loop whose work fits into a slice; 0 for other loads
        self.free = False  # a load that may run in several places
        self.roams = False  # one that sleeps and may wake up on another pCPU
        self.growing = False  # a memory load touches pages on it
        self.growth_duty = 0.0  # what that wants
        self.duty_now = 0.0  # duty with this second's noise
        self.demand = 0.0  # the same at its present speed
        self.speed = 1.0  # work that it does in a second of pCPU time
        self.base_speed = 1.0  # the same where its pCPU has no sibling, or an idle one
        # By the cell of its pCPU: how its memory is near there; empty: the same everywhere.
        self.speed_by_cell: tuple[float, ...] = ()
        self.batch = False
        self.batch_left_ns = 0.0
        self.batch_event: EventHandle | None = None
        self.moved_ns = 0
        self.move_cost_ns = MOVE_COST_NS  # work that a move loses
        self.run_rate = 0.0
        self.wait_rate = 0.0
        self._pcpus = pcpus
        self._left: SeatTimes | None = None  # what it ran on pCPUs before it left them
        self._seated_run_ns = 0  # what it had run when it came to its present one
        self._before_run_ns = self._before_delay_ns = 0  # in earlier lives of its guest
        self._queue = queue
        self._run_ns = 0
        self._delay_ns = 0
        self._since_ns = 0

    @property
    def loaded(self) -> bool:
        """Tell whether a CPU load runs on it."""
        return self.duty > 0.0 and self.powered

    @property
    def loads(self) -> bool:
        """Tell whether it has a load that says how its pCPU is shared, and is not aside."""
        return self.duty > 0.0 and self.beat_ns != ASIDE

    @property
    def pull(self) -> float:
        """Return with what weight it competes, the others of its guest counted."""
        return self.weight / (1.0 + self.company_ppm / 1e6)

    def join(self, group: Group) -> None:
        """Belong to a guest, for ever."""
        group.vcpus.append(self)
        self.group = group
        self.family = group.vcpus[0].key

    def note_roaming(self) -> None:
        """Work out `free` and `roams` from mask and duty."""
        self.free = len(self.permitted) > 1 and self.duty > 0.0
        self.roams = self.free and self.duty < BUSY

    @property
    def halted(self) -> bool:
        """Tell what it was doing at a moment taken at random: sleeping, or not."""
        return self.run_rate + self.wait_rate < 0.5

    @property
    def time_per_pcpu_ns(self) -> Sequence[int]:
        """Return the time that its present thread ran on each pCPU, cumulative."""
        times_ns = [0] * self._pcpus
        for pcpu, ran_ns in self._left or ():
            times_ns[pcpu] = ran_ns
        times_ns[self.pcpu] += self.here_ns()
        return times_ns

    def run_ns(self) -> int:
        """Return the time that it ran, cumulative."""
        return self._run_ns + int(self.run_rate * (self._queue.now_ns - self._since_ns))

    def delay_ns(self) -> int:
        """Return the time that it waited on a run queue, cumulative."""
        return self._delay_ns + int(self.wait_rate * (self._queue.now_ns - self._since_ns))

    def begin(self) -> None:
        """Begin as a new thread, with its guest's new QEMU process: counters show 0 again."""
        self.settle(self._queue.now_ns)
        self._before_run_ns, self._before_delay_ns = self._run_ns, self._delay_ns
        self._seated_run_ns = self._run_ns
        self._left = None

    def thread_run_ns(self) -> int:
        """Return the time that its present thread ran, which is what the host counts."""
        return self.run_ns() - self._before_run_ns

    def thread_delay_ns(self) -> int:
        """Return the time that its present thread waited on a run queue."""
        return self.delay_ns() - self._before_delay_ns

    def here_ns(self) -> int:
        """Return what it ran since it came to its present pCPU."""
        return self.run_ns() - self._seated_run_ns

    def settle(self, now_ns: int) -> None:
        """Write down what the rates have brought so far."""
        span_ns = now_ns - self._since_ns
        self._since_ns = now_ns
        self._run_ns += int(self.run_rate * span_ns)
        self._delay_ns += int(self.wait_rate * span_ns)
        if self.batch:
            self.batch_left_ns -= self.run_rate * span_ns * self.speed

    def leave(self, now_ns: int) -> int:
        """Write down what it ran on its pCPU, which it leaves now; return that."""
        self.settle(now_ns)
        self.run_rate = self.wait_rate = 0.0
        ran_ns = self._run_ns - self._seated_run_ns
        self._seated_run_ns = self._run_ns
        self.left(self.pcpu, ran_ns)
        return ran_ns

    def left(self, pcpu: int, ran_ns: int) -> None:
        """Take note that it ran so long on a pCPU that it leaves."""
        if self._left is None:
            self._left = SeatTimes()
        self._left.add(pcpu, ran_ns)
