"""Files of /sys that show the simulated host's processors and NUMA cells.

Most never change while the host is up; the memory of each cell does.

Source of the formats: Linux 6.1, Documentation/ABI/stable/sysfs-devices-system-cpu and -node,
Documentation/admin-guide/cputopology.rst, drivers/base/{cpu,node,topology}.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from virtlab.hosts.simulated.driver.values import format_cpu_list
from virtlab.hosts.simulated.files.places import Places
from virtlab.model.scenario import HostSpec
from virtlab.simulator.host import SimulatedHost

__all__ = ["node_files", "sys_links", "sys_texts"]

_CPU: Final = "/sys/devices/system/cpu"
_NODE: Final = "/sys/devices/system/node"
_KERNEL_MAX: Final = 8191  # CONFIG_NR_CPUS - 1 of Debian's and Ubuntu's kernels


def node_files(host: SimulatedHost) -> Mapping[str, Callable[[], str]]:
    """Return what gives the present text of each file that changes, by its path."""
    cells = range(len(Places(host.spec).cells))
    return {f"{_NODE}/node{cell}/meminfo": partial(_node_meminfo, host, cell) for cell in cells}


def sys_texts(spec: HostSpec) -> Mapping[str, str]:
    """Return the texts that stay as they are, by their paths."""
    places = Places(spec)
    every = format_cpu_list(range(spec.pcpus))
    nodes = format_cpu_list(range(len(places.cells)))
    texts = {
        f"{_CPU}/online": every,
        f"{_CPU}/possible": every,
        f"{_CPU}/present": every,
        f"{_CPU}/offline": "",
        f"{_CPU}/isolated": "",
        f"{_CPU}/kernel_max": str(_KERNEL_MAX),
        f"{_CPU}/smt/active": str(int(places.threads_max > 1)),
        f"{_CPU}/smt/control": "on" if places.threads_max > 1 else "notsupported",
        f"{_NODE}/online": nodes,
        f"{_NODE}/possible": nodes,
        f"{_NODE}/has_cpu": nodes,
        f"{_NODE}/has_memory": nodes,
        f"{_NODE}/has_normal_memory": nodes,
    }
    for pcpu in range(spec.pcpus):
        texts |= _cpu_texts(places, pcpu)
    for number, cell in enumerate(places.cells):
        node = f"{_NODE}/node{number}"
        texts[f"{node}/cpulist"] = format_cpu_list(cell.pcpus)
        texts[f"{node}/cpumap"] = _mask(cell.pcpus, spec.pcpus)
        texts[f"{node}/distance"] = " ".join(map(str, cell.distances))
    return {path: f"{text}\n" for path, text in texts.items()}


def sys_links(spec: HostSpec) -> Mapping[str, str]:
    """Return the links between processors and cells: where each leads, by its path."""
    links = {}
    for number, cell in enumerate(Places(spec).cells):
        for pcpu in cell.pcpus:
            links[f"{_NODE}/node{number}/cpu{pcpu}"] = f"../../cpu/cpu{pcpu}"
            links[f"{_CPU}/cpu{pcpu}/node{number}"] = f"../../node/node{number}"
    return links


def _cpu_texts(places: Places, pcpu: int) -> dict[str, str]:
    place = places.of(pcpu)
    core, package = set(place.core), set(place.package)
    texts = {
        "core_id": str(place.core_id),
        "physical_package_id": str(place.package_id),
        "die_id": "0",
        "cluster_id": "-1",
        "core_cpus": _mask(core, places.pcpus),
        "core_cpus_list": format_cpu_list(core),
        "thread_siblings": _mask(core, places.pcpus),
        "thread_siblings_list": format_cpu_list(core),
        "core_siblings": _mask(package, places.pcpus),
        "core_siblings_list": format_cpu_list(package),
        "package_cpus": _mask(package, places.pcpus),
        "package_cpus_list": format_cpu_list(package),
        "die_cpus": _mask(package, places.pcpus),
        "die_cpus_list": format_cpu_list(package),
    }
    found = {f"{_CPU}/cpu{pcpu}/topology/{name}": text for name, text in texts.items()}
    if pcpu:  # the first one cannot be taken offline, and has no such file
        found[f"{_CPU}/cpu{pcpu}/online"] = "1"
    return found


def _node_meminfo(host: SimulatedHost, cell: int) -> str:
    memory = host.memory()
    fields = {
        "MemTotal": memory.total_kib,
        "MemFree": memory.free_kib,
        "MemUsed": memory.total_kib - memory.free_kib,
        "FilePages": memory.buffers_kib + memory.cached_kib,
    }
    return "".join(f"Node {cell} {name + ':':<15} {kib:>8} kB\n" for name, kib in fields.items())


def _mask(pcpus: Iterable[int], of: int) -> str:
    """Return a set of pCPUs as the kernel's bit map: groups of 32 bits, the highest first."""
    bits = sum(1 << pcpu for pcpu in pcpus)
    digits = f"{bits:0{(of + 3) // 4}x}"
    first = len(digits) % 8
    groups = [digits[start : start + 8] for start in range(first, len(digits), 8)]
    return ",".join([digits[:first], *groups] if first else groups)
