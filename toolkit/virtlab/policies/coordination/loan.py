"""Memory that was given ahead of balloons that are giving it; for `steady`.

A balloon takes a second for a GiB, and a policy looks every two, so that what one guest gives would
reach another two seconds after it was free. A loan reaches it at once: the host has less free in
the meantime, by what the borrowers touch. So only balloons are borrowed on that have given before,
one loan at a time, and only to guests that are not expected to touch more than half of the host's
reserve until it would be noticed that a balloon does not give. Then as much is called back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from virtlab.model.snapshot import GuestMemory
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = ["Loan"]

_THERE_KIB = KIB_PER_MIB  # a balloon moves in batches of 1 MiB (Linux, virtio_balloon.c)
_SEEN_AFTER_NS = 2 * NS_PER_S  # a size is that of an event up to a second old


@dataclass(frozen=True, slots=True)
class Loan:
    """What was lent to whom, and who is to pay for it."""

    since_ns: int
    lent_kib: Mapping[str, int]
    paying_kib: Mapping[str, tuple[int, int]]  # from this size to that

    def is_paid(self, guests: Mapping[str, GuestMemory]) -> bool:
        """Tell whether all balloons are where they were asked to be; who is gone has paid."""
        return all(
            guests[name].actual_kib <= to_kib + _THERE_KIB
            for name, (_, to_kib) in self.paying_kib.items()
            if name in guests
        )

    def lost_kib(self, guests: Mapping[str, GuestMemory], now_ns: int) -> int:
        """Return how much of it is not coming: that of balloons that have not moved at all."""
        if now_ns - self.since_ns < _SEEN_AFTER_NS:
            return 0
        missing_kib = sum(
            from_kib - to_kib
            for name, (from_kib, to_kib) in self.paying_kib.items()
            if name in guests and guests[name].actual_kib > from_kib - _THERE_KIB
        )
        return min(missing_kib, sum(self.lent_kib.values()))
