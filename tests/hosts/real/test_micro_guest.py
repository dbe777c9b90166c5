"""The micro-guest: what it is made of. That it boots is shown where QEMU is."""

import os
from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real import debian_packages, micro_guest
from virtlab.hosts.real.debian_packages import DebianPackage

LISTING = """\
Inst gcc-12-base (12.2.0-14+deb12u1 Debian:12.15/oldstable [amd64])
Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []
Conf gcc-12-base (12.2.0-14+deb12u1 Debian:12.15/oldstable [amd64])
Inst adduser (3.134 Debian:12.15/oldstable [all])
Inst qemu-guest-agent (1:7.2+dfsg-7+deb12u18+b3 Debian:12.15/oldstable, Debian-Security [amd64])
"""


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of programs that are found before those of the system."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_what_apt_would_install_is_read_with_its_versions(tools: Path) -> None:
    script(tools, "apt-get", f"cat <<'E'\n{LISTING}E")
    assert debian_packages.closure(["qemu-guest-agent"]) == [
        DebianPackage("adduser", "3.134", "all"),
        DebianPackage("gcc-12-base", "12.2.0-14+deb12u1", "amd64"),
        DebianPackage("libc6", "2.36-9+deb12u14", "amd64"),
        DebianPackage("qemu-guest-agent", "1:7.2+dfsg-7+deb12u18+b3", "amd64"),
    ]


def test_a_refusal_of_apt_is_told_with_what_to_do(tools: Path, tmp_path: Path) -> None:
    script(tools, "apt-get", "echo 'E: Unable to locate package busybox-static' >&2; exit 100")
    with pytest.raises(EnvironmentLackError, match="Unable to locate package") as caught:
        micro_guest.micro_guest(tmp_path / "cache")
    assert caught.value.fix == "sudo apt-get update"
    assert not list(tmp_path.glob("cache/*"))


def test_without_apt_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLackError, match="apt-get was not found"):
        debian_packages.closure(["busybox-static"])


def test_a_kept_guest_is_taken_without_asking_apt(tools: Path, tmp_path: Path) -> None:
    script(tools, "apt-get", f"cat <<'E'\n{LISTING}E")
    kept = tmp_path / "0123456789abcdef"
    kept.mkdir()
    for name in ("kernel", "initramfs.cpio"):
        (kept / name).write_bytes(b"x")
    current = tmp_path / f"current-{micro_guest._fingerprint()}"
    current.symlink_to(kept.name)
    script(tools, "apt-get", "exit 100")
    assert micro_guest.micro_guest(tmp_path) == micro_guest.MicroGuest(
        kept / "kernel", kept / "initramfs.cpio", kept.name
    )


def test_one_that_is_half_gone_is_not_taken(tools: Path, tmp_path: Path) -> None:
    kept = tmp_path / "0123456789abcdef"
    kept.mkdir()
    (kept / "kernel").write_bytes(b"x")
    (tmp_path / f"current-{micro_guest._fingerprint()}").symlink_to(kept.name)
    script(tools, "apt-get", "echo no >&2; exit 100")
    with pytest.raises(EnvironmentLackError):
        micro_guest.micro_guest(tmp_path)
