"""What a domain's description says: read from a client's XML, checked as libvirt checks it.

The description is kept as the client wrote it, in libvirt's order of elements and without those
that libvirt does not know. The figures that the host needs are read out of it; where a client
changes one by a call, `descriptions` writes the new one into the text that it hands out.

Source: a libvirtd 9.0.0, asked to define some sixty descriptions with one fault each.
"""

from __future__ import annotations

import re
import uuid as uuids
from copy import deepcopy
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver import machines, safe_xml
from virtlab.hosts.simulated.driver.descriptions import CPU_TUNE
from virtlab.hosts.simulated.driver.domain_tree import ORDER, child, source_path
from virtlab.hosts.simulated.driver.numa_tuning import NumaTune, read_numa
from virtlab.hosts.simulated.driver.quantities import cpu_bits, cpu_list, memory_kib, whole_number
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorCode, ErrorDomain, LibvirtError

__all__ = ["Definition", "read_definition", "read_name"]

_GUEST_VCPUS_MAX: Final = 255

_ACTIONS: Final = {
    "on_poweroff": ("destroy", ("destroy", "restart", "rename-restart", "preserve")),
    "on_reboot": ("restart", ("destroy", "restart", "rename-restart", "preserve")),
    "on_crash": (
        "destroy",
        (
            *("destroy", "restart", "rename-restart", "preserve"),
            *("coredump-destroy", "coredump-restart"),
        ),
    ),
}
_BALLOON_MODELS: Final = (
    *("virtio", "xen", "none"),
    *("virtio-transitional", "virtio-non-transitional"),
)
_PERIODS_US: Final = (1_000, 1_000_000)
_QUOTAS_US: Final = (1_000, 17_592_186_044_415)
# cputune's names of limits, and those of the scheduler parameters that they set.
_CPU_LIMITS: Final = {tag: name for name, tag in CPU_TUNE.items() if name != "cpu_shares"}


@dataclass(frozen=True, slots=True)
class Definition:
    """A domain as its description has it."""

    name: str
    uuid: bytes
    max_memory_kib: int
    memory_kib: int
    vcpus_max: int
    vcpus: int
    masks: tuple[frozenset[int] | None, ...]  # one for each of the most vCPUs
    emulator_mask: frozenset[int] | None
    scheduler: dict[str, int]  # cpu_shares, and periods and quotas in us
    memory_limits: dict[str, int]  # hard_limit, soft_limit, swap_hard_limit in KiB
    numa: NumaTune
    stats_period_s: int
    deflate_on_oom: bool
    text: ET.Element  # never changed; take a copy


def read_name(name: str, domain: int = ErrorDomain.DOMAIN) -> str:
    """Return a domain's name if it may be one.

    Raises:
        LibvirtError: it may not.
    """
    if "/" in name:
        raise errors.xml_error(f"name {name} cannot contain '/'", domain)
    if "\n" in name:
        raise LibvirtError.of(ErrorCode.XML_DETAIL, "invalid char in name: \n", ErrorDomain.XML)
    return name


def read_definition(xml: str, fresh_uuid: bytes, *, strict: bool = False) -> Definition:
    """Return what a client's description says.

    Args:
        xml: the description.
        fresh_uuid: what the domain gets where the description names no uuid.
        strict: refuse elements that libvirt does not know, as its schema would.

    Raises:
        LibvirtError: it is no description, or one that this host cannot run.
    """
    root = safe_xml.parse(xml, "domain", "domain_definition")
    if strict:
        _validate(root)
    name = (root.findtext("name") or "").strip("\n") if root.find("name") is not None else ""
    if not name:
        text = "missing name information"
        raise LibvirtError(ErrorCode.NO_NAME, ErrorDomain.DOMAIN, text, text)
    _check_type(root)
    title = root.findtext("title") or ""
    if "\n" in title:
        raise errors.xml_error("Domain title can't contain newlines")
    uuid = _uuid(root, fresh_uuid)
    maximum = memory_kib(root.find("memory"), "./memory[1]")
    if not maximum:
        raise errors.xml_error(
            "Memory size must be specified via <memory> or in the <numa> configuration"
        )
    current = memory_kib(root.find("currentMemory"), "./currentMemory[1]") or maximum
    vcpus_max, vcpus = _vcpus(root)
    masks = _masks(root, vcpus_max)
    scheduler = _scheduler(root)
    numa = read_numa(root)
    _check_machine(root, vcpus_max)
    read_name(name)
    balloon = _balloon(root)
    _check_devices(root)
    stats = balloon.find("stats") if balloon is not None else None
    period_s = 0 if stats is None else whole_number(stats, "period")
    emulator = root.find("cputune/emulatorpin")
    ordered = _in_order(root)
    return Definition(
        name=name,
        uuid=uuid,
        max_memory_kib=maximum,
        memory_kib=min(current, maximum),
        vcpus_max=vcpus_max,
        vcpus=vcpus,
        masks=masks,
        emulator_mask=None if emulator is None else cpu_list(emulator.get("cpuset", "")),
        scheduler=scheduler,
        memory_limits={
            limit: kib
            for limit in ("hard_limit", "soft_limit", "swap_hard_limit")
            if (kib := memory_kib(root.find(f"memtune/{limit}"), f"./memtune/{limit}[1]"))
        },
        numa=numa,
        stats_period_s=period_s,
        deflate_on_oom=balloon is not None and balloon.get("autodeflate") == "on",
        text=ordered,
    )


def _validate(root: ET.Element) -> None:
    for element in root:
        if element.tag not in ORDER and ":" not in element.tag:
            raise LibvirtError.of(
                ErrorCode.XML_INVALID_SCHEMA,
                "Unable to validate doc against /usr/share/libvirt/schemas/domain.rng\n"
                f"Element domain has extra content: {element.tag}\n",
                ErrorDomain.XML,
            )


def _check_type(root: ET.Element) -> None:
    kind = root.get("type")
    if kind is None:
        raise errors.internal_error("missing domain type attribute", ErrorDomain.DOMAIN)
    if kind in machines.VIRT_TYPES:
        return
    if kind in machines.FOREIGN_TYPES:
        raise errors.config_unsupported(
            f"Emulator '{machines.EMULATOR}' does not support virt type '{kind}'"
        )
    raise errors.config_unsupported(f"invalid domain type {kind}", ErrorDomain.DOMAIN)


def _uuid(root: ET.Element, fresh: bytes) -> bytes:
    text = root.findtext("uuid")
    if text is None:
        return fresh
    digits = text.strip().replace("-", "")
    if not re.fullmatch("[0-9A-Fa-f]{32}", digits):
        raise errors.internal_error("malformed uuid element", ErrorDomain.DOMAIN)
    return bytes.fromhex(digits)


def _vcpus(root: ET.Element) -> tuple[int, int]:
    element = root.find("vcpu")
    if element is None:
        return 1, 1
    text = (element.text or "").strip()
    if not re.fullmatch("[0-9]{1,9}", text):
        raise errors.xml_error("maximum vcpus count must be an integer")
    maximum = int(text)
    if maximum == 0:
        raise errors.internal_error("CPU IDs in <numa> exceed the <vcpu> count", ErrorDomain.DOMAIN)
    current_text = element.get("current", text)
    if not re.fullmatch("[0-9]{1,9}", current_text):
        raise errors.xml_error("current vcpus count must be an integer")
    current = int(current_text)
    if current > maximum:
        raise errors.config_unsupported(
            "maximum vCPU count must not be less than current vCPU count", ErrorDomain.DOMAIN
        )
    if current == 0:
        raise errors.config_unsupported("vcpu 0 can't be offline")
    return maximum, current


def _masks(root: ET.Element, vcpus: int) -> tuple[frozenset[int] | None, ...]:
    placed = root.find("vcpu")
    cpuset = None if placed is None else placed.get("cpuset")
    everywhere = None if cpuset is None else cpu_list(cpuset)
    kept = min(vcpus, _GUEST_VCPUS_MAX)
    pins: dict[int, frozenset[int]] = {}
    seen: set[int] = set()
    lists: dict[str, frozenset[int]] = {}  # equal ones are kept once
    for pin in root.findall("cputune/vcpupin"):
        if pin.get("vcpu") is None:
            raise errors.xml_error(
                "Missing required attribute 'vcpu' in element 'vcpupin'", ErrorDomain.XML
            )
        number = whole_number(pin, "vcpu", "non-negative integer")
        if number in seen:
            raise errors.internal_error(
                f"duplicate vcpupin for vcpu '{number}'", ErrorDomain.DOMAIN
            )
        if pin.get("cpuset") is None:
            raise errors.internal_error("missing cpuset for vcpupin", ErrorDomain.DOMAIN)
        seen.add(number)
        text = pin.get("cpuset", "")
        if number >= kept:
            cpu_bits(text)  # libvirt forgets it, once it has read it
        else:
            pins[number] = lists[text] if text in lists else lists.setdefault(text, cpu_list(text))
    return tuple(pins.get(number, everywhere) for number in range(kept))


def _scheduler(root: ET.Element) -> dict[str, int]:
    found: dict[str, int] = {}
    shares = root.findtext("cputune/shares")
    if shares is not None:
        found["cpu_shares"] = _tune(shares, "shares")
    for tag, parameter in _CPU_LIMITS.items():
        text = root.findtext(f"cputune/{tag}")
        if text is None:
            continue
        value = _tune(text, tag)
        least, most = _PERIODS_US if tag.endswith("period") else _QUOTAS_US
        if value > 0 and not least <= value <= most:
            raise errors.config_unsupported(
                f"Value of cputune '{tag}' must be in range [{least}, {most}]", ErrorDomain.DOMAIN
            )
        found[parameter] = value
    return found


def _tune(text: str, tag: str) -> int:
    if not re.fullmatch(r"\s*-?[0-9]{1,19}\s*", text) or (tag == "shares" and "-" in text):
        raise errors.xml_error(f"can't parse cputune {tag} value")
    return int(text)


def _check_machine(root: ET.Element, vcpus: int) -> None:
    kind = root.find("os/type")
    if kind is None or not (kind.text or "").strip():
        raise errors.xml_error("an os <type> must be specified")
    arch = kind.get("arch", machines.HOST_ARCHITECTURE)
    if arch != machines.HOST_ARCHITECTURE and arch not in machines.OTHER_ARCHITECTURES:
        raise errors.config_unsupported(f"Unknown architecture {arch}", ErrorDomain.DOMAIN)
    emulator = root.findtext("devices/emulator", machines.EMULATOR)
    if emulator != machines.EMULATOR:
        raise machines.missing_emulator(emulator)
    os_type = (kind.text or "").strip()
    if os_type != "hvm":
        raise errors.config_unsupported(
            f"Emulator '{machines.EMULATOR}' does not support os type '{os_type}'"
        )
    if arch != machines.HOST_ARCHITECTURE:
        raise errors.xml_error("No PCI buses available")
    machine = machines.canonical_machine(kind.get("machine", ""))
    if machine not in machines.MACHINES:
        raise errors.xml_error("No PCI buses available")
    # The limit is that of the older machine type, so that ids of vCPUs fit the lab's other parts.
    most = min(machines.MACHINES[machine], _GUEST_VCPUS_MAX)
    if vcpus > most:
        raise errors.config_unsupported(
            f"Maximum CPUs greater than specified machine type limit {most}"
        )
    for tag, (_, choices) in _ACTIONS.items():
        action = root.findtext(tag)
        if action is not None and action not in choices:
            raise errors.config_unsupported(f"unknown {tag} action: {action}", ErrorDomain.DOMAIN)


def _balloon(root: ET.Element) -> ET.Element | None:
    found = root.findall("devices/memballoon")
    if len(found) > 1:
        raise errors.internal_error(
            "only a single memory balloon device is supported", ErrorDomain.DOMAIN
        )
    if not found:
        return None
    model = found[0].get("model")
    if model not in _BALLOON_MODELS:
        raise errors.xml_error(
            f"Invalid value for attribute 'model' in element 'memballoon': '{model}'.",
            ErrorDomain.XML,
        )
    return found[0]


def _check_devices(root: ET.Element) -> None:
    sources: dict[str, str] = {}
    for disk in root.findall("devices/disk"):
        path = source_path(disk)
        target = disk.find("target")
        if target is None or not target.get("dev"):
            template = "missing target information for device %s"
            raise LibvirtError(
                ErrorCode.NO_TARGET, ErrorDomain.DOMAIN, template % path, template, path
            )
        dev = target.get("dev", "")
        if dev in sources:
            raise errors.xml_error(
                f"target '{dev}' duplicated for disk sources '{sources[dev]}' and '{path}'"
            )
        sources[dev] = path
    for interface in root.findall("devices/interface"):
        mac = interface.find("mac")
        address = None if mac is None else mac.get("address", "")
        if address is not None and not re.fullmatch(
            "[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2}){5}", address
        ):
            raise errors.xml_error(f"unable to parse mac address '{address}'")


def _in_order(root: ET.Element) -> ET.Element:
    """Return the description in libvirt's order, with what libvirt adds to every one."""
    kept = ET.Element("domain", {"type": root.get("type", "")})
    for tag in ORDER:
        for element in root.findall(tag):
            kept.append(deepcopy(element))
    kind = kept.find("os/type")
    assert kind is not None
    kind.set("arch", machines.HOST_ARCHITECTURE)
    kind.set("machine", machines.canonical_machine(kind.get("machine", "")))
    os_element = kept.find("os")
    assert os_element is not None
    if os_element.find("boot") is None and os_element.find("kernel") is None:
        ET.SubElement(os_element, "boot", dev="hd")
    clock = child(kept, "clock")
    clock.set("offset", clock.get("offset", "utc"))
    for tag, (default, _) in _ACTIONS.items():
        action = child(kept, tag)
        action.text = action.text or default
    devices = child(kept, "devices")
    if devices.find("emulator") is None:
        emulator = ET.Element("emulator")
        emulator.text = machines.EMULATOR
        devices.insert(0, emulator)
    if devices.find("memballoon") is None:
        ET.SubElement(devices, "memballoon", model="virtio")
    _name_interfaces(devices, kept.findtext("name", ""))
    return kept


def _name_interfaces(devices: ET.Element, name: str) -> None:
    """Give each interface without a hardware address one: QEMU's prefix and the guest's name."""
    for number, interface in enumerate(devices.findall("interface")):
        if interface.find("mac") is None:
            tail = uuids.uuid5(uuids.NAMESPACE_DNS, f"{name} {number}").bytes[:3]
            address = ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *tail))
            interface.insert(0, ET.Element("mac", address=address))
