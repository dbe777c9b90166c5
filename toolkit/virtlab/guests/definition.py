"""A guest with a disk as a libvirt domain, and what the lab notes in it about its making."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal
from xml.etree import ElementTree

from virtlab.hosts.real.guests import MARK

__all__ = [
    "Notes",
    "Wanted",
    "attempt_of",
    "described",
    "mac_of",
    "mark_of",
    "notes_of",
    "uvt_template",
]

_PREFIX: Final = "lab"
_ATTEMPT: Final = "made by virtlab guests, attempt "
_TRANSLATED_MIB: Final = 256
ElementTree.register_namespace(_PREFIX, MARK)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a guest is to be."""

    name: str
    memory_kib: int  # the balloon's size once the guest is up
    max_memory_kib: int
    vcpus: int = 1
    disk_gib: int = 8
    deflate_on_oom: bool = False
    accelerator: Literal["kvm", "qemu"] = "qemu"
    network: str = "default"


@dataclass(frozen=True, slots=True)
class Notes:
    """What the lab has to know of a guest later; it is kept in the domain itself."""

    kind: Literal["cloud", "uvt"]
    login: str
    identity: str  # file for `ssh -i`; empty where ssh-agent has the key
    public_key: str  # of whoever logs in
    host_key: str  # the guest's own public key; empty where it is not known
    pool: str  # of its volumes; empty where uvt-kvm keeps them
    asked: str  # names all that was asked for but the image and the key
    image: str = ""  # what it began as, such as "release noble amd64"
    version: str = ""  # of that image


def mark_of(notes: Notes) -> str:
    """Return the lab's mark, which tells a guest of its making, with these notes."""
    element = ElementTree.Element(f"{{{MARK}}}guest", asdict(notes))
    return ElementTree.tostring(element, encoding="unicode")


def notes_of(tree: ElementTree.Element) -> Notes | None:
    """Return the notes of a domain; None for a micro-guest, and for a domain of somebody else's."""
    mark = tree.find(f"metadata/{{{MARK}}}guest")
    if mark is None or mark.get("kind") not in ("cloud", "uvt"):
        return None
    return Notes(**{name: mark.get(name, "") for name in Notes.__slots__})  # type: ignore[arg-type]


def mac_of(tree: ElementTree.Element) -> str | None:
    """Return the address of a guest's first network card."""
    card = tree.find("devices/interface/mac")
    return None if card is None else card.get("address")


def described(
    wanted: Wanted, notes: Notes, overlay: Path, seed: Path, serial_log: Path | None, uuid: str
) -> str:
    """Return the domain's description as XML.

    The guest boots from its disk by BIOS, as cloud images do, and finds its seed on a second one.
    """
    domain = _domain(wanted, serial_log)
    ElementTree.SubElement(domain, "uuid").text = uuid
    ElementTree.SubElement(domain, "metadata").append(ElementTree.fromstring(mark_of(notes)))
    devices = domain.find("devices")
    assert devices is not None
    for place, (file, form) in enumerate(((overlay, "qcow2"), (seed, "raw"))):
        disk = ElementTree.SubElement(devices, "disk", type="file", device="disk")
        ElementTree.SubElement(disk, "driver", name="qemu", type=form)
        ElementTree.SubElement(disk, "source", file=str(file))
        ElementTree.SubElement(disk, "target", dev=f"vd{'ab'[place]}", bus="virtio")
        if form == "raw":
            ElementTree.SubElement(disk, "readonly")
    return ElementTree.tostring(domain, encoding="unicode")


def uvt_template(wanted: Wanted, serial_log: Path | None, attempt: str) -> str:
    """Return a template for uvt-kvm, which puts name, sizes and disks of its own into it.

    The domain's text says which attempt of the lab's it is of, until the lab's mark is put on it.
    """
    domain = _domain(wanted, serial_log)
    ElementTree.SubElement(domain, "description").text = f"{_ATTEMPT}{attempt}"
    return ElementTree.tostring(domain, encoding="unicode")


def attempt_of(tree: ElementTree.Element) -> str | None:
    """Return which attempt of the lab's a domain is of; None where it is of no such one."""
    text = tree.findtext("description", "")
    return text.removeprefix(_ATTEMPT) if text.startswith(_ATTEMPT) else None


def _domain(wanted: Wanted, serial_log: Path | None) -> ElementTree.Element:
    domain = ElementTree.Element("domain", type=wanted.accelerator)
    for name, value in (("name", wanted.name), ("vcpu", wanted.vcpus)):
        ElementTree.SubElement(domain, name).text = str(value)
    sizes = (("memory", wanted.max_memory_kib), ("currentMemory", wanted.memory_kib))
    for name, size_kib in sizes:
        ElementTree.SubElement(domain, name, unit="KiB").text = str(size_kib)
    system = ElementTree.SubElement(domain, "os")
    ElementTree.SubElement(system, "type", arch="x86_64", machine="q35").text = "hvm"
    ElementTree.SubElement(system, "boot", dev="hd")
    features = ElementTree.SubElement(domain, "features")
    ElementTree.SubElement(features, "acpi")
    ElementTree.SubElement(features, "apic")
    if wanted.accelerator == "kvm":  # an emulated one is slowest with most features
        ElementTree.SubElement(domain, "cpu", mode="host-passthrough")
    else:
        # QEMU keeps up to 1 GiB of translated code for each guest, unless it is told otherwise: a
        # guest of 1 GiB, half of it in its balloon, was 1.5 GiB large (measured).
        cache = ElementTree.SubElement(ElementTree.SubElement(features, "tcg"), "tb-cache")
        cache.set("unit", "MiB")
        cache.text = str(_TRANSLATED_MIB)
    _devices(ElementTree.SubElement(domain, "devices"), wanted, serial_log)
    return domain


def _devices(devices: ElementTree.Element, wanted: Wanted, serial_log: Path | None) -> None:
    if serial_log is None:
        ElementTree.SubElement(devices, "serial", type="pty")
    else:
        serial = ElementTree.SubElement(devices, "serial", type="file")
        ElementTree.SubElement(serial, "source", path=str(serial_log))
    card = ElementTree.SubElement(devices, "interface", type="network")
    ElementTree.SubElement(card, "source", network=wanted.network)
    ElementTree.SubElement(card, "model", type="virtio")
    channel = ElementTree.SubElement(devices, "channel", type="unix")
    ElementTree.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    noise = ElementTree.SubElement(devices, "rng", model="virtio")
    ElementTree.SubElement(noise, "backend", model="random").text = "/dev/urandom"
    deflates = "on" if wanted.deflate_on_oom else "off"
    balloon = ElementTree.SubElement(devices, "memballoon", model="virtio", autodeflate=deflates)
    ElementTree.SubElement(balloon, "stats", period="1")
