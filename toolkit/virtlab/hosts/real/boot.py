"""Boot the micro-guest once, outside libvirt, against a deadline: does this accelerator work?

`/dev/kvm` being there proves nothing: on some hosts inside of hosts it answers, makes a virtual
machine, and the guest's kernel does not come to its first line in 25 seconds (measured).
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import Final, Literal

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.micro_guest import MicroGuest

__all__ = ["QEMU", "Boot", "try_boot"]

QEMU: Final = "qemu-system-x86_64"
_READY: Final = b"virtlab-guest: up"  # what the guest's PID 1 says on its console
_TAIL: Final = 4096


@dataclass(frozen=True, slots=True)
class Boot:
    """What came of it."""

    seconds: float | None  # from QEMU's start until the guest was up; None: not in time
    said: str  # QEMU's last words, where it ended by itself


def try_boot(
    guest: MicroGuest,
    accelerator: Literal["kvm", "tcg"],
    *,
    deadline_s: float,
    memory_mib: int = 256,
) -> Boot:
    """Boot a guest without a disk or a network, wait until it is up, and end it.

    Raises:
        EnvironmentLackError: there is no QEMU.
    """
    command = [
        QEMU, "-nodefaults", "-no-user-config", "-machine", f"q35,usb=off,accel={accelerator}",
        "-m", str(memory_mib), "-display", "none", "-no-reboot", "-serial", "stdio",
        "-device", "virtio-serial", "-device", "virtserialport,name=org.qemu.guest_agent.0",
        "-kernel", str(guest.kernel), "-initrd", str(guest.initramfs),
        "-append", "console=ttyS0 quiet cryptomgr.notests",
    ]  # fmt: skip
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as err:
        raise EnvironmentLackError(
            f"{QEMU} could not be run: {err}", fix="sudo apt-get install qemu-system-x86 seabios"
        ) from err
    try:
        return _watched(process, began, deadline_s)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _watched(process: subprocess.Popen[bytes], began: float, deadline_s: float) -> Boot:
    assert process.stdout is not None
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left_s := began + deadline_s - time.monotonic()) > 0:
            if not selector.select(left_s):
                continue
            read = os.read(process.stdout.fileno(), _TAIL)
            said = (said + read)[-_TAIL:]
            if _READY in said:
                return Boot(time.monotonic() - began, "")
            if not read:
                return Boot(None, said.decode(errors="replace").strip())
    return Boot(None, "")
