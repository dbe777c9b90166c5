"""Small hosts for lessons, in the few words that matter there."""

from __future__ import annotations

from collections.abc import Sequence

from virtlab.model.scenario import Event, GuestSpec, HostSpec, ProgramKind, Scenario, StartWorkload
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Batch, Duty

__all__ = ["computes", "cpu_guest", "finishes", "small_host"]

_GUEST_MIB = 512
_USED_MIB = 1024


def small_host(
    guests: Sequence[GuestSpec],
    events: Sequence[Event],
    *,
    program: ProgramKind = "vcpu_scheduler",
    pcpus: int = 4,
    room_mib: int | None = None,
    swap_mib: int = 0,
    interval_s: int = 1,
    duration_s: int = 30,
) -> Scenario:
    """Return a host that is watched for a while.

    Args:
        guests: who is on it.
        events: what happens to them.
        program: what kind of policy serves it.
        pcpus: how many it has.
        room_mib: memory for guests; more than they can take where None.
        swap_mib: its swap.
        interval_s: how often the policy looks.
        duration_s: how long it is watched.
    """
    room = sum(guest.max_memory_kib for guest in guests) if room_mib is None else mib(room_mib)
    return Scenario(
        id="lesson",
        title="A host of a lesson",
        why="there is something to see on it",
        program=program,
        seed=1,
        host=HostSpec(
            pcpus=pcpus,
            memory_kib=mib(_USED_MIB) + room + (mib(1024) if room_mib is None else 0),
            used_kib=mib(_USED_MIB),
            swap_kib=mib(swap_mib),
        ),
        guests=tuple(guests),
        events=tuple(sorted(events, key=lambda event: event.time_ns)),
        interval_s=interval_s,
        duration_s=duration_s,
        criteria=(),
    )


def cpu_guest(name: str, on: Sequence[int], *, working_set_kib: int = 0) -> GuestSpec:
    """Return a guest with a vCPU bound to each of these pCPUs; memory plays no part."""
    return GuestSpec(
        name=name,
        vcpus=len(on),
        memory_kib=mib(_GUEST_MIB),
        max_memory_kib=mib(_GUEST_MIB),
        affinity=tuple((pcpu,) for pcpu in on),
        kernel_kib=mib(42),
        processes_kib=mib(120),
        cache_kib=mib(100),
        working_set_kib=working_set_kib,
    )


def computes(name: str, duty: float, *, at_s: float = 0.0) -> StartWorkload:
    """Return a load that wants a share of a pCPU and never ends."""
    return StartWorkload(seconds(at_s), name, Duty(duty, ms(0.5)))


def finishes(name: str, work_s: float, *, at_s: float = 0.0) -> StartWorkload:
    """Return a load that ends when so many seconds of a pCPU's work are done."""
    return StartWorkload(seconds(at_s), name, Batch(seconds(work_s)))
