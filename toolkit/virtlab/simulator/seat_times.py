"""What a vCPU ran on each pCPU that it left, in ten bytes for each of them.

An unpinned loop of a large host comes round to all of its pCPUs in time, and there are thousands of
such loops: what is kept of each pCPU has to be small.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

__all__ = ["SeatTimes"]


class SeatTimes:
    """Times in ns by the number of a pCPU, which is below 65,536."""

    __slots__ = ("_pcpus", "_ran_ns")

    def __init__(self) -> None:
        """Start without any."""
        self._pcpus = array("H")
        self._ran_ns = array("q")

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Return the pCPUs, in order, with their times."""
        return zip(self._pcpus, self._ran_ns, strict=True)

    def add(self, pcpu: int, ran_ns: int) -> None:
        """Add to the time of a pCPU."""
        pcpus = self._pcpus
        at = bisect_left(pcpus, pcpu)
        if at < len(pcpus) and pcpus[at] == pcpu:
            self._ran_ns[at] += ran_ns
        else:
            pcpus.insert(at, pcpu)
            self._ran_ns.insert(at, ran_ns)
