"""Small pure conversions between libvirt's values and the simulator's."""

from __future__ import annotations

from collections.abc import Iterable

from virtlab.model.units import NS_PER_MS

__all__ = [
    "TICK_NS",
    "cpu_map",
    "format_cpu_list",
    "in_ticks",
    "pcpus_of_map",
]

# The kernel counts a thread's user and system time in clock ticks, and libvirt reads those for
# vcpu.N.time, virDomainGetVcpus and virDomainGetInfo.
TICK_NS = 10 * NS_PER_MS


def in_ticks(span_ns: int) -> int:
    """Return a span as the kernel's tick counter shows it: whole ticks, in nanoseconds."""
    return span_ns - span_ns % TICK_NS


def cpu_map(pcpus: Iterable[int], length: int) -> bytes:
    """Return a CPU map of `length` bytes; what lies beyond them is cut off.

    Bit n % 8 of byte n // 8 stands for pCPU n.
    """
    bits = 0
    for pcpu in pcpus:
        bits |= 1 << pcpu
    return (bits & ((1 << (8 * length)) - 1)).to_bytes(length, "little")


def pcpus_of_map(cpumap: bytes, pcpus: int) -> frozenset[int]:
    """Return the pCPUs named by a CPU map; bits past the host's `pcpus` are ignored."""
    bits = int.from_bytes(cpumap, "little")
    return frozenset(pcpu for pcpu in range(min(pcpus, 8 * len(cpumap))) if bits >> pcpu & 1)


def format_cpu_list(pcpus: Iterable[int]) -> str:
    """Return pCPUs as libvirt writes them: 0-3,6."""
    parts: list[str] = []
    ordered = sorted(pcpus)
    start = 0
    for index, pcpu in enumerate(ordered):
        if index + 1 < len(ordered) and ordered[index + 1] == pcpu + 1:
            continue
        first = ordered[start]
        parts.append(str(first) if first == pcpu else f"{first}-{pcpu}")
        start = index + 1
    return ",".join(parts)
