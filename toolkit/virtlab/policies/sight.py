"""What a snapshot amounts to: loads of vCPUs, and how full pCPUs are.

A load is a demand at full speed and in the own cell of memory, so that it can be carried elsewhere:

- measured at speed s a loop wants x = (d / s) / (d / s + 1 - d); its load is d;
- s is the pCPU's capacity, times 1 - g u beside a sibling that is busy for a share u, with g of
  1 - yield / 2, over how many times its work takes from where its memory is;
- a cap limits it (`seats.demand_of`), and where weights differ and the host is overcommitted, so
  does its weight: min(d, c w) with c such that all of them fill the host.

Source: docs/explanation/laws.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from virtlab.model.snapshot import CpuSnapshot, VcpuView
from virtlab.model.topology import LOCAL_DISTANCE, REMOTE_DISTANCE, Topology
from virtlab.policies.demand import Demands
from virtlab.policies.seats import seat_of, siblings_of, speeds

__all__ = ["Sight", "carry", "far_by_cell", "look"]


@dataclass(frozen=True, slots=True)
class Sight:
    """One snapshot, worked out."""

    speeds: Sequence[float]
    siblings: Mapping[int, tuple[int, ...]]
    cells: Sequence[int]  # of each pCPU
    sibling_cost: float
    seats: Sequence[int | None]  # of each vCPU: the pCPU to which it is counted
    loads: Sequence[float]  # of each vCPU; 0 where nothing is known of it
    far: Sequence[tuple[float, ...] | None]  # of each vCPU, by cell; empty: of none
    carried: Sequence[float]  # by each pCPU, in its own time
    errors: Sequence[float]  # standard error of each pCPU's fill

    @property
    def fills(self) -> list[float]:
        """Return how full each pCPU is: 1 is all that it can do."""
        return [load / speed for load, speed in zip(self.carried, self.speeds, strict=True)]

    @property
    def is_plain(self) -> bool:
        """Tell whether a pCPU is as good as another: no siblings, one cell, one speed."""
        return not self.siblings and len(set(self.cells)) < 2 and len(set(self.speeds)) < 2

    def load_at_seat(self, number: int) -> float:
        """Return what a vCPU asks of the pCPU on which it sits."""
        far, seat = self.far[number] if self.far else None, self.seats[number]
        load = self.loads[number]
        return load if far is None or seat is None else load * far[self.cells[seat]]


def look(host: CpuSnapshot, demands: Demands, memory_bound: float) -> Sight:
    """Work a snapshot out.

    Args:
        host: with at least one pCPU.
        demands: of its vCPUs.
        memory_bound: part of its time that a vCPU is taken to wait for memory.
    """
    topology = host.topology
    speed, siblings, cells = speeds(topology), siblings_of(topology), topology.cell_of()
    pcpus = len(speed)
    sibling_cost = 1.0 - topology.smt_yield / 2.0 if siblings else 0.0
    seats = [
        (last if last < pcpus else None)
        if (last := v.last_on) is not None and last in v.pcpus
        else _within(seat_of(v), pcpus)
        for v in host.vcpus
    ]
    far: list[tuple[float, ...] | None] = []
    if len(topology.cells) > 1 and memory_bound > 0.0:
        far = [far_by_cell(v, topology, memory_bound) for v in host.vcpus]
    loads = list(demands.means)
    if siblings or far or any(s != 1.0 for s in speed):
        pace = _paces(host, speed, siblings, sibling_cost, seats)
        for number, seat in enumerate(seats):
            if seat is not None:
                beside = far[number] if far else None
                s = pace[seat] / (1.0 if beside is None else beside[cells[seat]])
                load = loads[number]
                loads[number] = load * s / (load * s + 1.0 - load) if s != 1.0 else load
    loads = _weighted(host, loads, fsum(speed))
    carried = [host.host_share.get(pcpu, 0.0) for pcpu in range(pcpus)]
    variances = [0.0] * pcpus
    wander: dict[frozenset[int], float] = {}
    sight = Sight(speed, siblings, cells, sibling_cost, seats, loads, far, carried, variances)
    at_seats = [sight.load_at_seat(number) for number in range(len(loads))] if far else loads
    for number, (seat, load, variance) in enumerate(
        zip(seats, at_seats, demands.variances, strict=True)
    ):
        if seat is None:
            mask = host.vcpus[number].pcpus
            wander[mask] = wander.get(mask, 0.0) + load
        else:
            carried[seat] += load
            variances[seat] += variance
    for mask, load in wander.items():
        carry(carried, mask, load)
    variances[:] = [sqrt(v) / s for v, s in zip(variances, speed, strict=True)]
    return sight


def carry(loads: list[float], mask: frozenset[int], load: float) -> None:
    """Count a load to all pCPUs of a mask alike."""
    there = [pcpu for pcpu in sorted(mask) if pcpu < len(loads)]
    for pcpu in there:
        loads[pcpu] += load / len(there)


def far_by_cell(
    vcpu: VcpuView, topology: Topology, memory_bound: float
) -> tuple[float, ...] | None:
    """Return by cell how many times its load a vCPU is there; None: that is not known."""
    if not vcpu.memory_cells:
        return None
    found = []
    for cell in topology.cells:
        ways = [cell.distances[at] for at in sorted(vcpu.memory_cells) if at < len(cell.distances)]
        mean = fsum(ways) / len(ways) if ways else LOCAL_DISTANCE
        steps = (mean - LOCAL_DISTANCE) / (REMOTE_DISTANCE - LOCAL_DISTANCE)
        found.append(1.0 + memory_bound * (topology.remote_latency - 1.0) * steps)
    return tuple(found)


def _within(seat: int | None, pcpus: int) -> int | None:
    return seat if seat is not None and seat < pcpus else None


def _paces(
    host: CpuSnapshot,
    speed: Sequence[float],
    siblings: Mapping[int, tuple[int, ...]],
    sibling_cost: float,
    seats: Sequence[int | None],
) -> list[float]:
    """Return how fast each pCPU worked in the last interval, beside its siblings."""
    used = [host.host_share.get(pcpu, 0.0) for pcpu in range(len(speed))]
    for vcpu, seat in zip(host.vcpus, seats, strict=True):
        if seat is not None:
            used[seat] += vcpu.run_share or 0.0
    return [
        s * (1.0 - sibling_cost * min(max([used[o] for o in siblings.get(pcpu, ())], default=0), 1))
        for pcpu, s in enumerate(speed)
    ]


def _weighted(host: CpuSnapshot, loads: list[float], room: float) -> list[float]:
    """Return what loads are entitled to, where weights differ and there is not room for all.

    Those who want least for their weight get all; what they leave is shared by the others.
    """
    weights = [vcpu.weight for vcpu in host.vcpus]
    if len(set(weights)) < 2 or fsum(loads) <= room:
        return loads
    left, weight_left, c = room, fsum(weights), 0.0
    for i in sorted(range(len(loads)), key=lambda i: (loads[i] / weights[i], i)):
        c = left / weight_left
        if loads[i] >= c * weights[i]:
            break
        left -= loads[i]
        weight_left -= weights[i]
    return [min(d, c * w) for d, w in zip(loads, weights, strict=True)]
