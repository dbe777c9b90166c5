"""Of what families of hosts short of memory are made: guests, growth, and numbers near others."""

from __future__ import annotations

from random import Random

from virtlab.model.scenario import Event, GuestSpec, StartWorkload
from virtlab.model.units import mib, seconds
from virtlab.model.workload import MemoryGrowth, Trace, TracePoint

__all__ = ["DURATION_S", "Drawn", "around", "grows", "guest_of", "touches_all"]

DURATION_S = 300
_KERNEL_MIB = 64

Drawn = tuple[list[GuestSpec], list[Event], int]  # and what the host has for guests, in MiB


def around(rng: Random, middle: int) -> int:
    """Return a number up to a fifth away."""
    return round(middle * rng.uniform(0.8, 1.2))


def guest_of(
    name: str,
    size_mib: int,
    most_mib: int,
    used_mib: int,
    *,
    swap_mib: int = 4096,
    cache_mib: int = 60,
    file_reads_mib_s: int = 0,
    running: bool = True,
) -> GuestSpec:
    """Return a guest of one vCPU whose kernel and processes hold `used_mib`."""
    return GuestSpec(
        name=name,
        vcpus=1,
        memory_kib=mib(size_mib),
        max_memory_kib=mib(most_mib),
        affinity=(None,),
        kernel_kib=mib(_KERNEL_MIB),
        processes_kib=mib(used_mib - _KERNEL_MIB),
        cache_kib=mib(cache_mib),
        swap_kib=mib(swap_mib),
        file_reads_kib_s=mib(file_reads_mib_s),
        running=running,
    )


def grows(
    name: str, at_s: float, rate_mib_s: int, until_mib: int, *, hold_s: float
) -> StartWorkload:
    """Return a process that touches memory, holds it for a while and frees it."""
    growth = MemoryGrowth(mib(rate_mib_s), mib(until_mib), seconds(hold_s), then_release=True)
    return StartWorkload(seconds(at_s), name, growth)


def touches_all(name: str, at_s: float = 0) -> StartWorkload:
    """Return a process that touches all that is free and ends at once, between two samples."""
    points = (TracePoint(0, 0.0, mib(1 << 20)), TracePoint(1000, 0.0, 0))
    return StartWorkload(seconds(at_s + 0.5), name, Trace(points))
