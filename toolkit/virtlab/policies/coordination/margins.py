"""How much one guest lacks, and how much of what it has lies idle; for `steady`."""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.snapshot import GuestMemory
from virtlab.model.units import KIB_PER_MIB, mib
from virtlab.policies.coordination.guest_need import GuestNeed

__all__ = ["SMALLEST_KIB", "Margins", "base_kib"]

SMALLEST_KIB = mib(4)  # less than this is not worth a call
_STARVED_KIB = mib(8)  # so little is what a guest has that finds no page
_LEAST_KIB = mib(8)  # is left to a guest that does not change while others lack memory


@dataclass(frozen=True, slots=True)
class Margins:
    """What is wanted around a guest's need."""

    low_kib: int  # unused memory below which a guest is pressed
    band_kib: int  # how much more than wanted is left with it
    scarce_kib: int  # most unused memory that it is left where others have less
    lead_s: float  # how far ahead growth is reckoned with
    interval_s: float  # from look to look
    cache: float  # page cache that it keeps, as a share of what it has in use
    cache_kib: int  # and at least
    step_up_kib: int
    step_down_kib: int

    def lacking_kib(self, guest: GuestMemory, need: GuestNeed) -> int:
        """Return what a guest should get now; 0 where it is not pressed."""
        room_kib = guest.max_kib - base_kib(guest)
        # One that does not report is kept a little ahead of what is resident.
        if room_kib <= 0 or not (need.known or guest.rss_kib is not None):
            return 0
        coming_kib = base_kib(guest) - guest.actual_kib
        growth = need.growth_kib_s
        # A guest that does not grow may as well use its page cache.
        grows = growth * self.interval_s >= KIB_PER_MIB
        swapped_kib = need.swapped_kib + need.doubtful_kib
        left_kib = need.unused_kib + coming_kib + (0 if grows else need.cache_kib)
        left_kib -= swapped_kib + round(growth * self.lead_s)
        low_kib = self._low_kib(need)
        if left_kib >= low_kib:
            return 0
        wanted_kib = low_kib + self.band_kib - left_kib + round(growth * self.interval_s)
        if need.known and need.unused_kib + need.cache_kib < _STARVED_KIB:
            wanted_kib = max(wanted_kib, self.step_up_kib)  # nobody knows how much it would take
        return min(wanted_kib, self.step_up_kib + swapped_kib, room_kib)

    def urgent_kib(self, need: GuestNeed, *, ahead_s: float) -> int:
        """Return what a guest lacks to the little that it has to have unused, some time ahead."""
        if not need.certain:
            return 0
        has_kib = need.unused_kib + need.cache_kib - round(need.growth_kib_s * ahead_s)
        return max(self._least_kib(need) + need.swapped_kib - has_kib, 0)

    def idle_long_kib(self, guest: GuestMemory, need: GuestNeed, from_ns: int) -> int:
        """Return what may be taken as it was idle from a moment on: a step, or nothing."""
        peak_kib = need.peak_kib(from_ns)
        if peak_kib is None:
            return 0
        cache_kib = max(round(self.cache * peak_kib), self.cache_kib)
        excess_kib = self._excess_kib(
            guest, need, peak_kib, cache_kib, self._low_kib(need) + self.band_kib // 2
        )
        return min(excess_kib, self.step_down_of(guest)) if excess_kib >= self.band_kib else 0

    def idle_now_kib(self, guest: GuestMemory, need: GuestNeed, *, urgent: bool) -> int:
        """Return what may be taken as others lack it: all, and where it is urgent the margin."""
        if urgent:
            firm_kib = need.firm_kib
            cache_kib, keep_kib = self.cache_kib // 16, self._least_kib(need)
        else:
            firm_kib = need.firm_kib + need.doubtful_kib
            cache_kib, keep_kib = self.cache_kib // 4, self.low_kib
        excess_kib = self._excess_kib(guest, need, firm_kib, cache_kib, keep_kib)
        return excess_kib if excess_kib >= SMALLEST_KIB else 0

    def may_still_give(self, guest: GuestMemory, need: GuestNeed) -> bool:
        """Tell whether a guest has what its balloon was asked for and has not given."""
        way_kib = guest.actual_kib - guest.asked_kib
        return 0 < way_kib <= need.unused_kib + need.cache_kib - self.scarce_kib

    def step_down_of(self, guest: GuestMemory) -> int:
        """Return the most that is taken from a guest at once where nobody lacks it."""
        return min(self.step_down_kib, guest.actual_kib // 4)

    def _low_kib(self, need: GuestNeed) -> int:
        """Return the unused memory below which a guest is pressed: enough for a leap like its last.

        Where it grew little by little, that is what every guest has.
        """
        return max(self.low_kib, min(round(need.leap_kib) + self.scarce_kib, self.step_up_kib))

    def _least_kib(self, need: GuestNeed) -> int:
        """Return the little that a guest has to have unused: twice what it changes by."""
        return min(_LEAST_KIB + round(2 * need.swing_kib), self.scarce_kib)

    def _excess_kib(
        self, guest: GuestMemory, need: GuestNeed, firm_kib: int, cache_kib: int, keep_kib: int
    ) -> int:
        """Return how much more it has than it needs; less than 0 where it lacks memory."""
        keep_kib += round(need.growth_kib_s * self.lead_s)
        want_kib = max(firm_kib + min(need.cache_kib, cache_kib) + keep_kib, guest.floor_kib)
        return guest.actual_kib - want_kib


def base_kib(guest: GuestMemory) -> int:
    """Return the size that a guest has or is going to have, whichever is more."""
    return max(guest.actual_kib, guest.asked_kib)
