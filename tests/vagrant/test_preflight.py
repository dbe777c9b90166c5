"""What would spoil a `vagrant up` is told in one line with its mend, before any download."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ruby

FINDINGS = """
environment, provider, facts = given
settings = VirtlabBox::Settings.from(environment)
%w[kvm libvirtd].each { |key| facts[key] = facts[key].to_sym if facts.key?(key) }
facts = VirtlabBox::Facts.new(**facts.transform_keys(&:to_sym))
VirtlabBox::Preflight.findings(settings, provider.to_sym, facts).map { |one| [one.fatal, one.text] }
"""
LACK = "VirtlabBox::Preflight.provider_lack(given[0], plugin: given[1], virtualbox: given[2])"
GOOD: dict[str, Any] = {
    "memory_mib": 32000, "free_mib": 30000, "disk": "/pool", "disk_free_gib": 100,
    "kvm": "works", "kvm_module": "kvm_intel", "nested": True, "libvirtd": "works",
}  # fmt: skip
GOOD_VIRTUALBOX: dict[str, Any] = {
    key: value for key, value in GOOD.items() if key not in ("kvm", "kvm_module", "libvirtd")
}


def found(
    facts: dict[str, Any], provider: str = "libvirt", **environment: str
) -> list[tuple[bool, str]]:
    return [tuple(one) for one in ruby(FINDINGS, [environment, provider, facts])]


@pytest.mark.parametrize(
    ("provider", "facts"), [("libvirt", GOOD), ("virtualbox", GOOD_VIRTUALBOX)]
)
def test_a_machine_that_lacks_nothing_is_told_nothing(provider: str, facts: dict[str, Any]) -> None:
    assert found(facts, provider) == []


def test_what_could_not_be_found_out_is_not_judged() -> None:
    assert found({}, "virtualbox") == []


@pytest.mark.parametrize(
    ("change", "fatal", "said", "mend"),
    [
        ({"memory_mib": 8000}, True, "8000 MiB of memory, too little", "VIRTLAB_TESTS=cpu"),
        ({"free_mib": 7000}, False, "only 7000 MiB of this machine's memory", "close other"),
        ({"disk_free_gib": 3}, True, "/pool has 3 GiB free", "vagrant box prune"),
        ({"libvirtd": "absent"}, True, "libvirtd does not run", "systemctl start libvirtd"),
        ({"libvirtd": "forbidden"}, True, "may not speak to libvirtd", "usermod -aG libvirt"),
        ({"kvm": "absent"}, False, "there is no /dev/kvm", "virtualisation on in the firmware"),
        ({"kvm": "forbidden"}, False, "may not open /dev/kvm", "usermod -aG kvm"),
        ({"kvm": "broken"}, False, "do not boot under KVM here", "another machine"),
        ({"nested": False}, False, "nested virtualisation is off", "options kvm_intel nested=1"),
    ],
)
def test_each_lack_for_libvirt_is_one_line_with_its_mend(
    change: dict[str, Any], fatal: bool, said: str, mend: str
) -> None:
    ((is_fatal, line),) = found({**GOOD, **change})

    assert is_fatal is fatal
    assert said in line and mend in line.split("; fix: ", 1)[1]
    assert "\n" not in line


def test_virtualbox_without_nested_virtualisation_is_told() -> None:
    ((fatal, line),) = found({**GOOD_VIRTUALBOX, "nested": False}, "virtualbox")

    assert not fatal
    assert "VirtualBox has no nested virtualisation" in line and "; fix: switch VT-x" in line


def test_six_gb_as_courses_have_it_is_too_little_for_the_memory_tests() -> None:
    ((fatal, line),) = found(GOOD, VIRTLAB_MEMORY_MIB="6144")

    assert not fatal
    assert line == (
        "VIRTLAB_MEMORY_MIB=6144 is too little for the memory tests, whose four guests grow to "
        "2048 MiB each: 9592 MiB are needed; fix: VIRTLAB_MEMORY_MIB=9592, or VIRTLAB_TESTS=cpu"
    )
    assert found(GOOD, VIRTLAB_MEMORY_MIB="6144", VIRTLAB_TESTS="cpu") == []


def test_kvm_that_is_asked_for_and_cannot_be_used_ends_the_command() -> None:
    ((fatal, line),) = found({**GOOD, "kvm": "absent"}, VIRTLAB_ACCELERATOR="kvm")

    assert fatal
    assert "KVM cannot be used here; fix: leave VIRTLAB_ACCELERATOR out" in line


def test_what_ends_the_command_is_told_first() -> None:
    told = found({**GOOD, "nested": False, "disk_free_gib": 1})

    assert [fatal for fatal, _ in told] == [True, False]


@pytest.mark.parametrize(
    ("asked", "plugin", "virtualbox", "said"),
    [
        ("libvirt", False, True, "no plugin for libvirt; fix: sudo apt-get install vagrant-lib"),
        ("virtualbox", True, False, "VBoxManage is not found); fix: install VirtualBox"),
        (None, False, False, "neither VirtualBox nor Vagrant's plugin for libvirt; fix: sudo"),
        (None, True, False, None),
        (None, False, True, None),
        ("libvirt", True, False, None),
        ("virtualbox", False, True, None),
    ],
)  # fmt: skip
def test_a_provider_that_is_not_there_is_told_before_vagrant_looks_for_it(
    asked: str | None, plugin: bool, virtualbox: bool, said: str | None
) -> None:
    line = ruby(LACK, [asked, plugin, virtualbox])

    assert line is None if said is None else said in line
