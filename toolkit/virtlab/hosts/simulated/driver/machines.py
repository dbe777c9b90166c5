"""What machines a domain may be: emulator, machine types, CPU models, and the document of them.

Source: a libvirtd 9.0.0 with QEMU 7.2.22; `virsh cpu-models x86_64`, `virsh domcapabilities`.
"""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver.xml_text import document
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import LibvirtError

__all__ = [
    "CPU_MODELS",
    "EMULATOR",
    "FOREIGN_TYPES",
    "HOST_ARCHITECTURE",
    "MACHINES",
    "OTHER_ARCHITECTURES",
    "VIRT_TYPES",
    "canonical_machine",
    "domain_capabilities_xml",
    "missing_emulator",
]

HOST_ARCHITECTURE: Final = "x86_64"
EMULATOR: Final = "/usr/bin/qemu-system-x86_64"
VIRT_TYPES: Final = {"qemu": "tcg", "kvm": "kvm"}  # and the accelerator that QEMU calls so

# Machine types with the most vCPUs that each takes, and the names that stand for the newest.
MACHINES: Final = {"pc-i440fx-7.2": 255, "pc-q35-7.2": 288}
_ALIASES: Final = {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2", "": "pc-i440fx-7.2"}

# Architectures that libvirt knows by name; it has CPU models for few of them, this host for none.
_ARCHITECTURE_NAMES: Final = (
    "alpha armv6l armv7l armv7b aarch64 cris i686 ia64 lm32 m68k microblaze microblazeel mips "
    "mipsel mips64 mips64el openrisc parisc parisc64 ppc ppc64 ppc64le ppcemb riscv32 riscv64 "
    "s390 s390x sh4 sh4eb sparc sparc64 unicore32 xtensa xtensaeb loongarch64"
)
OTHER_ARCHITECTURES: Final = frozenset(_ARCHITECTURE_NAMES.split())

_CPU_MODEL_NAMES: Final = (
    "486 pentium pentium2 pentium3 pentiumpro coreduo n270 core2duo qemu32 kvm32 cpu64-rhel5 "
    "cpu64-rhel6 qemu64 kvm64 Conroe Penryn Nehalem Nehalem-IBRS Westmere Westmere-IBRS "
    "SandyBridge SandyBridge-IBRS IvyBridge IvyBridge-IBRS Haswell-noTSX Haswell-noTSX-IBRS "
    "Haswell Haswell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS Broadwell Broadwell-IBRS "
    "Skylake-Client Skylake-Client-IBRS Skylake-Client-noTSX-IBRS Skylake-Server "
    "Skylake-Server-IBRS Skylake-Server-noTSX-IBRS Cascadelake-Server Cascadelake-Server-noTSX "
    "Icelake-Client Icelake-Client-noTSX Icelake-Server Icelake-Server-noTSX Cooperlake Snowridge "
    "athlon phenom Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 EPYC EPYC-IBPB "
    "EPYC-Rome EPYC-Milan Dhyana"
)
CPU_MODELS: Final = tuple(_CPU_MODEL_NAMES.split())

_ENOENT: Final = 2

# Device kinds of a domain on this host, with the enumerations that tools look into.
_DEVICES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "disk": {
        "diskDevice": ("disk", "cdrom"),
        "bus": ("ide", "scsi", "virtio", "usb", "sata"),
        "model": ("virtio",),
    },
    "graphics": {"type": ("vnc", "spice")},
    "video": {"modelType": ("vga", "cirrus", "qxl", "virtio", "none")},
    "rng": {"model": ("virtio",), "backendModel": ("random", "egd", "builtin")},
    "channel": {"type": ("pty", "unix", "spicevmc")},
}


def canonical_machine(name: str) -> str:
    """Return the machine type that a name stands for; an unknown one stands for itself."""
    return _ALIASES.get(name, name)


def missing_emulator(path: str) -> LibvirtError:
    """Return error 38 of an emulator that this host does not have."""
    return errors.system_error(
        f"Cannot check QEMU binary {path}: No such file or directory", number=_ENOENT
    )


def domain_capabilities_xml(
    emulator: str | None, arch: str | None, machine: str | None, kind: str | None
) -> str:
    """Return what a domain may have; what is not given is chosen as libvirt does.

    Raises:
        LibvirtError: no such domain can run here.
    """
    if kind is not None and kind not in VIRT_TYPES:
        raise _wrong_kind(kind)
    if arch is not None and arch != HOST_ARCHITECTURE and arch not in OTHER_ARCHITECTURES:
        raise errors.invalid_argument(f"unknown architecture: {arch}")
    if emulator is not None and emulator != EMULATOR:
        raise missing_emulator(emulator)
    if arch is not None and arch != HOST_ARCHITECTURE:
        raise errors.config_unsupported(
            f"unable to find any emulator to serve '{arch}' architecture"
        )
    canonical = canonical_machine(machine or "")
    if canonical not in MACHINES:
        raise errors.invalid_argument(
            f"the machine '{machine}' is not supported by emulator '{EMULATOR}'"
        )
    return _document(canonical, kind or "kvm")


def _wrong_kind(kind: str) -> LibvirtError:
    if kind in FOREIGN_TYPES:
        return errors.invalid_argument(
            f"the accel 'tcg' is not supported by '{EMULATOR}' on this host"
        )
    return errors.invalid_argument(f"unknown virttype: {kind}")


# virDomainVirtType of other drivers.
_FOREIGN_NAMES: Final = (
    "kqemu xen lxc uml openvz test vmware hyperv vbox phyp parallels bhyve vz hvf"
)
FOREIGN_TYPES: Final = frozenset(_FOREIGN_NAMES.split())


def _document(machine: str, kind: str) -> str:
    root = ET.Element("domainCapabilities")
    for tag, text in (
        ("path", EMULATOR),
        ("domain", kind),
        ("machine", machine),
        ("arch", HOST_ARCHITECTURE),
    ):
        ET.SubElement(root, tag).text = text
    ET.SubElement(root, "vcpu", max=str(MACHINES[machine]))
    ET.SubElement(root, "iothreads", supported="yes")
    os_element = ET.SubElement(root, "os", supported="yes")
    ET.SubElement(os_element, "enum", name="firmware")
    cpu = ET.SubElement(root, "cpu")
    passthrough = ET.SubElement(cpu, "mode", name="host-passthrough")
    passthrough.set("supported", "yes" if kind == "kvm" else "no")
    custom = ET.SubElement(cpu, "mode", name="custom", supported="yes")
    for model in CPU_MODELS:
        ET.SubElement(custom, "model", usable="unknown").text = model
    devices = ET.SubElement(root, "devices")
    for device, enumerations in _DEVICES.items():
        element = ET.SubElement(devices, device, supported="yes")
        for name, values in enumerations.items():
            enumeration = ET.SubElement(element, "enum", name=name)
            for value in values:
                ET.SubElement(enumeration, "value").text = value
    features = ET.SubElement(root, "features")
    for feature in ("gic", "sev"):
        ET.SubElement(features, feature, supported="no")
    return document(root)
