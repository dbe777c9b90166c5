"""The XML documents that the simulated host hands out: capabilities and domain descriptions."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver.domain_tree import child, put_text, remove
from virtlab.hosts.simulated.driver.machines import EMULATOR, HOST_ARCHITECTURE, MACHINES
from virtlab.hosts.simulated.driver.node_topology import add_cells, node_shape
from virtlab.hosts.simulated.driver.numa_tuning import NumaTune, write_numa
from virtlab.hosts.simulated.driver.values import format_cpu_list
from virtlab.hosts.simulated.driver.xml_text import document
from virtlab.model.scenario import GuestSpec, HostSpec

__all__ = [
    "CPU_TUNE",
    "DISK",
    "HOST_CPU_MODEL",
    "DomainFigures",
    "capabilities_xml",
    "disk_path",
    "domain_xml",
    "guest_template",
]

HOST_CPU_MODEL = "virtlab"
DISK = "vda"

# Scheduler parameters, and how cputune calls them.
CPU_TUNE: Mapping[str, str] = {
    "cpu_shares": "shares",
    "vcpu_period": "period",
    "vcpu_quota": "quota",
    "global_period": "global_period",
    "global_quota": "global_quota",
    "emulator_period": "emulator_period",
    "emulator_quota": "emulator_quota",
    "iothread_period": "iothread_period",
    "iothread_quota": "iothread_quota",
}


@dataclass(frozen=True, slots=True)
class DomainFigures:
    """What of a description a host changes by itself or at a client's call."""

    name: str
    uuid: bytes
    id: int  # -1: a description without one, of a domain that is stopped or asked as inactive
    current_kib: int  # the balloon's size
    max_kib: int
    vcpus: int
    vcpus_max: int
    masks: Sequence[frozenset[int] | None]  # for each vCPU; None where it may use all
    emulator_mask: frozenset[int] | None
    scheduler: Mapping[str, int]  # parameters that were set
    memory_limits: Mapping[str, int]  # KiB
    numa: NumaTune
    stats_period_s: int  # 0 where none is set
    vnets: Sequence[str]  # the host's ends of the interfaces, while it runs
    title: str
    note: str
    metadata: Sequence[ET.Element]


def capabilities_xml(host: HostSpec, host_uuid: bytes) -> str:
    """Return the host's capabilities."""
    root = ET.Element("capabilities")
    machine = ET.SubElement(root, "host")
    _text(machine, "uuid", str(uuids.UUID(bytes=host_uuid)))
    cpu = ET.SubElement(machine, "cpu")
    _text(cpu, "arch", HOST_ARCHITECTURE)
    _text(cpu, "model", HOST_CPU_MODEL)
    _, sockets, cores, threads = node_shape(host.layout)
    shape = {"sockets": sockets, "dies": 1, "cores": cores, "threads": threads}
    ET.SubElement(cpu, "topology", {name: str(number) for name, number in shape.items()})
    ET.SubElement(cpu, "pages", unit="KiB", size="4")
    ET.SubElement(cpu, "pages", unit="KiB", size="2048")
    add_cells(machine, host.layout)
    security = ET.SubElement(machine, "secmodel")
    _text(security, "model", "none")
    _text(security, "doi", "0")
    _add_guest(root)
    return document(root)


def _add_guest(root: ET.Element) -> None:
    """Say what machines guests may be."""
    guest = ET.SubElement(root, "guest")
    _text(guest, "os_type", "hvm")
    arch = ET.SubElement(guest, "arch", name=HOST_ARCHITECTURE)
    _text(arch, "wordsize", "64")
    _text(arch, "emulator", EMULATOR)
    for alias, name in (("pc", "pc-i440fx-7.2"), ("q35", "pc-q35-7.2")):
        most = str(MACHINES[name])
        _text(arch, "machine", name, maxCpus=most)
        _text(arch, "machine", alias, canonical=name, maxCpus=most)
    ET.SubElement(arch, "domain", type="qemu")
    ET.SubElement(arch, "domain", type="kvm")
    features = ET.SubElement(guest, "features")
    ET.SubElement(features, "acpi", default="on", toggle="yes")
    ET.SubElement(features, "apic", default="on", toggle="no")


def domain_xml(template: ET.Element, figures: DomainFigures) -> str:
    """Return a domain's description: its template with the figures that hold now."""
    root = deepcopy(template)
    if figures.id >= 0:
        root.set("id", str(figures.id))
    put_text(root, "name", figures.name)
    put_text(root, "uuid", str(uuids.UUID(bytes=figures.uuid)))
    _write_notes(root, figures)
    put_text(root, "memory", str(figures.max_kib), unit="KiB")
    put_text(root, "currentMemory", str(figures.current_kib), unit="KiB")
    vcpu = put_text(root, "vcpu", str(figures.vcpus_max), placement="static")
    vcpu.attrib.pop("current", None)
    vcpu.attrib.pop("cpuset", None)
    if figures.vcpus != figures.vcpus_max:
        vcpu.set("current", str(figures.vcpus))
    _write_limits(root, figures)
    _write_devices(child(root, "devices"), figures)
    return document(root)


def _write_notes(root: ET.Element, figures: DomainFigures) -> None:
    for tag, text in (("title", figures.title), ("description", figures.note)):
        if text:
            put_text(root, tag, text)
        else:
            remove(root, tag)
    remove(root, "metadata")
    if figures.metadata:
        child(root, "metadata").extend(deepcopy(element) for element in figures.metadata)


def _write_limits(root: ET.Element, figures: DomainFigures) -> None:
    remove(root, "memtune")
    for limit, kib in figures.memory_limits.items():
        _text(child(root, "memtune"), limit, str(kib), unit="KiB")
    remove(root, "cputune")
    for parameter, tag in CPU_TUNE.items():
        if parameter in figures.scheduler:
            _text(child(root, "cputune"), tag, str(figures.scheduler[parameter]))
    for number, mask in enumerate(figures.masks):
        if mask is not None:
            tune = child(root, "cputune")
            ET.SubElement(tune, "vcpupin", vcpu=str(number), cpuset=format_cpu_list(mask))
    write_numa(root, figures.numa)
    if figures.emulator_mask is not None:
        tune = child(root, "cputune")
        ET.SubElement(tune, "emulatorpin", cpuset=format_cpu_list(figures.emulator_mask))


def _write_devices(devices: ET.Element, figures: DomainFigures) -> None:
    for interface, vnet in zip(devices.findall("interface"), figures.vnets, strict=False):
        target = interface.find("target")
        if target is None:
            target = ET.Element("target")
            # After the source, as libvirt writes it.
            interface.insert(min(2, len(interface)), target)
        target.set("dev", vnet)
    balloon = devices.find("memballoon")
    if balloon is not None:
        remove(balloon, "stats")
        if figures.stats_period_s > 0:
            ET.SubElement(balloon, "stats", period=str(figures.stats_period_s))


def guest_template(spec: GuestSpec, uuid: bytes) -> ET.Element:
    """Return the description of a scenario's guest, without the figures that change."""
    root = ET.Element("domain", type="kvm")
    os_element = child(root, "os")
    _text(os_element, "type", "hvm", arch=HOST_ARCHITECTURE, machine="pc-q35-7.2")
    ET.SubElement(os_element, "boot", dev="hd")
    features = child(root, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    child(root, "cpu").attrib.update(mode="host-passthrough", check="none", migratable="on")
    child(root, "clock").set("offset", "utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        put_text(root, f"on_{event}", action)
    devices = child(root, "devices")
    _text(devices, "emulator", EMULATOR)
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="qcow2")
    ET.SubElement(disk, "source", file=disk_path(spec.name))
    ET.SubElement(disk, "target", dev=DISK, bus="virtio")
    interface = ET.SubElement(devices, "interface", type="network")
    # QEMU's own prefix, then bytes of the uuid: as stable as the guest's name.
    address = ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *uuid[:3]))
    ET.SubElement(interface, "mac", address=address)
    ET.SubElement(interface, "source", network="default")
    ET.SubElement(interface, "model", type="virtio")
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    if spec.deflate_on_oom:
        balloon.set("autodeflate", "on")
    return root


def disk_path(name: str) -> str:
    """Return the path of a scenario guest's disk image, which is a name only."""
    return f"/var/lib/libvirt/images/{name}.qcow2"


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
