"""A guest's swap space: what of its anonymous memory lies there, and how fast it goes.

Where nothing is free and the page cache is down to its rest, Linux writes anonymous pages to swap
before its OOM killer looks for a victim. The oldest go first: those of the guest's idle processes,
then the consumer's. What a process that ended had there is free at once. What idle processes had
there comes back where memory is free and they touch it again, a readahead of eight pages
(vm.page-cluster is 3) a fault.

Source for the speed: a process on Linux that touched 384 MiB with room for 128 and a swap file on
a virtual disk went on at 500 to 620 MiB/s once it swapped (1300 MiB/s before). With 900 MiB
to touch and 600 of swap, the OOM killer came when memory and swap were both full, and not before.
"""

from __future__ import annotations

from typing import Final

from virtlab.model.units import NS_PER_S

__all__ = ["GuestSwap"]

_PAGE_KIB: Final = 4
_READAHEAD_PAGES: Final = 8


class GuestSwap:
    """How much of one guest lies in swap; a straight line between two events, as all sizes are."""

    __slots__ = ("_read_kib", "_written_kib", "kib", "rate", "size_kib", "speed")

    def __init__(self, size_kib: int, speed_kib_s: int) -> None:
        """Take the space, 0 for none, and how fast pages are written to it."""
        self.size_kib = size_kib
        self.speed = speed_kib_s / NS_PER_S  # KiB/ns
        self.reset()

    def reset(self) -> None:
        """Empty it, as at a boot."""
        self.kib = self._read_kib = self._written_kib = 0.0
        self.rate = 0.0

    def at(self, span_ns: int) -> float:
        """Return what lies in it, so long after the last event."""
        return self.kib + self.rate * span_ns

    def settle(self, span_ns: int) -> None:
        """Write down where the rate has led."""
        moved_kib = self.rate * span_ns
        self.kib = max(self.kib + moved_kib, 0.0)
        self._written_kib += max(moved_kib, 0.0)
        self._read_kib += max(-moved_kib, 0.0)

    def room_kib(self, swappable_kib: float) -> float:
        """Return how much more of the memory that may go there fits."""
        return min(self.size_kib, swappable_kib) - self.kib

    def trim(self, swappable_kib: float) -> None:
        """Free what belonged to processes that ended; nothing is read for that."""
        self.kib = min(self.kib, max(swappable_kib, 0.0))

    def written_kib(self, span_ns: int) -> int:
        """Return what was swapped out since the boot, as swap_out of memory statistics."""
        return int(self._written_kib + max(self.rate * span_ns, 0.0))

    def read_kib(self, span_ns: int) -> int:
        """Return what was swapped in since the boot, as swap_in of memory statistics."""
        return int(self._read_kib + max(-self.rate * span_ns, 0.0))

    def read_faults(self, span_ns: int) -> int:
        """Return how many major faults that took."""
        return self.read_kib(span_ns) // (_PAGE_KIB * _READAHEAD_PAGES)

    @staticmethod
    def back_rate(faults_per_s: int) -> float:
        """Return how fast faults of idle processes bring memory back, in KiB/ns."""
        return faults_per_s * _PAGE_KIB * _READAHEAD_PAGES / NS_PER_S
