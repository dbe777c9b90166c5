"""`virtlab doctor`: tells what works by trying it, and how to mend what does not."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from virtlab.doctor import kvm
from virtlab.doctor.finding import Finding, can
from virtlab.hosts.real.boot import Boot

Run = Callable[..., Any]


def of(found: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = [row for row in found["findings"] if row["name"] == name]
    return row


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_where_programs_can_be_graded_it_ends_well(virtlab: Run) -> None:
    done = virtlab("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["version"] == 1
    assert found["can"]["simulated host"] is True
    assert of(found, "C compiler")["status"] == "works"
    text = virtlab("doctor").stdout
    assert text.startswith("can run and grade programs on the simulated host\n")


def test_without_a_compiler_it_ends_with_4_and_says_what_to_type(
    virtlab: Run, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("env", "true"):
        program(tools, name, "exit 0")
    done = virtlab("doctor", env={"PATH": str(tools)})
    assert done.returncode == 4
    assert "cannot run and grade programs on the simulated host" in done.stdout
    line = "fix: sudo apt-get install -y --no-install-recommends gcc libc6-dev"
    assert line in done.stdout
    assert "Traceback" not in done.stderr


def test_a_program_that_fails_is_not_taken_for_one_that_works(virtlab: Run, tmp_path: Path) -> None:
    program(tmp_path, "vagrant", "echo 'Ruby is broken' >&2; exit 1")
    path = f"{tmp_path}:{os.environ['PATH']}"
    row = of(json.loads(virtlab("doctor", "--json", env={"PATH": path}).stdout), "Vagrant")
    assert (row["status"], row["detail"]) == ("missing", "Ruby is broken")


def test_what_is_weaker_does_not_forbid_the_work() -> None:
    findings = [
        Finding("real host", "KVM", "weaker", "emulated"),
        Finding("playbooks", "Ansible", "missing", "not found"),
    ]
    assert can(findings, "real host")
    assert not can(findings, "playbooks")


@pytest.mark.parametrize(
    ("boot", "status", "said"),
    [
        (Boot(1.25, ""), "works", "a guest booted in 1.2 s"),
        (Boot(None, ""), "weaker", "a guest did not boot under it (not up after 15 s)"),
        (Boot(None, "warning\nCould not access KVM"), "weaker", "(Could not access KVM)"),
    ],
)
def test_kvm_works_only_where_a_guest_boots(
    monkeypatch: pytest.MonkeyPatch, boot: Boot, status: str, said: str
) -> None:
    monkeypatch.setattr(kvm, "_lack", lambda: None)  # as if the kernel's part were fine
    monkeypatch.setattr(kvm, "micro_guest", lambda progress: None)
    monkeypatch.setattr(kvm, "try_boot", lambda guest, accelerator, deadline_s: boot)
    finding = kvm.kvm_finding(deep=True, progress=lambda line: None)
    assert (finding.status, said in finding.detail) == (status, True)


def test_a_device_that_is_no_kvm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_DEVICE", Path("/dev/null"))
    finding = kvm.kvm_finding(deep=True, progress=lambda line: None)
    assert finding.status == "weaker"
    assert "the kernel makes no virtual machine" in finding.detail


@pytest.mark.parametrize(
    ("listed", "status", "mend"),
    [
        (" default   active   yes   yes", "works", None),
        (" default   inactive   no   yes", "weaker", "sudo virsh net-start default"),
        (" other   active   yes   yes", "weaker", "sudo virsh net-define"),
    ],
)
def test_the_default_network_is_told_with_what_starts_it(
    virtlab: Run, tmp_path: Path, listed: str, status: str, mend: str | None
) -> None:
    program(tmp_path, "virsh", f"echo '{listed}'")
    path = f"{tmp_path}:{os.environ['PATH']}"
    row = of(
        json.loads(virtlab("doctor", "--json", env={"PATH": path}).stdout),
        "libvirt's network default",
    )
    assert row["status"] == status
    assert row["fix"] is None if mend is None else row["fix"].startswith(mend)
