"""The host's topology as libvirt shows it: in node information and in the capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver.values import format_cpu_list
from virtlab.model.topology import Topology

__all__ = ["Place", "add_cells", "node_shape", "places_of"]

_PAGE_KIB, _HUGE_PAGE_KIB = 4, 2048


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pCPU is in the machine, by the numbers that the kernel gives."""

    socket: int  # on the whole host
    core: int  # in its socket
    siblings: tuple[int, ...]  # itself included


def node_shape(topology: Topology) -> tuple[int, int, int, int]:
    """Return nodes, and the most sockets a node, cores a socket and threads a core.

    Where these do not multiply to the number of pCPUs, as their cells or cores are unlike, libvirt
    says one node, one socket and a core for each pCPU.

    Source: libvirt, virHostCPUGetInfoPopulateLinux.
    """
    places = places_of(topology)
    cores: dict[tuple[int, int], set[int]] = {}
    for number, cell in enumerate(topology.cells):
        for pcpu in cell.pcpus:
            place = places[pcpu]
            cores.setdefault((number, place.socket), set()).add(place.core)
    nodes = len(topology.cells)
    shape = (
        nodes,
        max(len([1 for cell, _ in cores if cell == number]) for number in range(nodes)),
        max(len(found) for found in cores.values()),
        max(len(place.siblings) for place in places.values()),
    )
    if shape[0] * shape[1] * shape[2] * shape[3] != len(places):
        return (1, 1, len(places), 1)
    return shape


def add_cells(parent: ET.Element, topology: Topology) -> None:
    """Write a host's NUMA cells as its capabilities have them."""
    places = places_of(topology)
    cells = ET.SubElement(ET.SubElement(parent, "topology"), "cells", num=str(len(topology.cells)))
    for number, described in enumerate(topology.cells):
        cell = ET.SubElement(cells, "cell", id=str(number))
        _text(cell, "memory", str(described.memory_kib), unit="KiB")
        pages = str(described.memory_kib // _PAGE_KIB)
        _text(cell, "pages", pages, unit="KiB", size=str(_PAGE_KIB))
        _text(cell, "pages", "0", unit="KiB", size=str(_HUGE_PAGE_KIB))
        distances = ET.SubElement(cell, "distances")
        for other, distance in enumerate(described.distances):
            ET.SubElement(distances, "sibling", id=str(other), value=str(distance))
        cpus = ET.SubElement(cell, "cpus", num=str(len(described.pcpus)))
        for pcpu in described.pcpus:
            place = places[pcpu]
            ET.SubElement(
                cpus,
                "cpu",
                id=str(pcpu),
                socket_id=str(place.socket),
                die_id="0",
                core_id=str(place.core),
                siblings=format_cpu_list(place.siblings),
            )


def places_of(topology: Topology) -> dict[int, Place]:
    """Return where each pCPU is, by its number."""
    return dict(_each_place(topology))


def _each_place(topology: Topology) -> Iterator[tuple[int, Place]]:
    """Yield where each pCPU is: a cell's cores fill its sockets in their order."""
    for number, cell in enumerate(topology.cells):
        inside = set(cell.pcpus)
        cores = [core for core in topology.cores if core[0] in inside]
        each = len(cores) // topology.sockets
        for at, core in enumerate(cores):
            for pcpu in core:
                socket = number * topology.sockets + at // each
                yield pcpu, Place(socket, at % each, core)


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
