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

from dataclasses import dataclass
from typing import Final, Literal

from virtlab.model.units import NS_PER_MS, NS_PER_S

__all__ = ["BATCH_KIB", "OUT_OF_PUFF_NS", "BalloonRates", "in_batches", "rates_of"]

_KIB_PER_GIB: Final = 1024 * 1024
BATCH_KIB: Final = 256 * 4
OUT_OF_PUFF_NS: Final = 200 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class BalloonRates:
    """How fast a balloon moves, in KiB/ns."""

    inflate: float  # the guest gets smaller
    inflate_busy: float  # the same while one of its vCPUs never sleeps
    deflate: float  # the guest gets larger


def _gib_s(rate: float) -> float:
    return rate * _KIB_PER_GIB / NS_PER_S


_RATES: Final = {
    "kvm": BalloonRates(_gib_s(0.88), _gib_s(0.88), _gib_s(2.11)),
    "emulation": BalloonRates(_gib_s(0.55), _gib_s(0.25), _gib_s(1.8)),
}


def rates_of(kind: Literal["kvm", "emulation"]) -> BalloonRates:
    """Return the rates of a kind of host."""
    return _RATES[kind]


def in_batches(from_kib: float, kib: float) -> float:
    """Return the size that a balloon on its way shows: it tells of whole batches only."""
    moved_kib = abs(kib - from_kib) // BATCH_KIB * BATCH_KIB
    return from_kib + moved_kib if kib > from_kib else from_kib - moved_kib
