"""What a machine is, as far as it bears on a comparison; nothing that would tell whose it is."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Final

from virtlab.hosts.real.connection import HostConnection
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.model.fidelity import Machine
from virtlab.model.units import KIB_PER_MIB

__all__ = ["machine_here"]

_CPUINFO: Final = Path("/proc/cpuinfo")
_MEMINFO: Final = Path("/proc/meminfo")
_NAME: Final = re.compile(r"^model name\s*: (.+)$", re.MULTILINE)
_TOTAL: Final = re.compile(r"^MemTotal: +(\d+) kB$", re.MULTILINE)


def machine_here(connection: HostConnection, accelerator: str) -> Machine:
    """Return what libvirtd and the kernel say of this machine."""
    node = connection.call("NODE_GET_INFO")
    said = _CPUINFO.read_text(errors="replace")
    named = _NAME.search(said)
    return Machine(
        processor=" ".join(named[1].split()) if named else platform.machine(),
        pcpus=node.cpus,
        memory_mib=_memory_kib(node.memory) // KIB_PER_MIB,
        kernel=platform.release(),
        libvirt=_dotted(connection.call("CONNECT_GET_LIB_VERSION").lib_ver),
        hypervisor=_hypervisor(connection),
        accelerator=accelerator,
        itself_virtual=" hypervisor" in said,  # a flag that only virtual machines have
    )


def _memory_kib(node_kib: int) -> int:
    """Return the kernel's figure; libvirt's leaves memory out that was plugged in later."""
    total = _TOTAL.search(_MEMINFO.read_text())
    return int(total[1]) if total else node_kib


def _hypervisor(connection: HostConnection) -> str:
    try:
        return f"QEMU {_dotted(connection.call('CONNECT_GET_VERSION').hv_ver)}"
    except LibvirtError:
        return "unknown"


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
