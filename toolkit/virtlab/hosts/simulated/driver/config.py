"""What holds for a domain: of its present run, and from its next start on."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver.definition import Definition
from virtlab.hosts.simulated.driver.descriptions import DISK, disk_path, guest_template
from virtlab.hosts.simulated.driver.domain_tree import source_path
from virtlab.hosts.simulated.driver.numa_tuning import STRICT, NumaTune
from virtlab.model.scenario import GuestSpec

__all__ = [
    "Disk",
    "DomainConfig",
    "Settings",
    "config_of_definition",
    "config_of_guest",
    "template_of",
]

# (target, path); the path is empty where nothing lies in the drive.
Disk = tuple[str, str]


@dataclass(slots=True)
class Settings:
    """Limits, notes and devices, of which a running domain has its own copy until it stops."""

    scheduler: dict[str, int] = field(default_factory=dict)  # only what was set
    memory_limits: dict[str, int] = field(default_factory=dict)  # KiB
    emulator_mask: frozenset[int] | None = None
    blkio_weight: int = 0
    numa: NumaTune = field(default_factory=NumaTune)
    title: str = ""
    note: str = ""
    metadata: dict[str, ET.Element] = field(default_factory=dict)  # by the namespace's name
    template: ET.Element | None = None  # of the description; None: that of a scenario's guest
    disks: Sequence[Disk] = ()
    interfaces: int = 0
    stats_period_s: int = 0  # of memory statistics; 0: none

    def copy(self) -> Settings:
        """Return settings that change by themselves."""
        return replace(
            self,
            scheduler=dict(self.scheduler),
            memory_limits=dict(self.memory_limits),
            metadata=dict(self.metadata),
        )


@dataclass(slots=True)
class DomainConfig:
    """What holds from a domain's next start on, and the settings of its present run."""

    masks: list[frozenset[int]]
    memory_kib: int
    max_memory_kib: int
    live_max_memory_kib: int  # of the running domain, as it was at its start
    vcpus: int
    vcpus_max: int
    live_vcpus_max: int
    stored: Settings
    live: Settings | None = None  # while it runs
    live_id: int = -1
    deflate_on_oom: bool = False
    persistent: bool = True
    autostart: bool = False
    # vCPUs whose stored mask a client set; the others are left as the scenario has them.
    bound: set[int] = field(default_factory=set)
    vnets: Sequence[str] = ()  # the host's ends of the interfaces, while it runs

    @property
    def now(self) -> Settings:
        """Return the settings of the present run, or of the next one where it is stopped."""
        return self.stored if self.live is None else self.live


def config_of_guest(spec: GuestSpec, all_pcpus: frozenset[int]) -> DomainConfig:
    """Return what a scenario says of a guest: one disk, one interface."""
    cell = spec.memory_cell
    numa = NumaTune() if cell is None else NumaTune(STRICT, frozenset({cell}))
    return DomainConfig(
        masks=[all_pcpus if mask is None else frozenset(mask) for mask in spec.affinity],
        memory_kib=spec.memory_kib,
        max_memory_kib=spec.max_memory_kib,
        live_max_memory_kib=spec.max_memory_kib,
        vcpus=spec.vcpus,
        vcpus_max=spec.vcpus,
        live_vcpus_max=spec.vcpus,
        stored=Settings(
            scheduler=dict(spec.tuning),
            disks=((DISK, disk_path(spec.name)),),
            interfaces=1,
            numa=numa,
            emulator_mask=(
                None if spec.emulator_affinity is None else frozenset(spec.emulator_affinity)
            ),
        ),
        deflate_on_oom=spec.deflate_on_oom,
    )


def config_of_definition(definition: Definition, all_pcpus: frozenset[int]) -> DomainConfig:
    """Return what a client's description says of a domain."""
    devices = definition.text.find("devices")
    assert devices is not None  # every definition has them
    return DomainConfig(
        masks=[all_pcpus if mask is None else mask for mask in definition.masks],
        memory_kib=definition.memory_kib,
        max_memory_kib=definition.max_memory_kib,
        live_max_memory_kib=definition.max_memory_kib,
        vcpus=definition.vcpus,
        vcpus_max=definition.vcpus_max,
        live_vcpus_max=definition.vcpus_max,
        stored=Settings(
            scheduler=dict(definition.scheduler),
            memory_limits=dict(definition.memory_limits),
            emulator_mask=definition.emulator_mask,
            numa=definition.numa,
            title=definition.text.findtext("title", ""),
            note=definition.text.findtext("description", ""),
            metadata=_metadata(definition.text),
            template=definition.text,
            disks=tuple(_disk(disk) for disk in devices.findall("disk")),
            interfaces=len(devices.findall("interface")),
            stats_period_s=definition.stats_period_s,
        ),
        deflate_on_oom=definition.deflate_on_oom,
    )


def template_of(settings: Settings, spec: GuestSpec, uuid: bytes) -> ET.Element:
    """Return the template of a domain's description."""
    return guest_template(spec, uuid) if settings.template is None else settings.template


def _disk(disk: ET.Element) -> Disk:
    target = disk.find("target")
    return ("" if target is None else target.get("dev", ""), source_path(disk))


def _metadata(root: ET.Element) -> dict[str, ET.Element]:
    """Return what stands under metadata; blanks that only indent it are not part of it."""
    found = {}
    for element in map(deepcopy, root.findall("metadata/*")):
        for part in element.iter():
            if len(part):
                part.text = _unless_blank(part.text)
            part.tail = _unless_blank(part.tail)
        for name, uri in element.attrib.items():
            if name == "xmlns" or name.startswith("xmlns:"):
                found[uri] = element
    return found


def _unless_blank(text: str | None) -> str | None:
    return text if text and text.strip() else None
