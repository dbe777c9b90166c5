"""Units: moments and spans are integer nanoseconds, sizes are integer KiB."""

from __future__ import annotations

__all__ = ["BOOT_S", "EPOCH_S", "KIB_PER_MIB", "NS_PER_MS", "NS_PER_S", "mib", "ms", "seconds"]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
KIB_PER_MIB = 1024

EPOCH_S = 1_767_225_600  # CLOCK_REALTIME at scenario time 0: 2026-01-01T00:00:00Z
BOOT_S = 100  # CLOCK_MONOTONIC at scenario time 0: the host has been up this long


def seconds(value: float) -> int:
    """Return a span given in seconds as whole nanoseconds."""
    return round(value * NS_PER_S)


def ms(value: float) -> int:
    """Return a span given in milliseconds as whole nanoseconds."""
    return round(value * NS_PER_MS)


def mib(value: float) -> int:
    """Return a size given in MiB as whole KiB."""
    return round(value * KIB_PER_MIB)
