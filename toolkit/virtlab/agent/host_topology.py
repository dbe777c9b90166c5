"""From the host's capabilities to its topology: cells, distances, cores and threads.

libvirt does not tell how fast a pCPU is. The kernel does where cores are unlike, in
`/sys/devices/system/cpu/cpuN/cpu_capacity`; a daemon runs on the host that it serves, so it may
read there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from virtlab.agent.guest_notes import pcpus_of_list
from virtlab.model.topology import FULL_CAPACITY, LOCAL_DISTANCE, Cell, Topology, flat

__all__ = ["CPU_FOLDER", "topology_of_capabilities"]

CPU_FOLDER: Final = Path("/sys/devices/system/cpu")


def topology_of_capabilities(
    xml: str, pcpus: int, memory_kib: int, cpu_folder: Path = CPU_FOLDER
) -> Topology:
    """Return how a host is put together; what it does not tell makes no difference.

    Args:
        xml: its capabilities.
        pcpus: how many it has, those that are offline included.
        memory_kib: how much it has.
        cpu_folder: where the kernel tells of the capacity of each.
    """
    try:
        described = ElementTree.fromstring(xml).findall("host/topology/cells/cell")
        cells = tuple(_cell(one, len(described)) for one in described)
        cores = _cores(described)
    except (ElementTree.ParseError, ValueError):
        return flat(pcpus, memory_kib)
    covered = sorted(pcpu for cell in cells for pcpu in cell.pcpus)
    threads = sorted(pcpu for core in cores for pcpu in core)
    if not cells or covered != threads or not set(covered) <= set(range(pcpus)):
        return flat(pcpus, memory_kib)
    # Those that are offline are told of nowhere, and policies count from 0: nobody may run there,
    # so that it makes no difference where they are.
    offline = tuple(sorted(set(range(pcpus)).difference(covered)))
    cells = (replace(cells[0], pcpus=tuple(sorted(cells[0].pcpus + offline))), *cells[1:])
    cores = tuple(sorted([*cores, *((pcpu,) for pcpu in offline)]))
    capacity = tuple(_capacity(cpu_folder / f"cpu{pcpu}") for pcpu in range(pcpus))
    return Topology(cells, cores, capacity)


def _cell(described: ElementTree.Element, cells: int) -> Cell:
    pcpus = tuple(sorted(int(cpu.get("id", "")) for cpu in described.findall("cpus/cpu")))
    memory = described.findtext("memory", "0")
    told = {int(d.get("id", "")): int(d.get("value", "")) for d in described.findall("distances/*")}
    own = int(described.get("id", "0"))
    distances = tuple(
        told.get(other, LOCAL_DISTANCE if other == own else 2 * LOCAL_DISTANCE)
        for other in range(cells)
    )
    return Cell(pcpus, int(memory), distances)


def _cores(described: list[ElementTree.Element]) -> tuple[tuple[int, ...], ...]:
    found = {
        tuple(sorted(pcpus_of_list(cpu.get("siblings", cpu.get("id", "")))))
        for cell in described
        for cpu in cell.findall("cpus/cpu")
    }
    return tuple(sorted(found))


def _capacity(folder: Path) -> int:
    try:
        return int((folder / "cpu_capacity").read_text())
    except (OSError, ValueError):
        return FULL_CAPACITY
