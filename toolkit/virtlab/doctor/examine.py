"""Look at this machine, one thing after the other; nothing is changed.

What can be tried is tried (a sandboxed program, a connection to libvirtd, a virtual machine of the
kernel's), since a file that is there proves little.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from virtlab.doctor.box import box_findings
from virtlab.doctor.finding import Finding, Purpose
from virtlab.doctor.kvm import kvm_finding
from virtlab.hosts.real.boot import QEMU
from virtlab.hosts.real.connection import LIBVIRT_SOCKET
from virtlab.subjects.sandbox import find_sandbox

__all__ = ["examine"]

_TIMEOUT_S: Final = 20
_VERSION: Final = re.compile(r"\d+(?:\.\d+)+")
_APT: Final = "sudo apt-get install -y --no-install-recommends"

Progress = Callable[[str], None]


def examine(*, deep: bool = False, progress: Progress = lambda _line: None) -> Iterator[Finding]:
    """Yield the findings, in the order of their purposes.

    Args:
        deep: boot a micro-guest under KVM, which takes up to half a minute.
        progress: told of what takes long.
    """
    yield from _simulated_host()
    yield from _real_host(deep, progress)
    yield from _playbooks()
    yield from _vagrant()


def _simulated_host() -> Iterator[Finding]:
    here: Purpose = "simulated host"
    yield _program(here, "C compiler", ("cc", "--version"), f"{_APT} gcc libc6-dev")
    yield _program(here, "make", ("make", "--version"), f"{_APT} make")
    # Nothing is graded by it; who looks around by hand misses it.
    virsh = _program(here, "virsh", ("virsh", "--version"), f"{_APT} libvirt-clients")
    yield virsh if virsh.status == "works" else replace(virsh, status="weaker")
    yield _libvirt_headers()
    yield _python_libvirt()
    sandbox = find_sandbox()
    if sandbox.weaker:
        fix = f"{_APT} bubblewrap" if shutil.which("bwrap") is None else _NAMESPACES
        detail = "does not work: programs share the machine's files, processes and network"
        yield Finding(here, "bubblewrap", "weaker", detail, fix)
    else:
        yield Finding(here, "bubblewrap", "works", f"isolates programs ({sandbox.bubblewrap})")
    if sandbox.cgroups is None:
        detail = "not writable: memory and processes are bounded by limits of each process"
        yield Finding(here, "control groups", "weaker", detail, "run as root, or delegate a group")
    else:
        yield Finding(here, "control groups", "works", f"version {sandbox.cgroups.version}")


_NAMESPACES: Final = (
    "allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1, "
    "and in a container start it with --security-opt seccomp=unconfined"
)


def _libvirt_headers() -> Finding:
    """Look for what C programs are compiled and linked with."""
    with_compiler = shutil.which("cc") is not None
    done = _ran(("cc", "-E", "-x", "c", "-include", "libvirt/libvirt.h", "/dev/null"))
    if with_compiler and done is not None and done.returncode == 0:
        return Finding("simulated host", "libvirt for C programs", "works", "its header is found")
    detail = "libvirt/libvirt.h is not found, so C programs do not compile"
    return Finding(
        "simulated host", "libvirt for C programs", "missing", detail, f"{_APT} libvirt-dev"
    )


def _python_libvirt() -> Finding:
    """Look at the system's Python, which submitted Python programs run on."""
    done = _ran(("/usr/bin/python3", "-c", "import libvirt; print(libvirt.getVersion())"))
    name = "libvirt for Python programs"
    if done is not None and done.returncode == 0:
        number = int(done.stdout)
        version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
        return Finding("simulated host", name, "works", version)
    detail = "/usr/bin/python3 cannot import libvirt, so Python programs cannot either"
    return Finding("simulated host", name, "missing", detail, f"{_APT} python3-libvirt")


def _real_host(deep: bool, progress: Progress) -> Iterator[Finding]:
    here: Purpose = "real host"
    yield _program(here, "QEMU", (QEMU, "--version"), f"{_APT} qemu-system-x86 seabios ipxe-qemu")
    yield _program(
        here, "libvirtd", ("libvirtd", "--version"),
        f"{_APT} libvirt-daemon-system libvirt-daemon-driver-qemu dnsmasq-base",
    )  # fmt: skip
    yield _libvirtd_answers()
    yield from _default_network()
    yield kvm_finding(deep=deep, progress=progress)


def _libvirtd_answers() -> Finding:
    """Ask a running libvirtd for its version."""
    name = "libvirtd answers"
    if not LIBVIRT_SOCKET.exists():
        detail = f"it does not run: there is no {LIBVIRT_SOCKET}"
        return Finding("real host", name, "missing", detail, "virtlab host up")
    done = _ran(("virsh", "--connect", "qemu:///system", "--quiet", "version", "--daemon"))
    if done is not None and done.returncode == 0:
        lines = done.stdout.strip().splitlines()
        detail = lines[-1] if lines else "yes"
        return Finding("real host", name, "works", detail)
    reason = "virsh is not there" if done is None else _last_line(done.stderr)
    fix = "sudo usermod -aG libvirt $USER, then log in anew" if os.geteuid() else None
    return Finding("real host", name, "missing", reason, fix)


def _default_network() -> Iterator[Finding]:
    """Look at the network of guests that have a system of their own; nothing without a libvirtd."""
    name = "libvirt's network default"
    virsh = ("virsh", "--connect", "qemu:///system", "--quiet")
    done = _ran((*virsh, "net-list", "--all"))
    if done is None or done.returncode != 0:
        return
    states = [
        line.split()[1] for line in done.stdout.splitlines() if line.split()[:1] == ["default"]
    ]
    if states == ["active"]:
        yield Finding("real host", name, "works", "active")
        return
    what = "does not run" if states else "is not there"
    detail = f"{what}: guests with a system of their own have no address; micro-guests need none"
    define = "" if states else "sudo virsh net-define /usr/share/libvirt/networks/default.xml && "
    fix = f"{define}sudo virsh net-start default && sudo virsh net-autostart default"
    yield Finding("real host", name, "weaker", detail, fix)


def _playbooks() -> Iterator[Finding]:
    """Look for Ansible; its modules run on the system's Python, whose libvirt `up` installs."""
    here: Purpose = "playbooks"
    fix = "pip install 'virtlab[real]'"
    yield _program(here, "Ansible", ("ansible-playbook", "--version"), fix)
    yield _module(here, "ansible-runner", "ansible_runner", fix)


def _vagrant() -> Iterator[Finding]:
    here: Purpose = "vagrant"
    yield _program(here, "Vagrant", ("vagrant", "--version"), f"{_APT} vagrant vagrant-libvirt")
    yield from box_findings(_said)
    fix = "on Ubuntu: sudo apt-get install -y uvtool"
    name = "uvtool"
    found = shutil.which("uvt-kvm")
    if found is None:  # on this machine; a box has its own
        detail = "uvt-kvm is not found: guests of the kind uvt are not to be had outside of a box"
        yield Finding(here, name, "weaker", detail, fix)
    else:
        yield Finding(here, name, "works", found)


def _program(purpose: Purpose, name: str, command: tuple[str, ...], fix: str) -> Finding:
    done = _ran(command)
    if done is None:
        return Finding(purpose, name, "missing", f"{command[0]} is not found", fix)
    if done.returncode != 0:
        return Finding(purpose, name, "missing", _last_line(done.stderr or done.stdout), fix)
    version = _VERSION.search(done.stdout)
    return Finding(purpose, name, "works", version[0] if version else "yes")


def _module(purpose: Purpose, name: str, module: str, fix: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(purpose, name, "missing", f"Python has no module {module}", fix)
    return Finding(purpose, name, "works", "yes")


def _said(*command: str, **variables: str) -> str | None:
    done = _ran(command, **variables)
    return done.stdout if done is not None and done.returncode == 0 else None


def _ran(command: tuple[str, ...], **variables: str) -> subprocess.CompletedProcess[str] | None:
    """Run a program that only tells something; None where it is not there or does not end."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **variables}
    # Programs of this environment count too, where it was not activated.
    paths = os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    program = shutil.which(command[0], path=paths)
    if program is None:
        return None
    try:
        return subprocess.run(
            (program, *command[1:]), capture_output=True, text=True, errors="replace",
            timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it failed without a word"
