"""On which NUMA nodes of the host a domain's memory may lie: `<numatune>`, read and kept.

Source: a libvirtd 9.0.0, asked to define, start and change domains with and without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver.domain_tree import child, remove
from virtlab.hosts.simulated.driver.quantities import cpu_list
from virtlab.hosts.simulated.driver.values import format_cpu_list
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain, LibvirtError

__all__ = [
    "INTERLEAVE",
    "MODES",
    "RESTRICTIVE",
    "STRICT",
    "NumaTune",
    "no_nodes",
    "read_numa",
    "write_numa",
]

MODES: Final = ("strict", "preferred", "interleave", "restrictive")  # virDomainNumatuneMemMode
STRICT, INTERLEAVE, RESTRICTIVE = 0, 2, 3


@dataclass(frozen=True, slots=True)
class NumaTune:
    """What a domain says of its memory's nodes."""

    mode: int | None = None  # one of MODES; None: it says nothing
    nodes: frozenset[int] | None = None  # None: the host chooses

    @property
    def evenly(self) -> bool:
        """Tell whether its memory lies in all of the nodes."""
        return self.mode == INTERLEAVE

    def check_available(self, count: int) -> None:
        """Refuse nodes that a host with so many does not have.

        Raises:
            LibvirtError: it has not all of them.
        """
        missing = [node for node in sorted(self.nodes or ()) if node >= count]
        if missing:
            detail = f"NUMA node {missing[0]} is unavailable"
            raise errors.config_unsupported(detail, ErrorDomain.NONE)


def no_nodes() -> LibvirtError:
    """Return error 67 of memory that has to lie on nodes that nobody names."""
    return errors.config_unsupported(
        "nodeset for NUMA memory tuning must be set if 'placement' is 'static'", ErrorDomain.DOMAIN
    )


def read_numa(root: ET.Element) -> NumaTune:
    """Return what a description says.

    Raises:
        LibvirtError: it is not sound.
    """
    memory = root.find("numatune/memory")
    if memory is None:
        return NumaTune()
    name = memory.get("mode", MODES[STRICT])
    if name not in MODES:
        raise errors.config_unsupported(
            f"Unsupported NUMA memory tuning mode '{name}'", ErrorDomain.DOMAIN
        )
    text = memory.get("nodeset")
    if text is None and memory.get("placement") != "auto":
        raise no_nodes()
    return NumaTune(MODES.index(name), None if text is None else cpu_list(text))


def write_numa(root: ET.Element, numa: NumaTune) -> None:
    """Write it into a description."""
    tune = root.find("numatune")
    if numa.mode is None:
        if tune is not None and not len(tune):
            remove(root, "numatune")  # as libvirt leaves out an empty one
        return
    memory = root.find("numatune/memory")
    if memory is None:
        memory = ET.Element("memory")
        child(root, "numatune").insert(0, memory)
    memory.attrib.clear()
    memory.set("mode", MODES[numa.mode])
    if numa.nodes is None:
        memory.set("placement", "auto")
    else:
        memory.set("nodeset", format_cpu_list(numa.nodes))
