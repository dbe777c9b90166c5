"""How fast a virtio balloon moves, and what it does when a guest has nothing left to give.

Source for the rates: the virtio-balloon runs of the HyperAlloc artifact (EuroSys '25; QEMU 8.2,
Linux 6.1, KVM, means of ten): 18 GiB of touched memory taken in 20.45 s, and given in 8.53 s.
Source for the rest: Linux drivers/virtio/virtio_balloon.c, which takes 256 pages a batch, and
where no page is to be had ("Out of puff!") sleeps 200 ms and tries again for ever.
"""

from __future__ import annotations

from typing import Final

from virtlab.model.units import NS_PER_MS, NS_PER_S

__all__ = ["DEFLATE_KIB_PER_NS", "INFLATE_KIB_PER_NS", "OUT_OF_PUFF_NS"]

_KIB_PER_GIB: Final = 1024 * 1024

# The balloon grows: the guest gets smaller.
INFLATE_KIB_PER_NS: Final = 0.88 * _KIB_PER_GIB / NS_PER_S
# The balloon shrinks: the guest gets larger.
DEFLATE_KIB_PER_NS: Final = 2.11 * _KIB_PER_GIB / NS_PER_S

OUT_OF_PUFF_NS: Final = 200 * NS_PER_MS
