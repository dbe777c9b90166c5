"""The command lines of the guests' QEMU processes.

Source: what libvirt 9.0.0 starts (qemuBuildCommandLine), as far as a domain here has it.
"""

from __future__ import annotations

import uuid

from virtlab.hosts.simulated.driver.machines import EMULATOR
from virtlab.model.units import KIB_PER_MIB
from virtlab.simulator.host import SimulatedGuest

__all__ = ["qemu_command_line"]


def qemu_command_line(guest: SimulatedGuest) -> tuple[str, ...]:
    """Return the arguments with which a guest's process was started."""
    spec = guest.spec
    return (
        EMULATOR,
        *("-name", f"guest={guest.name},debug-threads=on"),
        "-S",
        *("-machine", "pc-q35-7.2,usb=off,dump-guest-core=off"),
        *("-accel", "kvm"),
        *("-cpu", "host,migratable=on"),
        *("-m", str(spec.max_memory_kib // KIB_PER_MIB)),
        *("-overcommit", "mem-lock=off"),
        *("-smp", f"{len(guest.vcpus)},sockets={len(guest.vcpus)},cores=1,threads=1"),
        *("-uuid", str(uuid.UUID(bytes=guest.uuid))),
        *("-display", "none"),
        "-no-user-config",
        "-nodefaults",
        *("-rtc", "base=utc"),
        "-no-shutdown",
        *("-boot", "strict=on"),
        *("-device", '{"driver":"virtio-balloon-pci","id":"balloon0"}'),
        *("-msg", "timestamp=on"),
    )
