"""Small hosts for coordination policies, and snapshots made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from virtlab.model.scenario import Event, GuestSpec, HostSpec, Scenario, StartWorkload
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import mib, seconds
from virtlab.model.workload import MemoryGrowth, Trace, TracePoint

GIB = 1024  # in MiB


def spec(
    name: str,
    *,
    size_mib: int = 512,
    max_mib: int = 2048,
    used_mib: int = 152,
    cache_mib: int = 170,
    swap_mib: int = 0,
    **changes: object,
) -> GuestSpec:
    """Return a guest of one vCPU whose kernel and processes hold `used_mib`."""
    return GuestSpec(
        name=name,
        vcpus=1,
        memory_kib=mib(size_mib),
        max_memory_kib=mib(max_mib),
        affinity=(None,),
        kernel_kib=mib(64),
        processes_kib=mib(used_mib - 64),
        cache_kib=mib(cache_mib),
        swap_kib=mib(swap_mib),
        **changes,  # type: ignore[arg-type]
    )


def scenario(
    guests: Sequence[GuestSpec],
    events: Sequence[Event] = (),
    *,
    host_mib: int = 16 * GIB,
    duration_s: int = 240,
    interval_s: int = 2,
    used_mib: int = GIB,
    **changes: object,
) -> Scenario:
    """Return a host with these guests; it holds 1 GiB itself."""
    host = HostSpec(4, mib(host_mib), mib(used_mib), **changes)  # type: ignore[arg-type]
    return Scenario(
        "test",
        "t",
        "w",
        "memory_coordinator",
        1,
        host,
        tuple(guests),
        tuple(sorted(events, key=lambda event: event.time_ns)),
        interval_s,
        duration_s,
        (),
    )


def grows(
    name: str,
    at_s: float,
    *,
    rate_mib_s: int = 16,
    until_mib: int | None = None,
    hold_s: float = 0,
    keep: bool = False,
) -> StartWorkload:
    """Return the start of a consumer."""
    until_kib = None if until_mib is None else mib(until_mib)
    growth = MemoryGrowth(mib(rate_mib_s), until_kib, seconds(hold_s), not keep)
    return StartWorkload(seconds(at_s), name, growth)


def touches_all(name: str, *, each_s: float = 5, until_s: float = 240) -> StartWorkload:
    """Return a load that again and again touches all that its guest has, and frees it at once.

    So the guest's memory is resident whatever its size.
    """
    points = []
    for n in range(int(until_s / each_s)):
        at_ns = seconds(n * each_s + 0.5)
        points += [TracePoint(at_ns, 0.0, mib(1 << 20)), TracePoint(at_ns + 1000, 0.0, 0)]
    return StartWorkload(0, name, Trace(tuple(points)))


def view(
    name: str,
    size_mib: float,
    unused_mib: float | None,
    *,
    max_mib: float = 2048,
    least_mib: float = 200,
    **changes: object,
) -> GuestMemory:
    """Return what a fresh report shows of a guest that has touched all of its memory."""
    return replace(
        GuestMemory(
            guest=name,
            actual_kib=mib(size_mib),
            max_kib=mib(max_mib),
            floor_kib=mib(least_mib),
            rss_kib=mib(size_mib),
            report_age_ns=0,
            unused_kib=None if unused_mib is None else mib(unused_mib),
            usable_kib=None if unused_mib is None else mib(unused_mib),
            available_kib=mib(size_mib - 64),
        ),
        **changes,  # type: ignore[arg-type]
    )


def snapshot(
    *guests: GuestMemory,
    free_mib: float = 4096,
    time_s: float = 0,
    interval_s: float = 2,
    total_mib: float = 8192,
    reserve_mib: float = 0,
) -> MemorySnapshot:
    """Return a host as a policy sees it."""
    return MemorySnapshot(
        time_ns=seconds(time_s),
        interval_ns=seconds(interval_s),
        host_total_kib=mib(total_mib),
        host_free_kib=mib(free_mib),
        guests=tuple(sorted(guests, key=lambda one: one.guest)),
        host_reserve_kib=mib(reserve_mib),
    )
