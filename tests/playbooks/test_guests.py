"""Guests by Ansible: defined, started, bound and ballooned; the second time nothing changes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import changes, virsh

Play = Callable[..., "subprocess.CompletedProcess[str]"]
SCENARIO = """\
schema_version: 1
id: two-guests
title: Two guests
why: Shows what playbooks make of a scenario.
program: vcpu_scheduler
seed: 1
host: {pcpus: 4, memory_mib: 8192}
guests:
  - {name: NAME_b, memory_mib: 512, max_memory_mib: 1024, vcpus: 2, start_on: [1, null]}
  - {name: NAME_a, memory_mib: 600, start_on: [[2, 3]]}
run: {duration_s: 30, interval_s: 1}
criteria:
  - {name: no-crash}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "two-guests.yaml"
    path.write_text(SCENARIO.replace("NAME", "lab"))
    return str(path)


def test_guests_come_up_as_the_scenario_says_and_go_again(
    play: Play, host: str, scenario: str
) -> None:
    before = virsh(host, "list", "--name", "--all").split()
    assert changes(play("launch.yml", "--check", scenario=scenario)) > 0
    assert virsh(host, "list", "--name", "--all").split() == before

    assert changes(play("launch.yml", scenario=scenario)) > 0
    assert virsh(host, "list", "--name").split() == [*before, "lab_b", "lab_a"]
    assert virsh(host, "vcpupin", "lab_b").split() == ["0", "1", "1", "0-3"]
    assert virsh(host, "vcpupin", "lab_a").split() == ["0", "2-3"]
    info = virsh(host, "dominfo", "lab_b")
    assert "Max memory:     1048576 KiB" in info
    assert "Used memory:    524288 KiB" in info

    assert changes(play("launch.yml", scenario=scenario)) == 0  # the second time nothing is left

    assert changes(play("teardown.yml", scenario=scenario)) == 1
    assert virsh(host, "list", "--name", "--all").split() == before


def test_what_somebody_changed_is_shown_and_put_back(play: Play, host: str, scenario: str) -> None:
    Path(scenario).write_text(SCENARIO.replace("NAME", "changed"))
    assert changes(play("launch.yml", scenario=scenario)) > 0
    virsh(host, "vcpupin", "changed_b", "0", "3", "--live")
    virsh(host, "setmem", "changed_a", "400M", "--live")

    shown = play("launch.yml", "--check", "--diff", scenario=scenario)
    assert changes(shown) == 2
    assert "-vcpu 0: [3]\n+vcpu 0: [1]\n" in shown.stdout
    assert "+memory_mib: 600\n" in shown.stdout
    assert virsh(host, "vcpupin", "changed_b", "0").split() == ["0", "3"]  # only shown

    assert changes(play("launch.yml", scenario=scenario)) == 2
    assert virsh(host, "vcpupin", "changed_b", "0").split() == ["0", "1"]
    changes(play("teardown.yml", scenario=scenario))


def test_a_domain_that_the_lab_did_not_make_is_never_touched(play: Play, host: str) -> None:
    done = play("launch.yml", scenario="cpu-2-half-and-half")  # its names are taken on that host
    assert done.returncode != 0
    assert "there is a domain aos_vm" in done.stdout + done.stderr
    gone = play("teardown.yml", scenario="cpu-2-half-and-half")
    assert gone.returncode != 0
    assert len(virsh(host, "list", "--name").split()) >= 8


def test_a_host_that_does_not_answer_is_named(play: Play, scenario: str, tmp_path: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/none"
    done = play("launch.yml", scenario=scenario, guests_uri=uri)
    assert done.returncode != 0
    assert f"libvirt does not answer at {uri}" in done.stdout + done.stderr
