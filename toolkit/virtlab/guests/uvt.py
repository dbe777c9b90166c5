"""uvt-kvm, where it is installed, with what it lets pass as done told from what was done.

It ends with 0 also where it found no key to let anybody in by, and where it made nothing because
`kvm-ok` failed. So whether something was done is never read off its exit code, but looked at.

Its options and messages are those of its author's source of December 2014 and of transcripts of
later versions; that of Ubuntu 24.04 was neither read nor run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from virtlab.errors import EnvironmentLackError
from virtlab.guests.definition import Wanted, uvt_template
from virtlab.guests.host import GuestHost, StandingGuest
from virtlab.guests.keys import LoginKey
from virtlab.guests.names import guest_name

__all__ = ["LOGIN", "Release", "create", "destroy", "host_key_of", "installed", "made_by_uvt"]

LOGIN: Final = "ubuntu"  # the user that uvt-kvm's own seed makes
_TIMEOUT_S: Final = 600
_MIB: Final = 1024
_KNOWN_HOST: Final = re.compile(r"(?:ssh-\w+|ecdsa-\S+) [A-Za-z0-9+/=]{40,}")
_PROJECT: Final = "launchpad.net/uvtool"  # in the namespace of its notes in a domain
_TOLD_LINES: Final = 6
_NO_KEY: Final = "no ssh access by default"
_NO_KVM: Final = "KVM not available"


@dataclass(frozen=True, slots=True)
class Release:
    """Which image a guest begins as."""

    release: str  # such as noble
    arch: str  # such as amd64

    @property
    def means(self) -> str:
        """What it is, whichever build of it."""
        return f"release {self.release} {self.arch}"

    def __str__(self) -> str:
        return f"release={self.release} arch={self.arch}"


def installed() -> bool:
    """Tell whether there is a uvt-kvm."""
    return shutil.which("uvt-kvm") is not None


def create(
    host: GuestHost,
    wanted: Wanted,
    release: Release,
    key: LoginKey,
    serial_log: Path | None,
    attempt: str,
) -> StandingGuest:
    """Have uvt-kvm make a guest; return it once it was seen.

    It has all its memory at first, as uvt-kvm knows of one size alone. `attempt` is told in it.

    Raises:
        EnvironmentLackError: no guest came of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        template, public = Path(folder) / "template.xml", Path(folder) / "key.pub"
        template.write_text(uvt_template(wanted, serial_log, attempt))
        public.write_text(key.public + "\n")
        done = _run(
            "uvt-kvm", "create", wanted.name, f"release={release.release}", f"arch={release.arch}",
            "--memory", str(wanted.max_memory_kib // _MIB), "--cpu", str(wanted.vcpus),
            "--disk", str(wanted.disk_gib), "--template", str(template),
            "--ssh-public-key-file", str(public),
        )  # fmt: skip
    said = _said(done)
    if done.returncode != 0:
        raise EnvironmentLackError(f"uvt-kvm made no guest {wanted.name}: {said}", fix=_mend(said))
    guest = host.find(wanted.name)
    if guest is None:
        raise EnvironmentLackError(
            f"uvt-kvm ended as if it had made {wanted.name}, and there is no such guest: {said}",
            fix=_mend(said),
        )
    if _NO_KEY in said:
        destroy(host, wanted.name)
        raise EnvironmentLackError(
            f"uvt-kvm gave {wanted.name} no key, so that nobody could log in; it was removed: "
            f"{said}",
            fix="name a key: --key FILE.pub",
        )
    return guest


def destroy(host: GuestHost, name: str) -> None:
    """Have uvt-kvm remove a guest with all its disks.

    Raises:
        EnvironmentLackError: it is still there.
    """
    done = _run("uvt-kvm", "destroy", guest_name(name))
    if host.find(name) is not None:
        raise EnvironmentLackError(
            f"uvt-kvm did not remove {name}: {_said(done)}",
            fix=f"virsh undefine {name} --remove-all-storage, once you have looked at it",
        )


def made_by_uvt(guest: StandingGuest) -> bool:
    """Tell whether uvt-kvm made a domain: by its notes, or by the disks that only it names so."""
    metadata = guest.tree.find("metadata")
    noted = metadata is not None and any(_PROJECT in element.tag for element in metadata.iter())
    return noted or any(_is_uvts(disk, guest.name) for disk in guest.disks)


def _is_uvts(disk: Path, name: str) -> bool:
    return disk.parent.name == "uvtool" and disk.name in (f"{name}.qcow", f"{name}-ds.qcow")


def host_key_of(guest: StandingGuest) -> str:
    """Return a guest's own public key as uvt-kvm noted it, or nothing."""
    metadata = guest.tree.find("metadata")
    elements: Sequence[ElementTree.Element] = [] if metadata is None else list(metadata.iter())
    for element in elements:
        found = _KNOWN_HOST.search(element.text or "")
        if element.tag.endswith("ssh_known_hosts") and found:
            return found[0]
    return ""


def _mend(said: str) -> str:
    if _NO_KVM in said:
        return (
            "there is no KVM here, and uvt-kvm asks kvm-ok first: sudo apt-get remove cpu-checker "
            "has it emulate, or take --kind cloud"
        )
    if "no images found" in said or "multiple images" in said:
        return "uvt-simplestreams-libvirt query shows the images; name one by --release and --arch"
    return "virtlab host status tells whether libvirtd answers; --kind cloud does without uvt-kvm"


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # What it says of a key or of KVM comes first, and what ended it last, below a traceback.
    told = lines if len(lines) <= _TOLD_LINES else [*lines[:3], "...", *lines[-2:]]
    return "; ".join(told) or "it said nothing"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S, env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except OSError as err:
        raise EnvironmentLackError(
            f"{command[0]} could not be run: {err}",
            fix="sudo apt-get install uvtool, or take --kind cloud",
        ) from err
    except subprocess.TimeoutExpired as err:
        raise EnvironmentLackError(
            f"{command[0]}: no end after {_TIMEOUT_S} s", fix="virsh list --all shows what it made"
        ) from err
