"""What a Vagrant box asks of this machine: a provider, nested virtualisation, memory and room.

The Vagrantfile's preflight (scripts/vagrant/preflight.rb) judges the same just before a box is
brought up, by what that box is set to; here a box as it is by default is judged.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from virtlab.doctor.finding import Finding

__all__ = ["box_findings"]

Said = Callable[..., str | None]  # what a program said that ended well; None else

_BOX_MIB: Final = 10_240  # by default, which holds all tests of the course
_CPU_BOX_MIB: Final = 6_144  # with VIRTLAB_TESTS=cpu
_SYSTEM_MIB: Final = 1_024  # what the machine's own system is left
_ROOM_GIB: Final = 10  # an image of Ubuntu, its overlay with the lab's packages, the guests' files
_GIB: Final = 1 << 30
_SYSTEM_MODULES: Final = ("kvm_intel", "kvm_amd")


def box_findings(
    said: Said,
    *,
    root: Path = Path("/"),
    home: Path | None = None,
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> Iterator[Finding]:
    """Yield what a box needs beside Vagrant itself.

    Args:
        said: runs a program, and returns what it said if it ended well.
        root: where /sys and /proc are found.
        home: the user's home; the one of this process if left out.
        free_bytes: tells the room at a folder.
    """
    virtualbox = said("VBoxManage", "list", "hostinfo")
    yield _provider(said, Path.home() if home is None else home, virtualbox)
    nested = _nested(root, virtualbox)
    if nested is not None:
        yield nested
    yield from _memory(root)
    yield _room(root, free_bytes)


def _provider(said: Said, home: Path, virtualbox: str | None) -> Finding:
    name = "a provider for Vagrant"
    found = []
    if (said("vagrant", "plugin", "list", **_vagrant_home(home)) or "").find(
        "vagrant-libvirt"
    ) >= 0:
        found.append("libvirt")
    if virtualbox is not None:
        found.append("VirtualBox")
    if found:
        return Finding("vagrant", name, "works", ", ".join(found))
    detail = "there is neither Vagrant's plugin for libvirt nor VirtualBox"
    fix = "sudo apt-get install -y --no-install-recommends vagrant-libvirt, or install VirtualBox"
    return Finding("vagrant", name, "missing", detail, fix)


def _vagrant_home(home: Path) -> Mapping[str, str]:
    """Return a variable by which Vagrant makes no folder in a home that has none of it yet."""
    return {} if (home / ".vagrant.d").is_dir() else {"VAGRANT_HOME": tempfile.gettempdir()}


def _nested(root: Path, virtualbox: str | None) -> Finding | None:
    """Return whether guests in a box can run under KVM; None where no hypervisor is there."""
    name = "nested virtualisation"
    for module in _SYSTEM_MODULES:
        parameter = root / "sys/module" / module / "parameters/nested"
        if parameter.exists():
            if parameter.read_text().strip() in ("1", "Y"):
                return Finding("vagrant", name, "works", f"{module} has it")
            fix = (
                f"echo 'options {module} nested=1' | sudo tee /etc/modprobe.d/virtlab-nested.conf; "
                f"sudo modprobe -r {module} && sudo modprobe {module}"
            )
            detail = f"{module} has it switched off: guests in a box are emulated"
            return Finding("vagrant", name, "weaker", detail, fix)
    if virtualbox is None:
        return None
    line = re.search(r"nested HW virtualization: *(\w+)", virtualbox)
    if line is not None and line[1] == "yes":
        return Finding("vagrant", name, "works", "VirtualBox has it")
    detail = "VirtualBox has none on this machine: guests in a box are emulated"
    fix = "switch VT-x or AMD-V on in the firmware, and use VirtualBox 6.1 or newer"
    return Finding("vagrant", name, "weaker", detail, fix)


def _memory(root: Path) -> Iterator[Finding]:
    name = "memory for a box"
    line = re.search(r"^MemTotal: *(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    if line is None:
        return
    has_mib = int(line[1]) // 1024
    if has_mib >= _BOX_MIB + _SYSTEM_MIB:
        yield Finding("vagrant", name, "works", f"{has_mib} MiB, and a box takes {_BOX_MIB}")
    elif has_mib >= _CPU_BOX_MIB + _SYSTEM_MIB:
        detail = f"{has_mib} MiB, and a box for all tests takes {_BOX_MIB}"
        fix = f"VIRTLAB_TESTS=cpu vagrant up, which takes {_CPU_BOX_MIB} MiB"
        yield Finding("vagrant", name, "weaker", detail, fix)
    else:
        detail = f"{has_mib} MiB, and a box for the CPU tests takes {_CPU_BOX_MIB}"
        fix = (
            "VIRTLAB_TESTS=cpu VIRTLAB_GUESTS=0 VIRTLAB_MEMORY_MIB=2048 vagrant up, without guests"
        )
        yield Finding("vagrant", name, "weaker", detail, fix)


def _room(root: Path, free_bytes: Callable[[Path], int]) -> Finding:
    name = "room for a box"
    pool = root / "var/lib/libvirt/images"
    folder = pool if pool.is_dir() else root
    free_gib = free_bytes(folder) // _GIB
    if free_gib >= _ROOM_GIB:
        return Finding("vagrant", name, "works", f"{free_gib} GiB are free at {folder}")
    detail = f"{free_gib} GiB are free at {folder}, and a box takes up to {_ROOM_GIB}"
    return Finding("vagrant", name, "missing", detail, "make room there: vagrant box prune")
