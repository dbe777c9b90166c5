"""The simulated side of a comparison: guests like those that were found, and what was done to them.

A scenario describes guests as a course has them, with a cloud image's processes and page cache. A
real run has micro-guests, which hold next to nothing. How much memory a guest holds is the
scenario's to say and no law, so the simulated guests get what the real ones held at the start, and
the reserve that the micro-guest's kernel keeps. Emulated ones also take as long to touch a page as
emulation does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from virtlab.grading.run import record_without_run
from virtlab.model.fidelity import Act
from virtlab.model.scenario import (
    GROWTH_DUTY,
    GuestSpec,
    PinVcpu,
    Scenario,
    SetMemory,
    StartWorkload,
)
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.units import KIB_PER_MIB
from virtlab.model.workload import MemoryGrowth

__all__ = ["as_found", "growth_duty", "replayed"]

# What an emulated guest's vCPU takes to wake up for it fifty times a second, and for each MiB/s
# that it touches: `python -m benchmarks --only duty`; see docs/explanation/fidelity.md.
_WAKING_DUTY: Final = 0.04
_TOUCHING_S_PER_MIB: Final = 0.0035

_BLOCK_KIB: Final = 2 * KIB_PER_MIB
_BLOCKS_A_ZONE: Final = 11  # two, and three times three for kinds of pages that are not mixed
_ABOVE_4G_FROM_KIB: Final = 2816 * KIB_PER_MIB  # from here on a q35 machine has some there


def as_found(scenario: Scenario, held_kib: Mapping[str, int], accelerator: str) -> Scenario:
    """Return a scenario with guests that hold at the start what real ones did.

    Args:
        scenario: the test.
        held_kib: by guest, of kernel and processes together; 0 where it is not known.
        accelerator: on which the real guests ran; emulated balloons have rates of their own.
    """
    return replace(
        scenario,
        host=replace(scenario.host, balloon="kvm" if accelerator == "kvm" else "emulation"),
        guests=tuple(
            replace(
                _holding(guest, held_kib.get(guest.name, 0)),
                growth_duty=_growth_duty_of(guest, scenario, accelerator),
            )
            for guest in scenario.guests
        ),
    )


def growth_duty(load: MemoryGrowth, accelerator: str) -> float:
    """Return what a vCPU wants while a load touches new pages, as a share of a pCPU."""
    if accelerator == "kvm":
        return GROWTH_DUTY
    return min(_WAKING_DUTY + load.rate_kib_s / KIB_PER_MIB * _TOUCHING_S_PER_MIB, 1.0)


def replayed(scenario: Scenario, acts: Sequence[Act]) -> Timeline:
    """Return the timeline of a simulated host to which given things are done, with no program."""
    done = (*scenario.events, *(_event(act) for act in acts if act.time_ns < scenario.duration_ns))
    events = tuple(sorted(done, key=lambda event: event.time_ns))
    outcome = ProgramOutcome("ok", "completed", "", scenario.duration_ns)
    played = replace(scenario, events=events)
    return record_without_run(played, scenario.seed, outcome).timeline


def _holding(guest: GuestSpec, held_kib: int) -> GuestSpec:
    if not held_kib:
        return guest
    kernel_kib = min(guest.kernel_kib, held_kib)
    return replace(
        guest,
        kernel_kib=kernel_kib,
        processes_kib=held_kib - kernel_kib,
        cache_kib=0,
        reserve_kib=_reserve_kib(guest.max_memory_kib),
    )


def _growth_duty_of(guest: GuestSpec, scenario: Scenario, accelerator: str) -> float:
    """Return what the largest load of a guest's memory wants."""
    loads = [
        event.workload
        for event in scenario.events
        if isinstance(event, StartWorkload) and event.guest == guest.name
    ]
    wanted = [growth_duty(load, accelerator) for load in loads if isinstance(load, MemoryGrowth)]
    return max(wanted, default=guest.growth_duty)


def _reserve_kib(memory_kib: int) -> int:
    """Return the min_free_kbytes of a Linux with transparent huge pages, in a guest of that size.

    Source: Linux 6.1, mm/khugepaged.c, set_recommended_min_free_kbytes: eleven page blocks of
    2 MiB for each zone, at most a twentieth of the memory. A micro-guest of 2 GiB has 45056.
    """
    zones = 2 if memory_kib < _ABOVE_4G_FROM_KIB else 3
    return min(_BLOCKS_A_ZONE * _BLOCK_KIB * zones, memory_kib // 20)


def _event(act: Act) -> PinVcpu | SetMemory:
    if act.vcpu is not None:
        return PinVcpu(act.time_ns, act.guest, act.vcpu, act.pcpus)
    assert act.memory_kib is not None
    return SetMemory(act.time_ns, act.guest, act.memory_kib)
