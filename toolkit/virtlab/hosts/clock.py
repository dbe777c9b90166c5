"""What a host needs of a clock, and the time that one libvirt call costs.

In a graded run the program's computing costs no virtual time, so each call is charged a fixed
span instead: a program that polls without sleeping then makes progress, and equal runs stay equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from virtlab.model.units import NS_PER_MS

__all__ = ["CALL_COST_NS", "DEFAULT_CALL_COST_NS", "FILE_COST_NS", "HostClock", "call_cost_ns"]

# libvirt 9.0's own round trip was measured at 70 to 90 us over its UNIX socket.
DEFAULT_CALL_COST_NS = 100_000

# To open and read one of the files in which the kernel tells about the host was measured at 5
# (/proc/uptime) to 24 us (/proc/cpuinfo).
FILE_COST_NS = 20_000

# virDomainSetMemory waits for QEMU's monitor: 5 to 14 ms on a real host. The other calls that
# ask the monitor were not measured and cost the ordinary round trip.
_SET_MEMORY_COST_NS = 8 * NS_PER_MS

CALL_COST_NS: Mapping[str, int] = MappingProxyType(
    {
        "DOMAIN_SET_MEMORY": _SET_MEMORY_COST_NS,
        "DOMAIN_SET_MEMORY_FLAGS": _SET_MEMORY_COST_NS,
    }
)


class HostClock(Protocol):
    """The time of the host that a server serves."""

    @property
    def now_ns(self) -> int:
        """Return the host's current moment, in nanoseconds of scenario time."""

    def charge(self, ns: int) -> None:
        """Move time on by what a call costs; the host has been moved along on return."""


def call_cost_ns(procedure: str) -> int:
    """Return the virtual time that a call takes, by its procedure's name."""
    return CALL_COST_NS.get(procedure, DEFAULT_CALL_COST_NS)
