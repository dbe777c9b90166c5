"""The host's memory by NUMA cell: who holds what where, and what is left.

The host's own memory is spread over all cells in proportion to their size. A guest holds what is
resident in the cells that it was given, in equal parts where there are several. What a cell cannot
hold lies in the nearest one that can, as the kernel's fallback lists have it (Linux,
mm/page_alloc.c); it is counted anew at each look, and goes back once there is room, where real
pages would stay. Free memory of all cells is the host's free memory: while it swaps, that is its
reserve.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from virtlab.model.topology import Topology

__all__ = ["free_by_cell", "shared_out"]


def free_by_cell(
    topology: Topology, own_kib: int, held: Iterable[tuple[Sequence[int], int]], free_kib: int
) -> list[int]:
    """Return the free memory of each cell, in KiB.

    Args:
        topology: the cells.
        own_kib: what the host's own kernel and daemons hold.
        held: of each guest its cells, and what it holds, in KiB.
        free_kib: the host's free memory.
    """
    sizes = [cell.memory_kib for cell in topology.cells]
    own = shared_out(own_kib, sizes)
    left = [size - part for size, part in zip(sizes, own, strict=True)]
    for cells, kib in held:
        for cell, part in zip(cells, shared_out(kib, [1] * len(cells)), strict=True):
            left[cell] -= part
    for number, described in enumerate(topology.cells):
        far = described.distances
        for other in sorted(range(len(left)), key=lambda cell: (far[cell], cell)):
            if left[number] >= 0:
                break
            taken = min(-left[number], max(left[other], 0))
            left[number] += taken
            left[other] -= taken
    return left if sum(left) == free_kib and min(left) >= 0 else shared_out(free_kib, sizes)


def shared_out(kib: int, weights: Sequence[int]) -> list[int]:
    """Return parts in proportion to weights that add up to all; the first ones take the rest."""
    total = sum(weights)
    parts = [kib * weight // total for weight in weights]
    rest = kib - sum(parts)
    return [part + (number < rest) for number, part in enumerate(parts)]
