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

from typing import Final

from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = ["REPORT_DELAY_NS", "REPORT_FREE_MIN_KIB", "REPORT_ORDER_KIB", "pass_kib"]

REPORT_DELAY_NS: Final = 2 * NS_PER_S
REPORT_ORDER_KIB: Final = 2 * KIB_PER_MIB
_BLOCKS_A_REQUEST: Final = 32
_PASSES: Final = 16
REPORT_FREE_MIN_KIB: Final = _BLOCKS_A_REQUEST * REPORT_ORDER_KIB  # above the low watermark


def pass_kib(free_kib: float, unreported_kib: float) -> int:
    """Return how much of a guest's unreported free memory one pass gives back to the host."""
    free_blocks = int(free_kib) // REPORT_ORDER_KIB
    requests = -(-free_blocks // (_BLOCKS_A_REQUEST * _PASSES)) + 1
    unreported_blocks = int(unreported_kib) // REPORT_ORDER_KIB
    return min(unreported_blocks, requests * _BLOCKS_A_REQUEST) * REPORT_ORDER_KIB
