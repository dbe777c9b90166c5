"""What a Vagrant box asks of a machine: each lack is one line, with what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from virtlab.doctor.box import box_findings
from virtlab.doctor.finding import Finding

HOSTINFO = """\
Processor supports HW virtualization: yes
Processor supports nested HW virtualization: {}
"""


def machine(root: Path, *, memory_mib: int = 32_000, **nested: str) -> Path:
    """Lay out what is looked at of a machine."""
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(f"MemTotal:  {memory_mib * 1024} kB\nMemFree: 1 kB\n")
    for module, value in nested.items():
        parameters = root / "sys/module" / module / "parameters"
        parameters.mkdir(parents=True)
        (parameters / "nested").write_text(f"{value}\n")
    return root


def found(
    root: Path, *, plugins: str | None = None, virtualbox: str | None = None, free_gib: int = 100
) -> dict[str, Finding]:
    asked = {"vagrant": plugins, "VBoxManage": virtualbox}

    def said(*command: str, **variables: str) -> str | None:
        # Vagrant would make a folder in a home that has none of it.
        assert ("VAGRANT_HOME" in variables) == (command[0] == "vagrant")
        return asked[command[0]]

    findings = box_findings(said, root=root, home=root, free_bytes=lambda _folder: free_gib << 30)
    return {finding.name: finding for finding in findings}


def test_a_machine_that_has_all_is_told_what_it_has(tmp_path: Path) -> None:
    findings = found(machine(tmp_path, kvm_amd="1"), plugins="vagrant-libvirt (0.11.2, system)")

    assert {finding.status for finding in findings.values()} == {"works"}
    assert {finding.fix for finding in findings.values()} == {None}
    assert findings["a provider for Vagrant"].detail == "libvirt"


@pytest.mark.parametrize("plugins", [None, "vagrant-scp (0.5.9, global)"])
def test_vagrant_without_a_provider_is_told_both(tmp_path: Path, plugins: str | None) -> None:
    finding = found(machine(tmp_path), plugins=plugins)["a provider for Vagrant"]

    assert (finding.status, finding.fix) == (
        "missing",
        "sudo apt-get install -y --no-install-recommends vagrant-libvirt, or install VirtualBox",
    )


@pytest.mark.parametrize(("module", "off"), [("kvm_intel", "N"), ("kvm_amd", "0")])
def test_nested_virtualisation_that_is_off_is_mended_by_its_module(
    tmp_path: Path, module: str, off: str
) -> None:
    finding = found(machine(tmp_path, **{module: off}))["nested virtualisation"]

    assert finding.status == "weaker"
    assert finding.fix is not None and f"options {module} nested=1" in finding.fix


@pytest.mark.parametrize(("answer", "status"), [("yes", "works"), ("no", "weaker")])
def test_virtualbox_is_asked_whether_it_has_nested_virtualisation(
    tmp_path: Path, answer: str, status: str
) -> None:
    findings = found(machine(tmp_path), virtualbox=HOSTINFO.format(answer))

    assert findings["nested virtualisation"].status == status
    assert findings["a provider for Vagrant"].detail == "VirtualBox"


def test_without_a_hypervisor_nested_virtualisation_is_no_question(tmp_path: Path) -> None:
    assert "nested virtualisation" not in found(machine(tmp_path))


@pytest.mark.parametrize(
    ("memory_mib", "status", "said"),
    [
        (11_264, "works", "11264 MiB, and a box takes 10240"),
        (8_000, "weaker", "8000 MiB, and a box for all tests takes 10240"),
        (4_000, "weaker", "4000 MiB, and a box for the CPU tests takes 6144"),
    ],
)
def test_memory_is_held_against_what_a_box_takes(
    tmp_path: Path, memory_mib: int, status: str, said: str
) -> None:
    finding = found(machine(tmp_path, memory_mib=memory_mib))["memory for a box"]

    assert (finding.status, finding.detail) == (status, said)
    assert (finding.fix is None) == (status == "works")


def test_too_little_room_is_told_with_the_place(tmp_path: Path) -> None:
    pool = tmp_path / "var/lib/libvirt/images"
    pool.mkdir(parents=True)

    finding = found(machine(tmp_path), free_gib=3)["room for a box"]

    assert (finding.status, finding.detail) == (
        "missing",
        f"3 GiB are free at {pool}, and a box takes up to 10",
    )
