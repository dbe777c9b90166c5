"""How a host is put together: NUMA cells, sockets, cores, threads, and how fast its pCPUs are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL_CAPACITY", "LOCAL_DISTANCE", "REMOTE_DISTANCE", "Cell", "Topology", "flat"]

# As in Linux: `cpu_capacity` of the fastest pCPU, and what include/linux/topology.h takes for the
# distance of a cell to itself and, where no table of the firmware says otherwise, to others.
FULL_CAPACITY = 1024
LOCAL_DISTANCE = 10
REMOTE_DISTANCE = 20


@dataclass(frozen=True, slots=True)
class Cell:
    """A NUMA cell: pCPUs, and the memory that is nearest to them."""

    pcpus: tuple[int, ...]  # in order
    memory_kib: int
    distances: tuple[int, ...]  # to each cell, itself included


@dataclass(frozen=True, slots=True)
class Topology:
    """The layout of a host; each pCPU is one thread of one core in one cell."""

    cells: tuple[Cell, ...]
    cores: tuple[tuple[int, ...], ...]  # threads of each core in order; cores by their first one
    capacity: tuple[int, ...]  # of each pCPU; FULL_CAPACITY does a second's work in a second
    sockets: int = 1  # in each cell
    # What a core does with both threads busy, over what one busy thread does alone: what Linux 4
    # takes it to be, 1178/1024 (`smt_gain`, kernel/sched/topology.c).
    smt_yield: float = 1.15
    # Latency of memory at distance 20, over that of the own cell's. Intel's Memory Latency Checker
    # 3.5 on a machine with two sockets: 81.3 and 131.1 ns (test beds of the FD.io CSIT reports).
    remote_latency: float = 1.6

    def cell_of(self) -> tuple[int, ...]:
        """Return the number of each pCPU's cell."""
        found = {p: number for number, cell in enumerate(self.cells) for p in cell.pcpus}
        return tuple(found[pcpu] for pcpu in sorted(found))


def flat(pcpus: int, memory_kib: int) -> Topology:
    """Return the layout of a host that has no special one: one cell and socket, a thread a core."""
    everything = tuple(range(pcpus))
    return Topology(
        cells=(Cell(everything, memory_kib, (LOCAL_DISTANCE,)),),
        cores=tuple((pcpu,) for pcpu in everything),
        capacity=(FULL_CAPACITY,) * pcpus,
    )
