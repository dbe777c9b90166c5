"""Files of /sys that show the simulated host's processors and NUMA cells.

Most never change while the host is up; the memory of each cell does.

Source of the formats: Linux 6.1, Documentation/ABI/stable/sysfs-devices-system-cpu and -node,
Documentation/admin-guide/cputopology.rst, drivers/base/{cpu,node,topology}.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from virtlab.hosts.simulated.driver.node_topology import Place, places_of
from virtlab.hosts.simulated.driver.values import format_cpu_list
from virtlab.model.scenario import HostSpec
from virtlab.model.topology import FULL_CAPACITY
from virtlab.simulator.cell_memory import shared_out
from virtlab.simulator.host import SimulatedHost

__all__ = ["node_files", "sys_links", "sys_texts"]

_CPU: Final = "/sys/devices/system/cpu"
_NODE: Final = "/sys/devices/system/node"
_KERNEL_MAX: Final = 8191  # CONFIG_NR_CPUS - 1 of Debian's and Ubuntu's kernels


def node_files(host: SimulatedHost) -> Mapping[str, Callable[[], str]]:
    """Return what gives the present text of each file that changes, by its path."""
    cells = range(len(host.spec.layout.cells))
    return {f"{_NODE}/node{cell}/meminfo": partial(_node_meminfo, host, cell) for cell in cells}


def sys_texts(spec: HostSpec) -> Mapping[str, str]:
    """Return the texts that stay as they are, by their paths."""
    layout = spec.layout
    threads_max = max(len(core) for core in layout.cores)
    every = format_cpu_list(range(spec.pcpus))
    nodes = format_cpu_list(range(len(layout.cells)))
    texts = {
        f"{_CPU}/online": every,
        f"{_CPU}/possible": every,
        f"{_CPU}/present": every,
        f"{_CPU}/offline": "",
        f"{_CPU}/isolated": "",
        f"{_CPU}/kernel_max": str(_KERNEL_MAX),
        f"{_CPU}/smt/active": str(int(threads_max > 1)),
        f"{_CPU}/smt/control": "on" if threads_max > 1 else "notsupported",
        f"{_NODE}/online": nodes,
        f"{_NODE}/possible": nodes,
        f"{_NODE}/has_cpu": nodes,
        f"{_NODE}/has_memory": nodes,
        f"{_NODE}/has_normal_memory": nodes,
    }
    places = places_of(layout)
    packages: dict[int, set[int]] = {}
    for pcpu, place in places.items():
        packages.setdefault(place.socket, set()).add(pcpu)
    for pcpu, place in sorted(places.items()):
        texts |= _cpu_texts(pcpu, place, packages[place.socket], spec.pcpus)
        if set(layout.capacity) != {FULL_CAPACITY}:
            texts[f"{_CPU}/cpu{pcpu}/cpu_capacity"] = str(layout.capacity[pcpu])
    for number, cell in enumerate(layout.cells):
        node = f"{_NODE}/node{number}"
        texts[f"{node}/cpulist"] = format_cpu_list(cell.pcpus)
        texts[f"{node}/cpumap"] = _mask(cell.pcpus, spec.pcpus)
        texts[f"{node}/distance"] = " ".join(map(str, cell.distances))
    return {path: f"{text}\n" for path, text in texts.items()}


def sys_links(spec: HostSpec) -> Mapping[str, str]:
    """Return the links between processors and cells: where each leads, by its path."""
    links = {}
    for number, cell in enumerate(spec.layout.cells):
        for pcpu in cell.pcpus:
            links[f"{_NODE}/node{number}/cpu{pcpu}"] = f"../../cpu/cpu{pcpu}"
            links[f"{_CPU}/cpu{pcpu}/node{number}"] = f"../../node/node{number}"
    return links


def _cpu_texts(pcpu: int, place: Place, package: set[int], pcpus: int) -> dict[str, str]:
    core = place.siblings
    texts = {
        "core_id": str(place.core),
        "physical_package_id": str(place.socket),
        "die_id": "0",
        "cluster_id": "-1",
        "core_cpus": _mask(core, pcpus),
        "core_cpus_list": format_cpu_list(core),
        "thread_siblings": _mask(core, pcpus),
        "thread_siblings_list": format_cpu_list(core),
        "core_siblings": _mask(package, pcpus),
        "core_siblings_list": format_cpu_list(package),
        "package_cpus": _mask(package, pcpus),
        "package_cpus_list": format_cpu_list(package),
        "die_cpus": _mask(package, pcpus),
        "die_cpus_list": format_cpu_list(package),
    }
    found = {f"{_CPU}/cpu{pcpu}/topology/{name}": text for name, text in texts.items()}
    if pcpu:  # the first one cannot be taken offline, and has no such file
        found[f"{_CPU}/cpu{pcpu}/online"] = "1"
    return found


def _node_meminfo(host: SimulatedHost, cell: int) -> str:
    memory, cells = host.memory(), host.spec.layout.cells
    free_kib = host.cells_free_kib()[cell]
    cache_kib = memory.buffers_kib + memory.cached_kib
    fields = {
        "MemTotal": cells[cell].memory_kib,
        "MemFree": free_kib,
        "MemUsed": cells[cell].memory_kib - free_kib,
        # As all of the host's own memory, it is spread over the cells by their sizes.
        "FilePages": shared_out(cache_kib, [each.memory_kib for each in cells])[cell],
    }
    return "".join(f"Node {cell} {name + ':':<15} {kib:>8} kB\n" for name, kib in fields.items())


def _mask(pcpus: Iterable[int], of: int) -> str:
    """Return a set of pCPUs as the kernel's bit map: groups of 32 bits, the highest first."""
    bits = sum(1 << pcpu for pcpu in pcpus)
    digits = f"{bits:0{(of + 3) // 4}x}"
    first = len(digits) % 8
    groups = [digits[start : start + 8] for start in range(first, len(digits), 8)]
    return ",".join([digits[:first], *groups] if first else groups)
