"""A real libvirtd with its QEMU driver, private to one test, to measure the simulated host by.

It runs in a mount namespace of its own with empty folders for state, configuration and caches, and
without KVM: with an unreadable device in the place of /dev/kvm its probe of QEMU stays valid.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_SCRIPT = """
set -e
[ ! -e /dev/kvm ] || mount --bind "$1/nokvm" /dev/kvm
mkdir -p /run/libvirt /var/lib/libvirt /var/cache/libvirt /etc/libvirt
mount -t tmpfs none /run/libvirt
mount --bind "$1/state" /var/lib/libvirt
mount --bind "$1/cache" /var/cache/libvirt
mount --bind "$1/etc" /etc/libvirt
exec libvirtd -f "$1/libvirtd.conf" -p "$1/pid"
"""
_START_S = 30


def why_not() -> str | None:
    """Return why no libvirtd can be started here, or None where one can."""
    for program, package in (
        ("libvirtd", "libvirt-daemon-system"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"{program} is not installed (Debian package {package})"
    if os.geteuid() != 0:
        return "a private libvirtd needs root"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        return "a private libvirtd needs a mount namespace, which is not permitted here"
    return None


@contextlib.contextmanager
def private_libvirtd(directory: Path) -> Iterator[str]:
    """Run a libvirtd and give the URI of its QEMU driver.

    Raises:
        RuntimeError: it cannot be started here.
    """
    for name in ("sock", "state", "cache", "etc"):
        (directory / name).mkdir()
    os.mknod(directory / "nokvm", stat.S_IFCHR, os.makedev(1, 3))  # no permission for anybody
    (directory / "libvirtd.conf").write_text(
        f'unix_sock_dir = "{directory / "sock"}"\n'
        'unix_sock_rw_perms = "0777"\nauth_unix_ro = "none"\nauth_unix_rw = "none"\n'
        f'log_outputs = "3:file:{directory / "log"}"\n'
    )
    # A domain's log goes to a file, so that no virtlogd is needed.
    (directory / "etc" / "qemu.conf").write_text('stdio_handler = "file"\n')
    log = (directory / "output").open("wb")
    # The daemon leaves the caller's group, or a signal to it would reach the test run.
    daemon = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", _SCRIPT, "sh", str(directory)],
        stdout=log,
        stderr=log,
        env=os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        start_new_session=True,
    )
    try:
        uri = f"qemu+unix:///system?socket={directory / 'sock' / 'libvirt-sock'}"
        _wait(daemon, uri, directory)
        yield uri
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(30)
        log.close()


def _wait(daemon: subprocess.Popen[bytes], uri: str, directory: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if daemon.poll() is not None:
            break
        asked = subprocess.run(["virsh", "-c", uri, "version"], capture_output=True)
        if asked.returncode == 0:
            return
    said = (directory / "output").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"libvirtd did not start within {_START_S} s: {said}")
