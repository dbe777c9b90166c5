"""One guest as each layer knows it: libvirt's XML, QEMU's process, the host's capabilities."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.simulated.files import qemu_command_line
from virtlab.lessons.lesson import Listing, Said, Shown, Table
from virtlab.lessons.served import served
from virtlab.lessons.small_hosts import computes, cpu_guest, small_host
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.policies.parameters import tunable

_RUNNING = 16  # VIR_CONNECT_LIST_DOMAINS_RUNNING
_REAL = Path("/run/libvirt/libvirt-sock-ro")  # questions only
_PATIENCE_S = 3.0
_TOLD = ("name", "uuid", "memory", "currentMemory", "vcpu", "cputune/vcpupin", "devices/emulator")
_OPTIONS = ("-name", "-accel", "-m", "-smp", "-uuid")


@dataclass(frozen=True, slots=True)
class Layers:
    """The same number, asked of each layer."""

    vcpus: int = tunable(
        1, unit="vCPUs", effect="how many the simulated guest has", at_least=1, at_most=4
    )

    def shown(self) -> Iterator[Shown]:
        """Yield what this machine has, and the guest from above and from below."""
        yield Table("machine", ("layer", "here"), _this_machine())
        guest = cpu_guest("web", [0] * self.vcpus)
        with served(small_host([guest], [computes("web", 0.5)])) as host:
            client = host.connect()
            (dom,) = client.call("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING).domains
            xml = client.call("DOMAIN_GET_XML_DESC", dom, 0).xml
            yield Listing("xml", _told(xml))
            argv = qemu_command_line(host.simulated.guests["web"])
            yield Listing("process", _paired(argv))
            smp = argv[argv.index("-smp") + 1].partition(",")[0]
            said = client.call("DOMAIN_GET_INFO", dom).nrVirtCpu
            yield Table(
                "same",
                ("who says it", "vCPUs"),
                [
                    ("libvirt: <vcpu> of the XML", int(ET.fromstring(xml).findtext("vcpu", "0"))),
                    ("libvirt: virDomainGetInfo", said),
                    ("QEMU: -smp of the process", int(smp)),
                    (
                        "the kernel: threads that it schedules",
                        len(host.simulated.guests["web"].vcpus),
                    ),
                ],
            )
            capabilities = client.call("CONNECT_GET_CAPABILITIES").capabilities
            yield Listing("capabilities", _capable(capabilities))
        yield from _real_host()


def _this_machine() -> list[tuple[str, str]]:
    """Return which layers there are on the machine that runs this lesson."""
    kvm = "there is a /dev/kvm" if Path("/dev/kvm").exists() else "no /dev/kvm: QEMU would emulate"
    running = len(_qemu_processes())
    daemon = "a socket" if _REAL.exists() else "no socket"
    return [
        ("KVM, in the kernel", kvm),
        ("QEMU, a process a guest", f"{running} running"),
        ("libvirt, a daemon", f"{daemon} at {_REAL}"),
    ]


def _qemu_processes() -> dict[Path, tuple[str, ...]]:
    """Return the command lines of QEMU processes, by their folders in /proc."""
    found = {}
    for folder in sorted(Path("/proc").glob("[0-9]*")):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended, or is not ours to read
            continue
        argv = tuple(line.rstrip("\0").split("\0"))
        if "qemu-system" in argv[0]:
            found[folder] = argv
    return found


def _vcpu_threads(process: Path) -> list[str]:
    """Return the threads of a QEMU process that are vCPUs, as the kernel calls them."""
    names = []
    for thread in sorted(process.glob("task/*/comm")):
        with contextlib.suppress(OSError):  # it has ended
            names.append(thread.read_text().strip())
    return [name for name in names if name.startswith("CPU ")]


def _told(xml: str) -> list[str]:
    """Return the elements of a description that this lesson is about."""
    tree = ET.fromstring(xml)
    lines = [f"<domain type='{tree.get('type')}'>"]
    for path in _TOLD:
        for element in tree.findall(path):
            element.tail = None
            text = ET.tostring(element, encoding="unicode", short_empty_elements=True)
            lines.append("  " + " ".join(text.split()))
    return lines


def _paired(argv: tuple[str, ...]) -> list[str]:
    """Return the options of a command line that this lesson is about, each on a line."""
    pairs = pairwise(argv)
    chosen = [
        f"  {option} {value}" for option, value in pairs if option in _OPTIONS or "balloon" in value
    ]
    return [argv[0], *chosen, f"  ... ({len(argv) - 1} arguments in all)"]


def _capable(xml: str) -> list[str]:
    """Return what a host says that it can run."""
    tree = ET.fromstring(xml)
    lines = [f"host: {tree.findtext('host/cpu/arch')}, {tree.findtext('host/cpu/model')}"]
    for guest in tree.findall("guest"):
        kinds = ", ".join(str(one.get("type")) for one in guest.findall("arch/domain"))
        arch = guest.find("arch")
        name = "" if arch is None else arch.get("name")
        lines.append(f"guests of {name}: {kinds} by {guest.findtext('arch/emulator')}")
    return lines


def _real_host() -> Iterator[Shown]:
    """Yield the same of this machine's own libvirtd, where one answers."""
    if not _REAL.exists():
        yield Said("real", "There is no libvirtd here, so what is above is the simulated host's.")
        return
    try:
        with HostConnection(_REAL, timeout_s=_PATIENCE_S) as host:
            yield Listing("real", _capable(host.call("CONNECT_GET_CAPABILITIES").capabilities))
            for dom in host.call("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING).domains[:1]:
                yield Listing("real", _told(host.call("DOMAIN_GET_XML_DESC", dom, 0).xml))
    except (EnvironmentLackError, LibvirtError) as error:
        yield Said("real", f"This machine's libvirtd tells nothing: {str(error).splitlines()[0]}.")
        return
    for process, argv in list(_qemu_processes().items())[:1]:
        threads = ", ".join(_vcpu_threads(process)) or "none that tell"
        yield Listing("real", [*_paired(argv), f"  its threads that are vCPUs: {threads}"])
