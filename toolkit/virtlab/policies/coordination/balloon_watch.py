"""Whether one guest's balloon does what is asked of it, and when to leave it alone; for `steady`.

A balloon that is asked to move and does not is *stuck*: nobody counts on it any more, and where its
guest has nothing to give, it is asked to stay where it is and left alone for a time. Taking memory
that a guest then lacks is *harm*, and taking what it soon lacks again is *regret*: after these
nothing is taken from it for a time. Each time doubles with each case, up to a limit, and begins
anew where there was no case for long.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from virtlab.model.snapshot import GuestMemory
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = ["BalloonWatch", "HoldOff"]

_THERE_KIB = KIB_PER_MIB  # a balloon moves in batches of 1 MiB (Linux, virtio_balloon.c)
_LIMIT = 32  # times the first hold-off
_FORGIVEN_AFTER = 8  # times the last one


@dataclass(slots=True)
class HoldOff:
    """A time in which something is not done, which doubles with each case."""

    until_ns: int = 0
    length_ns: int = 0
    _case_ns: int = 0

    def begin(self, now_ns: int, first_s: float) -> None:
        """Note a case."""
        first_ns = round(first_s * NS_PER_S)
        if now_ns - self._case_ns > _FORGIVEN_AFTER * self.length_ns:
            self.length_ns = 0
        self.length_ns = min(max(2 * self.length_ns, first_ns), _LIMIT * first_ns)
        self.until_ns, self._case_ns = now_ns + self.length_ns, now_ns

    def lasts(self, now_ns: int) -> bool:
        """Tell whether it is not over yet."""
        return now_ns < self.until_ns


@dataclass(slots=True)
class BalloonWatch:
    """One guest's balloon, look by look."""

    asked_ns: int | None = None  # when it was last asked for a size
    taken_ns: int | None = None  # when memory was last taken from it
    proven: bool = False  # it has given what it was asked for, and was not stuck since
    stuck: HoldOff = field(default_factory=HoldOff)
    harm: HoldOff = field(default_factory=HoldOff)
    regret: HoldOff = field(default_factory=HoldOff)
    _size_kib: int | None = None
    _progress_ns: int = 0

    def moving(self, guest: GuestMemory) -> bool:
        """Tell whether it is on its way."""
        return abs(guest.asked_kib - guest.actual_kib) > _THERE_KIB

    def look(self, guest: GuestMemory, now_ns: int) -> None:
        """Note progress; who moves is not stuck."""
        before_kib, self._size_kib = self._size_kib, guest.actual_kib
        way_kib = guest.asked_kib - guest.actual_kib
        moves = before_kib is not None and (guest.actual_kib - before_kib) * way_kib > 0
        if moves:
            self.stuck.until_ns = now_ns
        self.proven |= before_kib is not None and guest.actual_kib + _THERE_KIB < before_kib
        if before_kib is None or moves or not self.moving(guest):
            self._progress_ns = now_ns

    def stands(self, guest: GuestMemory, now_ns: int, patience_ns: int) -> bool:
        """Tell whether it has made no progress for so long, and is not where it was asked to be.

        Asking it again in the meantime does not count as progress.
        """
        stands = self.moving(guest) and now_ns - self._progress_ns > patience_ns
        self.proven &= not stands
        return stands

    def asked(self, now_ns: int, by_kib: int) -> None:
        """Note that it was asked to move."""
        self.asked_ns = now_ns
        if by_kib < 0:
            self.taken_ns = now_ns

    def missed(self, now_ns: int, case: HoldOff, first_s: float) -> None:
        """Note that the guest lacks memory: a case, if memory was taken from it so lately."""
        if self.taken_ns is not None and now_ns - self.taken_ns <= first_s * NS_PER_S:
            case.begin(now_ns, first_s)
        self.taken_ns = None  # what was taken before is no case any more
