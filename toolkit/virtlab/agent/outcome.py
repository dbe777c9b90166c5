"""The figures of a snapshot by which a plan is held to what it expected.

They bear the names that plans use (`Plan.expected`): how full the busiest pCPU is and how far
pCPUs are apart, by what vCPUs want and where they sit; and the memory that guests have unused and
that the host has to spare.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum, sqrt

from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB
from virtlab.policies.seats import demand_of, seat_of, speeds

__all__ = ["figures_of"]


def figures_of(snapshot: CpuSnapshot | MemorySnapshot) -> Mapping[str, float]:
    """Return what is to be measured on a snapshot; what is not known is left out."""
    if isinstance(snapshot, CpuSnapshot):
        return _of_cpus(snapshot)
    return _of_memory(snapshot)


def _of_cpus(snapshot: CpuSnapshot) -> dict[str, float]:
    pace = speeds(snapshot.topology)
    loads = [snapshot.host_share.get(pcpu, 0.0) for pcpu in range(len(pace))]
    for vcpu in snapshot.vcpus:
        demand = demand_of(vcpu)
        if demand is None:
            continue
        seat = seat_of(vcpu)
        seats = (seat,) if seat is not None else tuple(vcpu.pcpus)
        for pcpu in seats:
            if pcpu < len(loads):
                loads[pcpu] += demand / len(seats)
    if not loads:
        return {}
    fills = [load / speed for load, speed in zip(loads, pace, strict=True)]
    mean = fsum(fills) / len(fills)
    spread = sqrt(fsum((fill - mean) ** 2 for fill in fills) / len(fills))
    return {"busiest_share": round(max(fills), 4), "spread_points": round(100 * spread, 2)}


def _of_memory(snapshot: MemorySnapshot) -> dict[str, float]:
    found = {
        f"{guest.guest} unused_mib": round(guest.unused_kib / KIB_PER_MIB, 1)
        for guest in snapshot.guests
        if guest.unused_kib is not None
    }
    return found | {"spare_mib": round(snapshot.spare_kib / KIB_PER_MIB, 1)}
