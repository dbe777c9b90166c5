"""From the keys of a host's topology to the model's values."""

from __future__ import annotations

from collections.abc import Sequence

from virtlab.model.topology import (
    FULL_CAPACITY,
    LOCAL_DISTANCE,
    REMOTE_DISTANCE,
    Cell,
    Topology,
)
from virtlab.model.units import mib
from virtlab.scenario.schema import HostFile, TopologyFile

__all__ = ["cell_pcpus", "cell_sizes_kib", "sibling_pairs", "topology_of"]


def topology_of(host: HostFile, topology: TopologyFile) -> Topology:
    """Return the layout that sound keys describe."""
    sizes_kib = cell_sizes_kib(host, topology)
    places = cell_pcpus(host, topology)
    pairs = sibling_pairs(topology, places)
    paired = {pcpu for pair in pairs for pcpu in pair}
    alone = [(pcpu,) for pcpu in range(host.pcpus) if pcpu not in paired]
    return Topology(
        cells=tuple(
            Cell(places[number], sizes_kib[number], _distances(topology, number))
            for number in range(len(topology.cells))
        ),
        cores=tuple(sorted([*pairs, *alone])),
        capacity=tuple(topology.capacity or [FULL_CAPACITY] * host.pcpus),
        sockets=topology.sockets,
        smt_yield=float(topology.smt_yield),
        remote_latency=float(topology.remote_latency),
    )


def cell_pcpus(host: HostFile, topology: TopologyFile) -> list[tuple[int, ...]]:
    """Return the pCPUs of each cell; those that do not say share them out evenly."""
    count = len(topology.cells)
    share = host.pcpus // count
    return [
        tuple(range(number * share, (number + 1) * share))
        if cell.pcpus is None
        else tuple(sorted(cell.pcpus))
        for number, cell in enumerate(topology.cells)
    ]


def cell_sizes_kib(host: HostFile, topology: TopologyFile) -> list[int]:
    """Return the memory of each cell; the first ones take what cannot be shared out evenly."""
    share_kib, rest_kib = divmod(mib(host.memory_mib), len(topology.cells))
    return [
        share_kib + (number < rest_kib) if cell.memory_mib is None else mib(cell.memory_mib)
        for number, cell in enumerate(topology.cells)
    ]


def sibling_pairs(
    topology: TopologyFile, places: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Return the pCPUs that share a core, in order, given the pCPUs of each cell."""
    if topology.siblings is not None:
        return [tuple(sorted(pair)) for pair in topology.siblings]
    if topology.threads == 1:
        return []
    return [pcpus[at : at + 2] for pcpus in places for at in range(0, len(pcpus), 2)]


def _distances(topology: TopologyFile, own: int) -> tuple[int, ...]:
    given = topology.cells[own].distances
    if given is not None:
        return tuple(given)
    return tuple(
        LOCAL_DISTANCE if other == own else REMOTE_DISTANCE for other in range(len(topology.cells))
    )
