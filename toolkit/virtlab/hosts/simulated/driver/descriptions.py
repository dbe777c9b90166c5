"""The XML documents that the simulated host hands out: capabilities and domain descriptions."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver.values import format_cpu_list
from virtlab.model.scenario import GuestSpec, HostSpec

__all__ = ["HOST_ARCHITECTURE", "HOST_CPU_MODEL", "capabilities_xml", "domain_xml"]

HOST_ARCHITECTURE = "x86_64"
HOST_CPU_MODEL = "virtlab"


def capabilities_xml(host: HostSpec, host_uuid: bytes) -> str:
    """Return the host's capabilities: one NUMA cell, one socket, one thread a core."""
    root = ET.Element("capabilities")
    machine = ET.SubElement(root, "host")
    _text(machine, "uuid", str(uuids.UUID(bytes=host_uuid)))
    cpu = ET.SubElement(machine, "cpu")
    _text(cpu, "arch", HOST_ARCHITECTURE)
    _text(cpu, "model", HOST_CPU_MODEL)
    ET.SubElement(cpu, "topology", sockets="1", dies="1", cores=str(host.pcpus), threads="1")
    ET.SubElement(cpu, "pages", unit="KiB", size="4")
    cells = ET.SubElement(ET.SubElement(machine, "topology"), "cells", num="1")
    cell = ET.SubElement(cells, "cell", id="0")
    _text(cell, "memory", str(host.memory_kib), unit="KiB")
    _text(cell, "pages", str(host.memory_kib // 4), unit="KiB", size="4")
    ET.SubElement(ET.SubElement(cell, "distances"), "sibling", id="0", value="10")
    cpus = ET.SubElement(cell, "cpus", num=str(host.pcpus))
    for number in range(host.pcpus):
        ET.SubElement(
            cpus,
            "cpu",
            id=str(number),
            socket_id="0",
            die_id="0",
            core_id=str(number),
            siblings=str(number),
        )
    guest = ET.SubElement(root, "guest")
    _text(guest, "os_type", "hvm")
    arch = ET.SubElement(guest, "arch", name=HOST_ARCHITECTURE)
    _text(arch, "wordsize", "64")
    _text(arch, "emulator", "/usr/bin/qemu-system-x86_64")
    ET.SubElement(arch, "domain", type="qemu")
    ET.SubElement(arch, "domain", type="kvm")
    return _document(root)


def domain_xml(
    spec: GuestSpec,
    *,
    uuid: bytes,
    domain_id: int,
    current_kib: int,
    max_kib: int,
    masks: Sequence[frozenset[int] | None],
    stats_period_s: int,
) -> str:
    """Return a domain's description.

    Args:
        spec: the guest.
        uuid: its 16 bytes.
        domain_id: its id, or -1 for a description without one (stopped, or asked as inactive).
        current_kib: the balloon's size.
        max_kib: the largest size.
        masks: for each vCPU the pCPUs that it is bound to, or None where it may use all.
        stats_period_s: the balloon's statistics period, 0 where none is set.
    """
    root = ET.Element("domain", type="kvm")
    if domain_id >= 0:
        root.set("id", str(domain_id))
    _text(root, "name", spec.name)
    _text(root, "uuid", str(uuids.UUID(bytes=uuid)))
    _text(root, "memory", str(max_kib), unit="KiB")
    _text(root, "currentMemory", str(current_kib), unit="KiB")
    _text(root, "vcpu", str(spec.vcpus), placement="static")
    bound = [(number, mask) for number, mask in enumerate(masks) if mask is not None]
    if bound:
        tune = ET.SubElement(root, "cputune")
        for number, mask in bound:
            ET.SubElement(tune, "vcpupin", vcpu=str(number), cpuset=format_cpu_list(mask))
    os_element = ET.SubElement(root, "os")
    _text(os_element, "type", "hvm", arch=HOST_ARCHITECTURE, machine="pc-q35-7.2")
    ET.SubElement(os_element, "boot", dev="hd")
    features = ET.SubElement(root, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    ET.SubElement(root, "cpu", mode="host-passthrough", check="none", migratable="on")
    ET.SubElement(root, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(root, f"on_{event}", action)
    _devices(root, spec, uuid, domain_id, stats_period_s)
    return _document(root)


def _devices(
    root: ET.Element, spec: GuestSpec, uuid: bytes, domain_id: int, stats_period_s: int
) -> None:
    devices = ET.SubElement(root, "devices")
    _text(devices, "emulator", "/usr/bin/qemu-system-x86_64")
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="qcow2")
    ET.SubElement(disk, "source", file=disk_path(spec))
    ET.SubElement(disk, "target", dev=DISK, bus="virtio")
    interface = ET.SubElement(devices, "interface", type="network")
    # QEMU's own prefix, then bytes of the uuid: as stable as the guest's name.
    address = ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *uuid[:3]))
    ET.SubElement(interface, "mac", address=address)
    ET.SubElement(interface, "source", network="default")
    if domain_id >= 0:  # the host's end exists only while the guest runs
        ET.SubElement(interface, "target", dev=interface_name(domain_id))
    ET.SubElement(interface, "model", type="virtio")
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    if spec.deflate_on_oom:
        balloon.set("autodeflate", "on")
    if stats_period_s > 0:
        ET.SubElement(balloon, "stats", period=str(stats_period_s))


DISK = "vda"


def disk_path(spec: GuestSpec) -> str:
    """Return the path of a guest's disk image, which is a name only."""
    return f"/var/lib/libvirt/images/{spec.name}.qcow2"


def interface_name(domain_id: int) -> str:
    """Return the host's end of a running guest's interface."""
    return f"vnet{domain_id - 1}"


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def _document(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
