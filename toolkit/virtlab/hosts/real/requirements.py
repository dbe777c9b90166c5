"""What a scenario asks for that a real host cannot offer; found before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from virtlab.hosts.real.connection import HostConnection
from virtlab.model.scenario import (
    Event,
    GuestSpec,
    PinVcpu,
    Scenario,
    SetMemory,
    StartWorkload,
    StopWorkload,
)
from virtlab.model.units import KIB_PER_MIB
from virtlab.model.workload import Trace

__all__ = ["HostFigures", "host_figures", "lacks"]

# QEMU's own memory beside a guest's: 300 to 350 MiB were measured for a guest of 512 MiB that had
# touched a part of it; a guest that touches all of its memory needs it on top.
_QEMU_KIB: Final = 100 * KIB_PER_MIB
_SPARE_KIB: Final = 400 * KIB_PER_MIB  # what criteria want to stay free, twice
_GUEST_KIB_MIN: Final = 128 * KIB_PER_MIB  # of which the micro-guest's kernel needs a third


@dataclass(frozen=True, slots=True)
class HostFigures:
    """What a host has."""

    pcpus: int
    memory_kib: int
    free_kib: int  # caches included, which are given back when they are wanted


def host_figures(connection: HostConnection) -> HostFigures:
    """Return what a host has now."""
    node = connection.call("NODE_GET_INFO")
    stats = {s.field: s.value for s in connection.call("NODE_GET_MEMORY_STATS", 4, -1, 0).params}
    free_kib = sum(stats.get(name, 0) for name in ("free", "buffers", "cached"))
    return HostFigures(node.cpus, node.memory, free_kib)


def lacks(scenario: Scenario, host: HostFigures) -> list[str]:
    """Return what the host cannot offer, each as the rest of `it ...`; nothing where all is there.

    A scheduler sees all pCPUs of its host, so their number has to be the scenario's; a
    coordinator's scenario goes by memory alone.
    """
    found = []
    if scenario.program == "vcpu_scheduler" and scenario.host.pcpus != host.pcpus:
        found.append(f"needs {_counted(scenario.host.pcpus)}, and this host has {host.pcpus}")
    found += _memory(scenario, host)
    if scenario.host.topology is not None:
        found.append("describes a topology, and a real host has its own")
    for guest in scenario.guests:
        found += [f"has {guest.name} {what}" for what in _guest(guest)]
    # The same event may come for many guests; one sentence is enough.
    return list(dict.fromkeys([*found, *(what for e in scenario.events for what in _event(e))]))


def _counted(pcpus: int) -> str:
    return "1 pCPU" if pcpus == 1 else f"{pcpus} pCPUs"


def _memory(scenario: Scenario, host: HostFigures) -> Iterator[str]:
    wanted_kib = sum(guest.max_memory_kib for guest in scenario.guests)
    scarce = wanted_kib > scenario.host.memory_kib - scenario.host.used_kib
    coordinator = scenario.program == "memory_coordinator"
    needed_kib = wanted_kib + len(scenario.guests) * _QEMU_KIB + _SPARE_KIB
    if coordinator and scarce:
        yield (
            f"is about a host that cannot give its guests what they want; here that is decided by "
            f"the {host.memory_kib // KIB_PER_MIB} MiB that this host has, so it would be another "
            "test"
        )
    elif needed_kib > host.free_kib:
        yield (
            f"needs {needed_kib // KIB_PER_MIB} MiB for its guests, and this host has "
            f"{host.free_kib // KIB_PER_MIB} MiB free"
        )


def _guest(guest: GuestSpec) -> Iterator[str]:
    if not (guest.defined and guest.running):
        yield "come later, and guests of a real run are there from the start"
    if guest.swap_kib:
        yield "with swap, and the micro-guest has none"
    if guest.tuning:
        yield "with weights or quotas, which are not set on a real host yet"
    if guest.memory_kib < _GUEST_KIB_MIN:
        yield (
            f"with {guest.memory_kib // KIB_PER_MIB} MiB, and the micro-guest takes "
            f"{_GUEST_KIB_MIN // KIB_PER_MIB}"
        )


def _event(event: Event) -> Iterator[str]:
    if isinstance(event, StartWorkload) and isinstance(event.workload, Trace):
        yield "plays a trace, which cannot be played in a real guest yet"
    elif not isinstance(event, StartWorkload | StopWorkload | PinVcpu | SetMemory):
        yield f"has the event {type(event).__name__}, which cannot be made on a real host yet"
