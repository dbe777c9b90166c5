"""What a guest's memory is made of: processes, page cache, a consumer and what is free.

    actual = kernel + processes + cache + consumer - swapped + free  (the balloon: max - actual)

Between two events each part moves at a constant rate, so every size is a straight line and is read
without changing anything. Resident memory is what the host holds for the guest of all that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from virtlab.model.scenario import GuestSpec
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.simulator.guest_swap import GuestSwap

__all__ = [
    "CACHE_REST_KIB",
    "FREE_MIN_KIB",
    "IDLE_FAULTS_PER_S",
    "Line",
    "MemoryFigures",
    "MemorySizes",
]

FREE_MIN_KIB: Final = 4 * KIB_PER_MIB  # what a stalled guest was seen to keep
CACHE_REST_KIB: Final = 20 * KIB_PER_MIB  # pages that run right now cannot be given up
IDLE_FAULTS_PER_S: Final = 60
_PROCESSES_REST_KIB: Final = 16 * KIB_PER_MIB  # init and the shell are neither killed nor swapped
_PAGE_KIB: Final = 4
_BOOT_FAULTS: Final = 40_000  # of a small cloud image by the end of its boot
_BOOT_MAJOR_FAULTS: Final = 600


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """A guest's memory at one moment, in KiB and counts."""

    actual_kib: int
    target_kib: int
    unused_kib: int
    usable_kib: int
    available_kib: int
    cache_kib: int
    consumer_kib: int
    rss_kib: int
    minor_faults: int
    major_faults: int
    swap_in_kib: int
    swap_out_kib: int


@dataclass(slots=True)
class Line:
    """A size that moves at a constant rate."""

    kib: float
    rate: float = 0.0  # KiB/ns

    def at(self, span_ns: int) -> float:
        """Return the size so long after it was written down."""
        return self.kib + self.rate * span_ns


class MemorySizes:
    """The parts of one guest's memory; whoever sets a rate settles first."""

    def __init__(self, spec: GuestSpec) -> None:
        """Take the guest; all is 0 until it boots."""
        self.spec = spec
        self.actual = Line(0.0)
        self.cache = Line(0.0)
        self.consumer = Line(0.0)
        self.rss = Line(0.0)
        self.swap = GuestSwap(spec.swap_kib, spec.swap_kib_s)
        self._processes_kib = 0
        self._since_ns = 0
        self._booted_ns = 0
        self._touched_kib = 0.0  # ever, for the fault counts

    def boot(self, now_ns: int, actual_kib: int) -> None:
        """Start with the processes and the cache that the scenario gives the guest."""
        spec = self.spec
        self._since_ns = self._booted_ns = now_ns
        self._processes_kib = spec.processes_kib
        self.actual = Line(float(actual_kib))
        room_kib = actual_kib - spec.kernel_kib - spec.processes_kib - FREE_MIN_KIB
        self.cache = Line(float(max(min(spec.cache_kib, room_kib), 0)))
        self.consumer = Line(0.0)
        self.swap.reset()
        self.rss = Line(self.held_kib())
        self._touched_kib = 0.0

    def reboot(self, now_ns: int, max_kib: int) -> None:
        """Start anew at the same size, or as large as a system must be; no page is given back."""
        spec = self.spec
        least_kib = spec.kernel_kib + spec.processes_kib + FREE_MIN_KIB
        resident_kib = self.rss.kib
        self.boot(now_ns, min(max(int(self.actual.kib), least_kib), max_kib))
        self.rss.kib = min(max(self.rss.kib, resident_kib), self.actual.kib)

    def skip(self, span_ns: int) -> None:
        """Take note that the guest stood still so long, without a fault of its processes."""
        self._booted_ns += span_ns

    def span_ns(self, now_ns: int) -> int:
        """Return how long ago the sizes were written down."""
        return now_ns - self._since_ns

    @property
    def rest(self) -> bool:
        """Tell whether none of them moves."""
        rates = (self.actual.rate, self.cache.rate, self.consumer.rate, self.rss.rate)
        return not (any(rates) or self.swap.rate)

    def settle(self, now_ns: int) -> None:
        """Write down where the lines have led, before their rates change."""
        span_ns = self.span_ns(now_ns)
        if self.consumer.rate > 0.0:
            self._touched_kib += self.consumer.rate * span_ns
        for line in (self.actual, self.cache, self.consumer, self.rss):
            line.kib = line.at(span_ns)
        self.swap.settle(span_ns)
        self._since_ns = now_ns

    # Sums, as written down.

    def held_kib(self) -> float:
        """Return what is not free."""
        moving_kib = self.cache.kib + self.consumer.kib - self.swap.kib
        return self.spec.kernel_kib + self._processes_kib + moving_kib

    def free_kib(self) -> float:
        """Return what nobody uses."""
        return self.actual.kib - self.held_kib()

    def swap_room_kib(self) -> float:
        """Return how much more could be swapped out."""
        return self.swap.room_kib(self._swappable_kib())

    def processes_swapped_kib(self) -> float:
        """Return what of its idle processes lies in swap; theirs go first."""
        return min(self.swap.kib, self.killable_kib())

    def killable_kib(self) -> int:
        """Return what daemons hold that the OOM killer may end."""
        return max(self._processes_kib - _PROCESSES_REST_KIB, 0)

    # What processes do at once.

    def set_consumer(self, kib: int) -> None:
        """Let the consumer hold so much, as far as the guest has it to give."""
        room_kib = self.actual.kib - self.spec.kernel_kib - self._processes_kib - FREE_MIN_KIB
        room_kib += self.swap.kib
        wanted_kib = min(float(kib), max(room_kib - min(self.cache.kib, CACHE_REST_KIB), 0.0))
        self._touched_kib += max(wanted_kib - self.consumer.kib, 0.0)
        self.consumer.kib = wanted_kib
        self.cache.kib = max(min(self.cache.kib, room_kib - wanted_kib), 0.0)
        self.swap.trim(self._swappable_kib())
        self.rss.kib = min(max(self.rss.kib, self.held_kib()), self.actual.kib)

    def end_consumer(self) -> None:
        """Free all that the consumer holds."""
        self.consumer = Line(0.0)
        self.swap.trim(self._swappable_kib())

    def end_daemon(self) -> int:
        """Free what a daemon holds, half of what all do; return how much that was."""
        freed_kib = (self.killable_kib() + 1) // 2
        self._processes_kib -= freed_kib
        self.swap.trim(self._swappable_kib())
        return freed_kib

    # What can be seen.

    def figures(
        self, now_ns: int, *, target_kib: int, shown_kib: int, available_kib: int | None
    ) -> MemoryFigures:
        """Return the truth at a moment, which must not lie before the last event.

        Args:
            now_ns: the moment.
            target_kib: the size that the balloon was asked for.
            shown_kib: the size that it shows.
            available_kib: what the guest takes its memory to be; None: what it has.
        """
        span_ns = self.span_ns(now_ns)
        cache_kib = int(self.cache.at(span_ns))
        consumer_kib = int(self.consumer.at(span_ns))
        owned_kib = max(int(self.actual.at(span_ns)) - self.spec.kernel_kib, 0)
        swapped_kib = int(self.swap.at(span_ns))
        held_kib = self._processes_kib + cache_kib + consumer_kib - swapped_kib
        unused_kib = max(owned_kib - held_kib, 0)
        grown_kib = self.consumer.rate * span_ns if self.consumer.rate > 0.0 else 0.0
        faults = int((self._touched_kib + grown_kib) / _PAGE_KIB)
        idle = (now_ns - self._booted_ns) * IDLE_FAULTS_PER_S // NS_PER_S
        return MemoryFigures(
            actual_kib=shown_kib,
            target_kib=target_kib,
            unused_kib=unused_kib,
            usable_kib=unused_kib + max(cache_kib - CACHE_REST_KIB, 0),
            available_kib=owned_kib if available_kib is None else available_kib,
            cache_kib=cache_kib,
            consumer_kib=consumer_kib,
            rss_kib=int(self.rss.at(span_ns)),
            minor_faults=_BOOT_FAULTS + faults + idle,
            major_faults=_BOOT_MAJOR_FAULTS + self.swap.read_faults(span_ns),
            swap_in_kib=self.swap.read_kib(span_ns),
            swap_out_kib=self.swap.written_kib(span_ns),
        )

    def _swappable_kib(self) -> float:
        return self.consumer.kib + self.killable_kib()
