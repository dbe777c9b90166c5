"""A Debian guest as cloud images have it, to hold the micro-guest against.

Debian's archive has no cloud image, so it is made of its packages by mmdebstrap, with systemd,
cloud-init and ssh as Debian's own images have them, and kept. It has no boot loader, as QEMU loads
its kernel: those images are ready later by what GRUB takes.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.micro_guest import guest_cache

__all__ = ["CloudImage", "cloud_image"]

PACKAGES = (  # noqa: SIM905 - a list of words reads better as words
    "linux-image-cloud-amd64 initramfs-tools systemd-sysv dbus udev ifupdown isc-dhcp-client "
    "iproute2 openssh-server sudo python3 cloud-init cloud-guest-utils qemu-guest-agent"
).split()
SIZE = "2G"
# An image that is told where its data lie does not look for them elsewhere.
FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hostname": "cloud\n",
    "etc/cloud/cloud.cfg.d/90_lab.cfg": "datasource_list: [NoCloud]\nlocale: C.UTF-8\n",
    "var/lib/cloud/seed/nocloud/meta-data": "instance-id: lab-1\nlocal-hostname: cloud\n",
    "var/lib/cloud/seed/nocloud/user-data": "#cloud-config\n{}\n",
}
TOOLS = {"mmdebstrap": "mmdebstrap", "qemu-img": "qemu-utils", "mke2fs": "e2fsprogs"}
TIMEOUT_S = 900


@dataclass(frozen=True)
class CloudImage:
    kernel: Path
    initrd: Path
    disk: Path  # qcow2, to be backed


def cloud_image() -> CloudImage:
    """Return the image, made where it is not yet kept; that takes a minute.

    Raises:
        EnvironmentLackError: a tool is missing, or it cannot be made.
    """
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    recipe = f"{suite} {PACKAGES} {SIZE} {sorted(FILES.items())}"
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    place = guest_cache().parent / "cloud-image" / key
    if not place.exists():
        if lacking := [package for tool, package in TOOLS.items() if shutil.which(tool) is None]:
            raise EnvironmentLackError(
                "a Debian guest to compare with cannot be made here",
                fix=f"sudo apt-get install -y --no-install-recommends {' '.join(lacking)}",
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="building-") as scratch:
            _make(suite, Path(scratch)).rename(place)
    return CloudImage(place / "kernel", place / "initrd", place / "disk.qcow2")


def _make(suite: str, work: Path) -> Path:
    root, done, raw = work / "root", work / "done", work / "disk.raw"
    done.mkdir(mode=0o755)
    _run(
        "mmdebstrap", "--mode=root", "--variant=minbase", "--quiet",
        f"--include={','.join(PACKAGES)}", suite, str(root),
    )  # fmt: skip
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, found in (("kernel", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        shutil.copy(max((root / "boot").glob(found)), done / name)
        (done / name).chmod(0o644)
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(raw), SIZE)
    _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(done / "disk.qcow2"))
    return done


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise EnvironmentLackError(f"{command[0]}: {said}")
