"""Free page reporting: a guest tells its host which pages it does not use, without a balloon.

The host takes them back, so that resident memory falls while the guest's size stays. Pages are
reported in blocks of 2 MiB, two seconds after some became free, and never where free memory is
near the low watermark. A pass sends 32 blocks a request, and one request more than a sixteenth of
the free blocks take; what is left waits two seconds for the next, so that an idle guest has
reported all within half a minute.

Source: Linux mm/page_reporting.c (PAGE_REPORTING_DELAY, PAGE_REPORTING_CAPACITY, the budget of
page_reporting_cycle and the watermark of page_reporting_process_zone). All free memory is taken
to lie in one list of blocks of 2 MiB; a real kernel has several lists and works on each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.simulator.engine import EventHandle, EventQueue, Priority
from virtlab.simulator.memory_sizes import FREE_MIN_KIB, MemorySizes

__all__ = ["PageReporting", "pass_kib"]

_DELAY_NS: Final = 2 * NS_PER_S
_BLOCK_KIB: Final = 2 * KIB_PER_MIB
_BLOCKS_A_REQUEST: Final = 32
_PASSES: Final = 16
_FREE_MIN_KIB: Final = _BLOCKS_A_REQUEST * _BLOCK_KIB + FREE_MIN_KIB  # above the low watermark


class PageReporting:
    """The passes of one guest, each some time after it became worth while."""

    def __init__(
        self, sizes: MemorySizes, queue: EventQueue, on_pass: Callable[[int], None]
    ) -> None:
        """Take the guest's memory, the host's events and what is called when a pass is due."""
        self._sizes = sizes
        self._queue = queue
        self._on_pass = on_pass
        self._next: EventHandle | None = None

    def plan(self, now_ns: int) -> None:
        """Have a pass two seconds after a block of free memory is there that was not reported."""
        wanted = self._sizes.spec.free_page_reporting and self._next is None
        if wanted and self._unreported_kib():
            self._next = self._queue.schedule(now_ns + _DELAY_NS, Priority.MEMORY, self._due)

    def stop(self) -> None:
        """Forget about the pass that is still to come."""
        self._queue.cancel(self._next)
        self._next = None

    def report(self) -> None:
        """Make one pass; the sizes are written down."""
        reported_kib = pass_kib(self._sizes.free_kib(), self._unreported_kib())
        self._sizes.rss.kib -= reported_kib

    def _due(self, now_ns: int) -> None:
        self._next = None
        self._on_pass(now_ns)

    def _unreported_kib(self) -> float:
        """Return the free memory that the host still holds; none where too little is free."""
        if self._sizes.free_kib() < _FREE_MIN_KIB:
            return 0.0
        unreported_kib = self._sizes.rss.kib - self._sizes.held_kib()
        return unreported_kib if unreported_kib >= _BLOCK_KIB else 0.0


def pass_kib(free_kib: float, unreported_kib: float) -> int:
    """Return how much of a guest's unreported free memory one pass gives back to the host."""
    free_blocks = int(free_kib) // _BLOCK_KIB
    requests = -(-free_blocks // (_BLOCKS_A_REQUEST * _PASSES)) + 1
    unreported_blocks = int(unreported_kib) // _BLOCK_KIB
    return min(unreported_blocks, requests * _BLOCKS_A_REQUEST) * _BLOCK_KIB
