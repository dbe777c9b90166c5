"""A Debian cloud image, made of the distribution's packages where none can be downloaded.

mmdebstrap puts systemd, cloud-init, ssh and the guest agent together as Debian's own cloud images
have them; the disk boots by GRUB, as those do. What goes in is named by a hash of the recipe,
under which the result is kept.

GRUB needs no loop device here: its boot sector looks for the next part in sector 1, and that part
for its rest in the sectors behind, unless told otherwise (GRUB 2, boot/i386/pc/boot.S and
diskboot.S). So both are written where they look, before the first partition.

`python -m virtlab.guests.debian_image` makes it and prints where it is, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.micro_guest import guest_cache

__all__ = ["DebianImage", "debian_image"]

_PACKAGES: Final = (  # noqa: SIM905 - a list of words reads better as words
    "linux-image-cloud-amd64 initramfs-tools systemd-sysv dbus udev ifupdown isc-dhcp-client "
    "iproute2 openssh-server sudo python3 cloud-init cloud-guest-utils qemu-guest-agent "
    "procps grub-pc-bin grub-common"
).split()
_DISK_MIB: Final = 2048
_BEGIN_MIB: Final = 1  # of the only partition; GRUB lies before it
_SECTOR: Final = 512
_CODE_BYTES: Final = 440  # of the boot sector; a disk's number follows
_TABLE: Final = 446  # where the table of partitions begins in it
_SIGNATURE: Final = b"\x55\xaa"
_MODULES: Final = ("biosdisk", "part_msdos", "ext2", "normal", "linux")
# An image that is told where its data lie does not look for them elsewhere. An emulated guest on a
# busy host misses the kernel's check of its timers, and would stop there.
_CMDLINE: Final = "root=LABEL=lab-root ro console=ttyS0 quiet no_timer_check net.ifnames=0"
_FILES: Final = {
    "etc/fstab": "LABEL=lab-root / ext4 defaults 0 1\n",
    "etc/hostname": "lab\n",
    "etc/cloud/cloud.cfg.d/90_lab.cfg": "datasource_list: [NoCloud]\nlocale: C.UTF-8\n",
}
_TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
}
_TIMEOUT_S: Final = 1800
_FORM: Final = 1  # raised when this module lays the disk out in another way

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DebianImage:
    """A disk that boots by itself, and the kernel in it for who would rather load it directly."""

    disk: Path  # qcow2, to be backed
    kernel: Path
    initrd: Path
    cmdline: str


def debian_image(progress: Progress = lambda _line: None, *, check: bool = False) -> DebianImage:
    """Return the image, made where it is not yet kept; that takes a minute or two.

    Args:
        progress: told of each step.
        check: only tell where it is, or would be.

    Raises:
        EnvironmentLackError: a tool is missing, or it cannot be made.
    """
    release = platform.freedesktop_os_release()
    suite = release.get("VERSION_CODENAME", "")
    recipe = f"{_FORM} {suite} {_PACKAGES} {_DISK_MIB} {_CMDLINE} {sorted(_FILES.items())}"
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    place = guest_cache().parent / "cloud-image" / key
    if not (check or place.exists()):
        _require(release.get("ID", ""))
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="building-") as scratch:
            made = _made(suite, Path(scratch), progress)
            try:
                made.rename(place)
            except OSError:
                if not place.exists():  # else somebody else has just made the same
                    raise
    return DebianImage(place / "disk.qcow2", place / "kernel", place / "initrd", _CMDLINE)


def _require(distribution: str) -> None:
    if distribution != "debian" or platform.machine() != "x86_64":
        raise EnvironmentLackError(
            "a Debian cloud image can be made of packages on Debian for x86_64 alone",
            fix="download one, and name it: --image FILE.qcow2",
        )
    if os.geteuid() != 0:
        raise EnvironmentLackError(
            "a Debian cloud image can be made by root alone, as its files are root's",
            fix="sudo, or name an image that you have: --image FILE.qcow2",
        )
    if lacking := [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]:
        raise EnvironmentLackError(
            f"a Debian cloud image cannot be made without {', '.join(lacking)}",
            fix=f"sudo apt-get install -y --no-install-recommends {' '.join(lacking)}",
        )


def _made(suite: str, work: Path, progress: Progress) -> Path:
    """Return a folder with the disk, the kernel and its initial RAM file system."""
    root, done, raw = work / "root", work / "done", work / "disk.raw"
    done.mkdir(mode=0o755)
    progress(f"putting Debian {suite} together of {len(_PACKAGES)} packages and what they need")
    _run(
        "mmdebstrap", "--mode=root", "--variant=minbase", "--quiet",
        f"--include={','.join(_PACKAGES)}", suite, str(root),
    )  # fmt: skip
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    kernel = max((root / "boot").glob("vmlinuz-*"))
    initrd = max((root / "boot").glob("initrd.img-*"))
    for source, name in ((kernel, "kernel"), (initrd, "initrd")):
        shutil.copy(source, done / name)
        (done / name).chmod(0o644)
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(
        f"linux /boot/{kernel.name} {_CMDLINE}\ninitrd /boot/{initrd.name}\nboot\n"
    )
    progress("making its disk")
    _lay_out(root, raw)
    compressed = ("-c", "-o", "compression_type=zstd")
    _run("qemu-img", "convert", "-O", "qcow2", *compressed, str(raw), str(done / "disk.qcow2"))
    return done


def _lay_out(root: Path, raw: Path) -> None:
    """Write a disk of one partition with all that lies below `root`, and GRUB before it."""
    with raw.open("wb") as disk:
        disk.truncate(_DISK_MIB << 20)
    _run(
        "mke2fs", "-q", "-t", "ext4", "-L", "lab-root", "-d", str(root),
        "-E", f"offset={_BEGIN_MIB << 20}", str(raw), f"{_DISK_MIB - _BEGIN_MIB}M",
    )  # fmt: skip
    folder = "/usr/lib/grub/i386-pc"
    _run(
        "chroot", str(root), "grub-mkimage", "-O", "i386-pc", "-d", folder, "-o", "/core.img",
        "-p", "(hd0,msdos1)/boot/grub", *_MODULES,
    )  # fmt: skip
    core = (root / "core.img").read_bytes()
    assert _SECTOR + len(core) <= _BEGIN_MIB << 20, "GRUB reaches into the partition"
    boot = (root / folder[1:] / "boot.img").read_bytes()[:_CODE_BYTES]
    with raw.open("r+b") as disk:
        disk.write(boot.ljust(_TABLE, b"\0") + _table() + core)


def _table() -> bytes:
    """Return the end of the boot sector: a table of one partition, to the end of the disk."""
    sectors = [size_mib * (1 << 20) // _SECTOR for size_mib in (_BEGIN_MIB, _DISK_MIB)]
    # Bootable, of Linux; addresses by cylinder are full, since nothing has looked at them for long.
    entry = struct.pack(
        "<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", sectors[0],
        sectors[1] - sectors[0],
    )  # fmt: skip
    return entry.ljust(_SECTOR - _TABLE - len(_SIGNATURE), b"\0") + _SIGNATURE


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise EnvironmentLackError(f"{command[0]}: {said}")


def _main() -> None:
    made = debian_image(lambda line: print(line, file=sys.stderr))
    print(json.dumps({"disk": str(made.disk), "kernel": str(made.kernel)}))


if __name__ == "__main__":
    _main()
