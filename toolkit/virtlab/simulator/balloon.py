"""How fast a virtio balloon moves, and what it does when a guest has nothing left to give.

Source for the rates under KVM: the virtio-balloon runs of the HyperAlloc artifact (EuroSys '25;
QEMU 8.2, Linux 6.1, means of ten): 18 GiB of touched memory taken in 20.45 s, and given in 8.53 s.
Under emulation 0.4 to 0.7 GiB/s were measured when taking, 0.25 beside a busy vCPU, and 1.6 to
2.0 when giving.
Source for the rest: Linux drivers/virtio/virtio_balloon.c, which takes 256 pages a batch, and
where no page is to be had ("Out of puff!") sleeps 200 ms and tries again for ever. With
deflate-on-OOM each call of its OOM notifier gives 256 pages back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from virtlab.model.units import NS_PER_MS, NS_PER_S

__all__ = ["RATES", "Balloon", "Rates"]

_KIB_PER_GIB: Final = 1024 * 1024
_BATCH_KIB: Final = 256 * 4
_OUT_OF_PUFF_NS: Final = 200 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a balloon moves, in KiB/ns."""

    inflate: float  # the guest gets smaller
    inflate_busy: float  # the same while one of its vCPUs never sleeps
    deflate: float  # the guest gets larger


def _gib_s(rate: float) -> float:
    return rate * _KIB_PER_GIB / NS_PER_S


RATES: Final = {
    "kvm": Rates(_gib_s(0.88), _gib_s(0.88), _gib_s(2.11)),
    "emulation": Rates(_gib_s(0.55), _gib_s(0.25), _gib_s(1.8)),
}


class Balloon:
    """The balloon of one guest: the size that is asked for, and whether pages are found for it."""

    def __init__(self, kind: Literal["kvm", "emulation"], max_kib: int, *, batches: bool) -> None:
        """Take the kind of host, the guest's maximum and whether whole batches are shown."""
        self.max_kib = max_kib
        self.target_kib = 0
        self.stuck = False  # a fault: it stands still whatever is asked of it
        self.giving = False  # it deflates as the guest is out of memory
        self.stalled_ns: int | None = None  # since when it finds no page
        self._rates = RATES[kind]
        self._batches = batches
        self._from_kib = 0.0  # where its present move began
        self._retry_ns = 0

    @property
    def goal_kib(self) -> int:
        """Return the size at which its present move ends, if nothing else ends it."""
        return self.max_kib if self.giving else self.target_kib

    def boot(self, kib: int) -> int:
        """Come up with the guest, at a size or its maximum; return which."""
        self.target_kib = min(kib, self.max_kib)
        self.restart()
        return self.target_kib

    def restart(self) -> None:
        """Begin anew with the guest's system, bound for the same size."""
        self.giving, self.stalled_ns, self._retry_ns = False, None, 0

    def aim(self, kib: int) -> None:
        """Go towards a size from now on, without waiting."""
        self.target_kib = min(kib, self.max_kib)
        self.retry()

    def retry(self) -> None:
        """Look for pages at once, as some have become free."""
        self._retry_ns = 0

    def rate(self, now_ns: int, actual_kib: float, busy: Callable[[], bool]) -> float:
        """Return how fast it would move, in KiB/ns."""
        if self.stuck:
            return 0.0
        if actual_kib < self.target_kib:
            return self._rates.deflate
        if actual_kib > self.target_kib and now_ns >= self._retry_ns:
            return -(self._rates.inflate_busy if busy() else self._rates.inflate)
        return 0.0

    @property
    def heeds_loads(self) -> bool:
        """Tell whether it moves slower beside a vCPU that never sleeps."""
        return self._rates.inflate_busy != self._rates.inflate

    def wait(self, now_ns: int) -> None:
        """Sleep before it looks for pages again, as it has found none."""
        self._retry_ns = now_ns + _OUT_OF_PUFF_NS

    def skip(self, span_ns: int) -> None:
        """Take note that its guest stood still so long: what it waits for comes later."""
        self._retry_ns += span_ns
        if self.stalled_ns is not None:
            self.stalled_ns += span_ns

    def retries_at(self, now_ns: int) -> int | None:
        """Return when it tries again; None where it is not stalled, or not any more."""
        if self._retry_ns <= now_ns:
            self.stalled_ns = None  # it wants nothing any more, or gives
        return None if self.stalled_ns is None else self._retry_ns

    def sets_out(self, kib: float, rate_before: float, rate: float) -> None:
        """Note where a move begins, if this is another than the one before."""
        if (rate_before > 0.0) != (rate > 0.0) or rate_before == 0.0:
            self._from_kib = kib

    def shown_kib(self, kib: int, rate: float) -> int:
        """Return the size that it shows: on its way, it may tell of whole batches only."""
        if not rate or not (self._batches or self.giving):
            return kib
        moved_kib = abs(kib - self._from_kib) // _BATCH_KIB * _BATCH_KIB
        return int(self._from_kib + (moved_kib if kib > self._from_kib else -moved_kib))
