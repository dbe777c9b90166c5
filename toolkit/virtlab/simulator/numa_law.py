"""What memory in another NUMA cell costs: work that waits for memory waits longer.

Of the time that a guest's work takes beside its memory, `memory_bound` is spent waiting for it,
and the rest is computed in the caches. From a cell at distance D the wait is `latency` times as
long,

    latency = 1 + (remote_latency - 1) (D - 10) / 10
    speed   = 1 / (1 + memory_bound (latency - 1))

so that a distance of 10 is the own cell, and one of 20 costs `remote_latency`. The firmware's
distances order cells and say little of latencies (Linux, driver-api/cxl/platform/acpi/slit.rst).

Memory that lies in several cells evenly (interleaved) waits for their mean.

Range: latency only. Threads that ask for more than a link carries are not slowed further, and the
cell's own memory is taken to serve all who are near it. Pages stay where they are, as with
`kernel.numa_balancing=0`: Linux would otherwise carry those that are often used after the vCPU.
Memory that outgrows its cell is counted in the next ones (`cell_memory`), and costs nothing here.

Source of the default latency: Intel's Memory Latency Checker, 81.3 ns in the own cell and 131.1 ns
in the other (test beds of the FD.io CSIT reports), so 1.6 times. Another machine of two sockets
(Cascade Lake) had 80.8 and 140.4 ns by the same tool, 1.7 times (`cascadelake_mlc.txt` in
gjbex/Code-optimization).
"""

from __future__ import annotations

from collections.abc import Sequence

from virtlab.model.topology import LOCAL_DISTANCE, REMOTE_DISTANCE, Topology
from virtlab.simulator.cpu_law import added

__all__ = ["latency", "speeds_by_cell"]


def latency(distance: int, remote_latency: float) -> float:
    """Return the latency of memory at a distance, over that of the own cell's."""
    steps = (distance - LOCAL_DISTANCE) / (REMOTE_DISTANCE - LOCAL_DISTANCE)
    return 1.0 + (remote_latency - 1.0) * steps


def speeds_by_cell(
    topology: Topology, memory_cells: Sequence[int], memory_bound: float
) -> tuple[float, ...]:
    """Return the speed in each cell of work whose memory lies in some cells, evenly."""
    speeds = []
    for cell in topology.cells:
        waits = [latency(cell.distances[at], topology.remote_latency) for at in memory_cells]
        speeds.append(1.0 / (1.0 + memory_bound * (added(waits) / len(waits) - 1.0)))
    return tuple(speeds)
