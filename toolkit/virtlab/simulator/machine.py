"""The host's topology as the scheduler looks at it: siblings, cells and what lies within one."""

from __future__ import annotations

from functools import lru_cache

from virtlab.model.topology import FULL_CAPACITY, Topology

__all__ = ["Machine"]


class Machine:
    """A host's pCPUs, and what makes a difference between them."""

    def __init__(self, topology: Topology) -> None:
        """Take the layout of a host."""
        self.topology = topology
        self.cell_of = topology.cell_of()
        self.capacity = topology.capacity
        siblings: dict[int, int] = {}
        for core in topology.cores:
            if len(core) == 2:
                siblings[core[0]], siblings[core[1]] = core[1], core[0]
        self.siblings = siblings  # of pCPUs that have one
        self._one_cell = len(topology.cells) == 1
        slow = any(capacity != FULL_CAPACITY for capacity in topology.capacity)
        # It makes no difference on which pCPU something runs.
        self.alike = self._one_cell and not siblings and not slow

    def near(self, permitted: tuple[int, ...], pcpu: int) -> tuple[int, ...]:
        """Return those of some pCPUs that lie in the same cell as one of them, in order."""
        if self._one_cell:
            return permitted
        return _within(permitted, self.topology.cells[self.cell_of[pcpu]].pcpus)


@lru_cache(maxsize=4096)
def _within(permitted: tuple[int, ...], cell: tuple[int, ...]) -> tuple[int, ...]:
    inside = frozenset(cell)
    return tuple(pcpu for pcpu in permitted if pcpu in inside)
