"""Where each pCPU of a host is: its core, its package and its NUMA cell, as Linux numbers them."""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.scenario import HostSpec

__all__ = ["Cell", "Place", "Places"]

_LOCAL_DISTANCE = 10  # of a cell to itself: include/linux/topology.h


@dataclass(frozen=True, slots=True)
class Cell:
    """A NUMA cell."""

    pcpus: tuple[int, ...]
    distances: tuple[int, ...]  # to each cell, itself included


@dataclass(frozen=True, slots=True)
class Place:
    """Where one pCPU is."""

    core_id: int  # in its package
    package_id: int
    core: tuple[int, ...]  # the pCPUs of its core, itself included
    package: tuple[int, ...]  # the pCPUs of its package


class Places:
    """The layout of a host: one cell and package, one thread a core."""

    def __init__(self, spec: HostSpec) -> None:
        self.pcpus = spec.pcpus
        self.threads_max = 1
        everything = tuple(range(spec.pcpus))
        self.cells = (Cell(everything, (_LOCAL_DISTANCE,)),)
        self._package = everything

    def of(self, pcpu: int) -> Place:
        """Return where a pCPU is."""
        return Place(pcpu, 0, (pcpu,), self._package)
