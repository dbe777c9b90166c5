"""The process in a guest that touches more and more memory: the consumer's life, not its pages.

It grows at its rate while the vCPU that runs it is scheduled, up to its size; then it may hold all
for some time and free it. One at a time: a load that starts takes over what the one before holds.
"""

from __future__ import annotations

from collections.abc import Callable

from virtlab.model.units import NS_PER_S
from virtlab.model.workload import MemoryGrowth
from virtlab.simulator.engine import EventHandle, EventQueue, Priority

__all__ = ["MemoryLoad"]


class MemoryLoad:
    """What one guest's consumer is about."""

    def __init__(self, queue: EventQueue, on_release: Callable[[int], None]) -> None:
        """Take the host's events and what is called when a load has held its memory long enough."""
        self.growing = False
        self.speed = 1.0  # how much of the time the vCPU that touches pages is scheduled
        self._queue = queue
        self._on_release = on_release
        self._growth: MemoryGrowth | None = None
        self._holding: EventHandle | None = None
        self._hold_left_ns: int | None = None  # of its hold, while the guest stands still

    @property
    def there(self) -> bool:
        """Tell whether a load was started and not ended, growing or not."""
        return self._growth is not None

    def start(self, growth: MemoryGrowth) -> None:
        """Begin to grow."""
        self._stop_holding()
        self._growth, self.growing = growth, True

    def end(self) -> None:
        """End, whatever it was about."""
        self._stop_holding()
        self._growth, self.growing = None, False

    def rate(self) -> float:
        """Return how fast it would touch new pages, in KiB/ns."""
        if self._growth is None or not self.growing:
            return 0.0
        return self._growth.rate_kib_s * self.speed / NS_PER_S

    def left_kib(self, held_kib: float) -> float | None:
        """Return how much it still wants; None for all that there is, or where it does not grow."""
        if self._growth is None or not self.growing or self._growth.until_kib is None:
            return None
        return self._growth.until_kib - held_kib

    def reach(self, now_ns: int) -> int:
        """Come to its size; return which. From now on it holds it, for a time or for ever."""
        assert self._growth is not None and self._growth.until_kib is not None
        self.growing = False
        if self._growth.then_release:
            self._hold(now_ns + self._growth.hold_ns)
        return self._growth.until_kib

    def pause(self, now_ns: int) -> None:
        """Stand still with the guest, a hold included."""
        if self._holding is not None:
            self._hold_left_ns = self._holding.time_ns - now_ns
            self._queue.cancel(self._holding)
            self._holding = None

    def resume(self, now_ns: int) -> None:
        """Go on holding for as long as was left."""
        if self._hold_left_ns is not None:
            self._hold(now_ns + self._hold_left_ns)
            self._hold_left_ns = None

    def _hold(self, until_ns: int) -> None:
        self._holding = self._queue.schedule(until_ns, Priority.MEMORY, self._on_release)

    def _stop_holding(self) -> None:
        self._queue.cancel(self._holding)
        self._holding = self._hold_left_ns = None
