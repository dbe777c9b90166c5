"""What the keys of a host's topology, and guests that refer to it, say together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from virtlab.errors import Problem
from virtlab.model.topology import LOCAL_DISTANCE
from virtlab.model.units import KIB_PER_MIB
from virtlab.scenario.located_yaml import Document, KeyPath
from virtlab.scenario.parts import Parts
from virtlab.scenario.schema import CellFile, HostFile, TopologyFile
from virtlab.scenario.shared_checks import pcpu_problems
from virtlab.scenario.topology import cell_pcpus, cell_sizes_kib, sibling_pairs

__all__ = ["topology_problems"]

_PATH: KeyPath = ("host", "topology")


def topology_problems(parts: Parts) -> Iterator[Problem]:
    """Yield every contradiction in a topology, and between it and the guests."""
    host = parts.host
    if host is None:
        return
    topology = host.topology
    if topology is not None:
        flaws = list(_cells(parts.document, host, topology))
        yield from flaws
        yield from _capacity(parts.document, host, topology)
        if not flaws:
            yield from _cores(parts.document, host, topology)
    yield from _memory_cells(parts, host)


def _cells(document: Document, host: HostFile, topology: TopologyFile) -> Iterator[Problem]:
    path, cells = (*_PATH, "cells"), topology.cells
    yield from _all_or_none(document, cells)
    if all(cell.pcpus is None for cell in cells):
        if host.pcpus % len(cells):
            what = f"{host.pcpus} pCPUs cannot be shared out evenly among {len(cells)} cells."
            yield document.problem(path, what, "give each cell its pcpus, or change host.pcpus.")
    elif all(cell.pcpus is not None for cell in cells):
        lists = [((*path, n, "pcpus"), cell.pcpus or []) for n, cell in enumerate(cells)]
        yield from _each_once(document, host, lists)
        missing = sorted(set(range(host.pcpus)) - {p for _, pcpus in lists for p in pcpus})
        if missing:
            what = f"pCPU {missing[0]} is in no cell."
            yield document.problem(path, what, "list each pCPU of the host in one cell.")
    total_mib = sum(cell.memory_mib or 0 for cell in cells)
    if all(cell.memory_mib is not None for cell in cells) and total_mib != host.memory_mib:
        what = f"the cells have {total_mib} MiB together, and the host {host.memory_mib}."
        yield document.problem(path, what, f"set host.memory_mib to {total_mib}, or mend theirs.")
    for number, cell in enumerate(cells):
        yield from _distances(document, number, cell, len(cells))
    if len(cells) == 1 and "remote_latency" in topology.model_fields_set:
        what = "a host with one cell has no remote memory."
        fix = "remove remote_latency, or give more cells."
        yield document.problem((*_PATH, "remote_latency"), what, fix)


def _all_or_none(document: Document, cells: Sequence[CellFile]) -> Iterator[Problem]:
    for key in ("pcpus", "memory_mib"):
        given = [getattr(cell, key) is not None for cell in cells]
        if any(given) and not all(given):
            number = given.index(False)
            what = f"cell {number} has no {key}, while cell {given.index(True)} has."
            fix = f"give {key} in all cells, or in none."
            yield document.problem((*_PATH, "cells", number), what, fix)


def _each_once(
    document: Document, host: HostFile, lists: Sequence[tuple[KeyPath, Sequence[int]]]
) -> Iterator[Problem]:
    """Refuse pCPUs that the host does not have, and those that stand in two of the lists."""
    seen: set[int] = set()
    for path, pcpus in lists:
        yield from pcpu_problems(document, path, pcpus, host)
        for position, pcpu in enumerate(pcpus):
            if pcpu in seen:
                what = f"pCPU {pcpu} is listed twice."
                yield document.problem((*path, position), what, "list it once.")
        seen.update(pcpus)


def _distances(document: Document, number: int, cell: CellFile, count: int) -> Iterator[Problem]:
    if cell.distances is None:
        return
    path = (*_PATH, "cells", number, "distances")
    if len(cell.distances) != count:
        what = f"{len(cell.distances)} distances are given for {count} cells."
        yield document.problem(path, what, f"list {count}, its own ({LOCAL_DISTANCE}) included.")
        return
    for other, distance in enumerate(cell.distances):
        if (distance == LOCAL_DISTANCE) != (other == number):
            what = f"a distance of {distance} from cell {number} to cell {other} cannot be."
            fix = f"use {LOCAL_DISTANCE} to the cell itself, and more to all others."
            yield document.problem((*path, other), what, fix)


def _capacity(document: Document, host: HostFile, topology: TopologyFile) -> Iterator[Problem]:
    if topology.capacity is not None and len(topology.capacity) != host.pcpus:
        what = f"{len(topology.capacity)} capacities are given for {host.pcpus} pCPUs."
        yield document.problem((*_PATH, "capacity"), what, "list one for each pCPU.")


def _cores(document: Document, host: HostFile, topology: TopologyFile) -> Iterator[Problem]:
    """Look at threads and sockets, given cells that are sound."""
    places = cell_pcpus(host, topology)
    flaws = [*_threads(document, topology, places), *_siblings(document, host, topology, places)]
    yield from flaws
    if not flaws:
        yield from _sockets(document, topology, places)


def _threads(
    document: Document, topology: TopologyFile, places: Sequence[tuple[int, ...]]
) -> Iterator[Problem]:
    if topology.siblings is not None and "threads" in topology.model_fields_set:
        what = "a topology has either `threads` or `siblings`."
        yield document.problem((*_PATH, "siblings"), what, "write one of the two keys.")
    for number, pcpus in enumerate(places):
        if topology.siblings is None and len(pcpus) % topology.threads:
            what = f"cell {number} has {len(pcpus)} pCPUs, which do not make pairs."
            fix = "give it an even number, or list siblings instead of threads."
            yield document.problem((*_PATH, "threads"), what, fix)
    alone = topology.threads == 1 and topology.siblings is None
    if alone and "smt_yield" in topology.model_fields_set:
        what = "a host without SMT siblings has no use for it."
        yield document.problem((*_PATH, "smt_yield"), what, "remove it, or write `threads: 2`.")


def _siblings(
    document: Document,
    host: HostFile,
    topology: TopologyFile,
    places: Sequence[tuple[int, ...]],
) -> Iterator[Problem]:
    path = (*_PATH, "siblings")
    pairs = topology.siblings or []
    yield from _each_once(document, host, [((*path, n), pair) for n, pair in enumerate(pairs)])
    cell_of = {pcpu: number for number, pcpus in enumerate(places) for pcpu in pcpus}
    for number, (first, second) in enumerate(pairs):
        if cell_of.get(first, 0) != cell_of.get(second, 0):
            what = f"pCPUs {first} and {second} lie in different cells."
            yield document.problem((*path, number), what, "pair pCPUs of one cell.")


def _sockets(
    document: Document, topology: TopologyFile, places: Sequence[tuple[int, ...]]
) -> Iterator[Problem]:
    second = {pair[1] for pair in sibling_pairs(topology, places)}
    for number, pcpus in enumerate(places):
        cores = len(set(pcpus) - second)
        if cores % topology.sockets:
            what = f"the {cores} cores of cell {number} do not fill {topology.sockets} sockets."
            fix = "use a number of sockets that divides them."
            yield document.problem((*_PATH, "sockets"), what, fix)


def _memory_cells(parts: Parts, host: HostFile) -> Iterator[Problem]:
    """Refuse guests whose memory lies in no cell, and cells that do not hold their guests."""
    topology = host.topology or TopologyFile()
    count = len(topology.cells)
    needed_mib = [0] * count
    last: list[KeyPath] = [()] * count
    for index, guest in parts.guests:
        cell = guest.memory_cell
        path: KeyPath = ("guests", index, "memory_cell")
        if cell is None:
            continue
        if cell >= count:
            has = "only 0" if count == 1 else f"0-{count - 1}"
            what = f"cell {cell} does not exist (the host has {has})."
            fix = "use one of these, or give host.topology more cells."
            yield parts.document.problem(path, what, fix)
        elif guest.running:
            needed_mib[cell] += guest.memory_mib * len(guest.all_names)
            last[cell] = path
    for number, size_kib in enumerate(cell_sizes_kib(host, topology)):
        # The host's own memory is spread over all cells.
        size_mib = size_kib // KIB_PER_MIB
        free_mib = size_mib - host.used_mib * size_mib // host.memory_mib
        if needed_mib[number] > max(free_mib, 0):
            what = (
                f"the guests of cell {number} start with {needed_mib[number]} MiB, "
                f"and {free_mib} are free there."
            )
            yield parts.document.problem(last[number], what, "let some lie in another cell.")
