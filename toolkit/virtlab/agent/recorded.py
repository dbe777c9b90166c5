"""From a journal's ticks back to the snapshots that a policy saw, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from virtlab.agent.journal import RecordedTick
from virtlab.agent.plain import Json
from virtlab.model.snapshot import CpuSnapshot, GuestMemory, MemorySnapshot, VcpuKey, VcpuView
from virtlab.model.topology import Cell, Topology

__all__ = ["key_of", "snapshot_of"]


def snapshot_of(tick: RecordedTick) -> Any:
    """Return the `CpuSnapshot` or `MemorySnapshot` of a tick, as its journal's kind has it."""
    kept = tick.parts["snapshot"]
    return _of_memory(kept) if "guests" in kept else _of_cpus(kept)


def key_of(text: str) -> VcpuKey:
    """Return a vCPU's key from how it reads, such as `web:0`.

    Raises:
        ValueError: it is none.
    """
    guest, _, number = text.rpartition(":")
    return VcpuKey(guest, int(number))


def _of_cpus(kept: Mapping[str, Json]) -> CpuSnapshot:
    topology = kept["topology"]
    cells = tuple(
        Cell(tuple(cell["pcpus"]), cell["memory_kib"], tuple(cell["distances"]))
        for cell in topology["cells"]
    )
    return CpuSnapshot(
        time_ns=kept["time_ns"],
        interval_ns=kept["interval_ns"],
        topology=Topology(
            **{
                **topology,
                "cells": cells,
                "cores": tuple(tuple(core) for core in topology["cores"]),
                "capacity": tuple(topology["capacity"]),
            }
        ),
        vcpus=tuple(_vcpu(each) for each in kept["vcpus"]),
        host_share={int(pcpu): share for pcpu, share in kept["host_share"].items()},
    )


def _vcpu(kept: Mapping[str, Json]) -> VcpuView:
    sets = {
        name: None if kept[name] is None else frozenset(kept[name])
        for name in ("pcpus", "allowed", "memory_cells")
    }
    return VcpuView(**{**kept, **sets, "key": key_of(kept["key"])})


def _of_memory(kept: Mapping[str, Json]) -> MemorySnapshot:
    return MemorySnapshot(
        **{**kept, "guests": tuple(GuestMemory(**each) for each in kept["guests"])}
    )
