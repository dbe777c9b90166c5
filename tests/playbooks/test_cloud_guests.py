"""Guests with a system of their own by Ansible, as far as a simulated host goes; loads by ssh."""

from __future__ import annotations

import json
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
  - names: [cloud_a, cloud_b]
    memory_mib: 512
    max_memory_mib: 1024
run: {duration_s: 30, interval_s: 1}
criteria:
  - {name: no-crash}
"""
_MARKED = """<domain type='kvm'><name>cloud_a</name><memory unit='MiB'>512</memory><metadata>
<lab:guest xmlns:lab='urn:virtlab:guest:1' kind='cloud' pool='none'/></metadata>
<os><type>hvm</type></os></domain>"""
# Logs in to no guest, but says what would be done there; asked for what runs, it shows nothing.
_SSH = """#!/bin/sh
for word; do last=$word; done
printf '%s\\n' "$2 $last" >>"{calls}"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "two-guests.yaml"
    path.write_text(SCENARIO)
    return str(path)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where a key is looked for, or made
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def test_check_tells_what_would_be_made_and_makes_nothing(
    play: Play, host: str, scenario: str, tmp_path: Path
) -> None:
    # The connection as a variable of the inventory, which gives way to those of roles.
    inventory = tmp_path / "playbooks/inventory/localhost.yml"
    inventory.write_text(f"{inventory.read_text()}      guests_uri: {host}\n")
    before = virsh(host, "list", "--name", "--all").split()

    done = play("launch.yml", "--check", scenario=scenario, guests_kind="cloud",
                guests_image="debian", guests_accelerator="qemu", guests_uri=None)  # fmt: skip

    assert changes(done) > 0
    assert "changed: [localhost] => (item=cloud_a)" in done.stdout
    assert virsh(host, "list", "--name", "--all").split() == before
    assert not (tmp_path / ".ssh").exists()  # no key either


def test_teardown_removes_those_of_the_scenario_once(
    play: Play, host: str, scenario: str, tmp_path: Path
) -> None:
    (tmp_path / "cloud_a.xml").write_text(_MARKED)
    virsh(host, "define", str(tmp_path / "cloud_a.xml"))

    assert changes(play("teardown.yml", scenario=scenario, guests_kind="cloud")) == 1
    assert "cloud_a" not in virsh(host, "list", "--name", "--all").split()
    assert changes(play("teardown.yml", scenario=scenario, guests_kind="cloud")) == 0


def test_loads_go_by_ssh_into_guests_that_have_no_agent(
    play: Play, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 9):
        config = tmp_path / f"state/guests/aos_vm{number}/ssh_config"
        config.parent.mkdir(parents=True)
        config.touch()
    calls, programs = tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(_SSH.format(calls=calls))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    (tmp_path / "rates.json").write_text(json.dumps({"cloud-qemu": 1e8}))

    done = play("workload.yml", scenario="cpu-1-all-on-one", guests_kind="cloud",
                workloads_uri=host, workloads_calibration=str(tmp_path / "rates.json"))  # fmt: skip

    assert changes(done) == 1  # one task, of eight loads
    started = sorted(line for line in calls.read_text().splitlines() if "setsid" in line)
    assert len(started) == 8
    assert started[0].startswith(f"{tmp_path}/state/guests/aos_vm1/ssh_config sudo setsid --fork")
    assert " /bin/workload duty --duty 0.21 " in started[0]
    assert started[0].endswith("--report /run/workload/main.0 </dev/null >/dev/null 2>&1")
