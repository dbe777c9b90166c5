"""What one guest needs, told from its reports and their age; used by `steady`.

- *firm* is what it could not do without: its size less usable memory. Page cache is not firm.
- What it has *swapped* out since it is watched it would rather have in memory, until it has neither
  written nor read any of it for some time. As memory is freed, part of that is *doubtful*, for what
  a process had in swap goes with it, and nobody tells how much that was. Where others lack memory
  the doubtful does not count; if nothing is read of it for a while, it was gone.
- It *grows* as firm memory and what lies in swap grow, from one report to the next: quick up, slow
  down. Where reports fail, resident memory tells of growth, as the host itself knows that.
- It *swings* by the most that this changed by lately, up or down.
- Its *peak* is the largest firm size of a window, so that what comes and goes is not chased.
- *Harm* is what it does only when it is too small: it swaps out, or reads back what it had to drop.

A report that was there at the last look already, or was made before the balloon was last asked to
move, says nothing of the present.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from virtlab.model.snapshot import GuestMemory
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = ["GuestNeed"]

_SWING_KEPT = 0.95  # of it from one report to the next: a twentieth after a minute or two
_LEAP_HALVED_S = 300.0
_SWAP_FORGOTTEN_NS = 120 * NS_PER_S  # after so long without a page read or written
_DOUBT_CONFIRMED_NS = 20 * NS_PER_S


@dataclass(slots=True)
class GuestNeed:
    """What is known of one guest's need, look by look."""

    known: bool = False  # there is a report that is not too old
    settled: bool = False  # it is new, and was made after the balloon was last asked to move
    firm_kib: int = 0
    unused_kib: int = 0
    cache_kib: int = 0  # usable, and used for something
    swapped_kib: int = 0
    doubtful_kib: int = 0  # in swap too, but whose it was may have ended
    growth_kib_s: float = 0.0
    swing_kib: float = 0.0  # most that it changed by lately, from one report to the next
    leap_kib: float = 0.0  # most that it grew by from one report to the next, remembered for long
    harmed: bool = False  # in the last look
    _report_ns: int | None = None
    _grown_kib: int = 0  # firm and in swap, at that report
    _firm_before_kib: int = 0  # without what is in swap, at that report
    _size_kib: int | None = None  # at the last look
    _rest: tuple[int, int] | None = None  # its size while it rested, and what its kernel managed
    _rss: tuple[int, int] | None = None  # moment and KiB
    _swap: tuple[int, int] | None = None  # KiB in and out, ever
    _swap_ns: int = 0  # when these last changed
    _swap_base_kib: int = 0  # lay in swap before, and does not count
    _faults: int | None = None
    _peaks: deque[tuple[int, int]] = field(default_factory=deque)  # moment and KiB, falling
    _since_ns: int | None = None  # it has been known without a gap since then

    def look(
        self, guest: GuestMemory, now_ns: int, *, stale_ns: int, asked_ns: int | None,
        faults_s_max: float,
    ) -> None:  # fmt: skip
        """Take a guest's figures in.

        Args:
            guest: its figures.
            now_ns: the moment of the look.
            stale_ns: a report older than this says nothing.
            asked_ns: when its balloon was last asked for a size.
            faults_s_max: major faults a second from which on it is harmed.
        """
        age_ns, unused_kib = guest.report_age_ns, guest.unused_kib
        self.harmed = False
        self.known = age_ns is not None and age_ns <= stale_ns and unused_kib is not None
        if not self.known or age_ns is None or unused_kib is None:
            self._look_from_outside(guest, now_ns)
            return
        usable_kib = unused_kib if guest.usable_kib is None else max(guest.usable_kib, unused_kib)
        report_ns = now_ns - age_ns
        new = self._report_ns is None or report_ns > self._report_ns
        self.settled = new and (asked_ns is None or report_ns >= asked_ns)
        self.unused_kib, self.cache_kib = unused_kib, usable_kib - unused_kib
        self.firm_kib = max(self._size_then_kib(guest) - usable_kib, 0)
        if new:
            self._compare(guest, report_ns, faults_s_max)
        self._rss = None if guest.rss_kib is None else (now_ns, guest.rss_kib)
        if self._since_ns is None:
            self._since_ns = now_ns
            self._peaks.clear()
        self.firm_kib += self.swapped_kib
        most_kib = self.firm_kib + self.doubtful_kib
        while self._peaks and self._peaks[-1][1] <= most_kib:
            self._peaks.pop()
        self._peaks.append((now_ns, most_kib))

    @property
    def certain(self) -> bool:
        """Tell whether it was seen to use what it has, by its report or as it grows."""
        return self.known or self.growth_kib_s > 0.0

    def peak_kib(self, from_ns: int) -> int | None:
        """Return the most that was firm from a moment on; None where it is not known so long.

        Looks before it are forgotten.
        """
        if self._since_ns is None or self._since_ns > from_ns:
            return None
        while len(self._peaks) > 1 and self._peaks[0][0] < from_ns:
            self._peaks.popleft()
        return self._peaks[0][1]

    def _size_then_kib(self, guest: GuestMemory) -> int:
        """Return how large the guest was when it reported.

        What its kernel manages comes with the report and moves with the balloon, so that the two
        are of one moment; what the kernel keeps for itself is learned while the balloon rests.
        """
        size_kib, before_kib = guest.actual_kib, self._size_kib
        self._size_kib = size_kib
        if guest.available_kib is None:
            return size_kib
        if before_kib in (None, size_kib) and abs(guest.asked_kib - size_kib) <= KIB_PER_MIB:
            self._rest = (size_kib, guest.available_kib)
        if self._rest is None:
            return size_kib
        rest_kib, managed_kib = self._rest
        if self.settled and guest.available_kib == managed_kib:
            # It rests, or deflates on demand, and then the kernel counts its pages all the time.
            return size_kib
        return guest.available_kib + rest_kib - managed_kib

    def _compare(self, guest: GuestMemory, report_ns: int, faults_s_max: float) -> None:
        """Hold a new report against the one before."""
        in_swap_kib = (guest.swap_out_kib or 0) - (guest.swap_in_kib or 0)
        grown_kib, faults = self.firm_kib + in_swap_kib, guest.major_faults
        seconds = 0.0 if self._report_ns is None else (report_ns - self._report_ns) / NS_PER_S
        if seconds:
            by_kib = grown_kib - self._grown_kib
            self.swing_kib = max(abs(by_kib), self.swing_kib * _SWING_KEPT)
            self.leap_kib = max(by_kib, self.leap_kib * 0.5 ** (seconds / _LEAP_HALVED_S))
            now = max((grown_kib - self._grown_kib) / seconds, 0.0)
            self.growth_kib_s = max(now, (now + self.growth_kib_s) / 2)
            if faults is not None and self._faults is not None:
                self.harmed = faults - self._faults > faults_s_max * seconds
        self._look_at_swap(guest, report_ns)
        self._doubt(self._grown_kib - grown_kib)
        self._report_ns, self._grown_kib, self._faults = report_ns, grown_kib, faults
        self._firm_before_kib = self.firm_kib

    def _look_at_swap(self, guest: GuestMemory, report_ns: int) -> None:
        if guest.swap_in_kib is None or guest.swap_out_kib is None:
            return
        before, self._swap = self._swap, (guest.swap_in_kib, guest.swap_out_kib)
        lies_kib = max(guest.swap_out_kib - guest.swap_in_kib, 0)
        idle_ns = report_ns - self._swap_ns
        if before is None or before[1] > guest.swap_out_kib:
            self._swap_base_kib = lies_kib  # the first look, or its counters began anew
        elif before != self._swap:
            self._swap_ns = report_ns
            self.harmed |= guest.swap_out_kib > before[1]
        elif idle_ns > _SWAP_FORGOTTEN_NS:
            self._swap_base_kib = lies_kib
        elif idle_ns > _DOUBT_CONFIRMED_NS:
            self._swap_base_kib += self.doubtful_kib
            self.doubtful_kib = 0
        in_swap_kib = max(lies_kib - self._swap_base_kib, 0)
        self.doubtful_kib = min(self.doubtful_kib, in_swap_kib)
        self.swapped_kib = in_swap_kib - self.doubtful_kib

    def _doubt(self, freed_kib: int) -> None:
        """Doubt as much of what is in swap as was freed of what was in memory."""
        if self.swapped_kib and freed_kib > 0:
            share = min(freed_kib / max(self._firm_before_kib, 1), 1.0)
            doubtful_kib = round(self.swapped_kib * share)
            self.doubtful_kib += doubtful_kib
            self.swapped_kib -= doubtful_kib

    def _look_from_outside(self, guest: GuestMemory, now_ns: int) -> None:
        """Tell growth from resident memory: what was never touched is surely unused."""
        self.settled, self._since_ns = False, None
        before, self._rss = self._rss, None
        if guest.rss_kib is None:
            self.growth_kib_s = 0.0
            return
        self._rss = (now_ns, guest.rss_kib)
        if before is not None and now_ns > before[0]:
            seconds = (now_ns - before[0]) / NS_PER_S
            self.growth_kib_s = max((guest.rss_kib - before[1]) / seconds, 0.0)
        self.unused_kib = max(guest.actual_kib - guest.rss_kib, 0)
        self.swapped_kib = self.doubtful_kib = self.cache_kib = 0
        self.firm_kib = min(guest.rss_kib, guest.actual_kib)
        self._report_ns = None
