"""Is KVM usable? Asked of the kernel; and with a guest's boot, which alone is a proof.

Source: Documentation/virt/kvm/api.rst of the Linux kernel for the two ioctls.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from virtlab.doctor.finding import Finding
from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.boot import try_boot
from virtlab.hosts.real.micro_guest import micro_guest

__all__ = ["kvm_finding"]

_DEVICE: Final = Path("/dev/kvm")
_GET_API_VERSION: Final = 0xAE00
_CREATE_VM: Final = 0xAE01
_API_VERSION: Final = 12  # the only one since 2007
# An emulated micro-guest is up in three seconds on an idle machine; KVM has to be no slower.
_DEADLINE_S: Final = 15.0
_EMULATION: Final = "guests are emulated, which is slower"
_NAME: Final = "KVM"


def kvm_finding(*, deep: bool, progress: Callable[[str], None]) -> Finding:
    """Return whether guests can run under KVM; without it they are emulated.

    Args:
        deep: boot a micro-guest under it.
        progress: told before that begins.
    """
    if (lack := _lack()) is not None:
        return lack
    if not deep:
        detail = f"{_DEVICE} answers; only a guest's boot proves that it works"
        return Finding("real host", _NAME, "works", detail, "virtlab doctor --deep")
    try:
        guest = micro_guest(progress=progress)
        progress(f"booting a guest under KVM, for at most {_DEADLINE_S:g} s")
        boot = try_boot(guest, "kvm", deadline_s=_DEADLINE_S)
    except EnvironmentLackError as err:
        what = str(err).splitlines()[0]
        return Finding("real host", _NAME, "weaker", f"could not be tried: {what}", err.fix)
    if boot.seconds is not None:
        return Finding("real host", _NAME, "works", f"a guest booted in {boot.seconds:.1f} s")
    reason = boot.said.splitlines()[-1] if boot.said else f"not up after {_DEADLINE_S:g} s"
    detail = f"a guest did not boot under it ({reason}); {_EMULATION}"
    return Finding("real host", _NAME, "weaker", detail, "mask it: virtlab host up does")


def _lack() -> Finding | None:
    """Return why the kernel gives no virtual machine, or None where it does."""
    if not _DEVICE.exists():
        detail = f"there is no {_DEVICE}; {_EMULATION}"
        fix = "switch virtualisation on in the firmware, or nested virtualisation in the host"
        return Finding("real host", _NAME, "weaker", detail, fix)
    try:
        device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        detail = f"you may not open {_DEVICE}; {_EMULATION}"
        fix = "sudo usermod -aG kvm $USER, then log in anew"
        return Finding("real host", _NAME, "weaker", detail, fix)
    except OSError as err:
        detail = f"{_DEVICE}: {err.strerror}; {_EMULATION}"
        return Finding("real host", _NAME, "weaker", detail)
    try:
        version = fcntl.ioctl(device, _GET_API_VERSION)
        if version != _API_VERSION:
            detail = f"{_DEVICE} speaks version {version} instead of {_API_VERSION}; {_EMULATION}"
            return Finding("real host", _NAME, "weaker", detail)
        os.close(fcntl.ioctl(device, _CREATE_VM))
    except OSError as err:
        detail = f"the kernel makes no virtual machine: {err.strerror}; {_EMULATION}"
        return Finding("real host", _NAME, "weaker", detail)
    finally:
        with suppress(OSError):
            os.close(device)
    return None


def _main() -> None:
    finding = kvm_finding(deep=True, progress=lambda line: print(line, file=sys.stderr))
    print(finding.detail)
    raise SystemExit(0 if finding.status == "works" else 1)


if __name__ == "__main__":
    _main()
