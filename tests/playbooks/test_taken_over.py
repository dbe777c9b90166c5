"""A run on a host where guests of the lab's run already: afterwards they are as they were."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Collection
from pathlib import Path
from xml.etree import ElementTree

from virtlab.hosts.real.connection import socket_of
from virtlab.hosts.real.journal import Journal
from virtlab.hosts.real.run_guests import RunGuests, put_back
from virtlab.model.scenario import GuestSpec, Scenario
from virtlab.scenario import load_scenario

from .conftest import changes, virsh

Play = Callable[..., "subprocess.CompletedProcess[str]"]
SCENARIO = """\
schema_version: 1
id: taken-over
title: Guests that may be there already
why: Shows what a run leaves of them.
program: vcpu_scheduler
seed: 1
host: {{pcpus: 4, memory_mib: 8192}}
guests:
  - {{name: old_same, memory_mib: 512, max_memory_mib: 1024, vcpus: 2, start_on: [1, null]}}
  - {{name: old_other, memory_mib: {other}, start_on: [2]}}
{more}run: {{duration_s: 30, interval_s: 1}}
criteria:
  - {{name: no-crash}}
"""


class ByPlaybook:
    """Brings guests up on the simulated host, by the playbook."""

    def __init__(self, play: Play, path: Path) -> None:
        self._play = play
        self._path = path

    def fits(self, description: ElementTree.Element, spec: GuestSpec) -> bool:
        return int(description.findtext("memory", "0")) == spec.max_memory_kib

    def up(self, scenario: Scenario, kept: Collection[str]) -> None:
        words = ["-e", json.dumps({"guests_kept": sorted(kept)})]
        changes(self._play("launch.yml", *words, scenario=str(self._path)))


def settled(host: str, name: str, memory_mib: int) -> None:
    """Wait until a guest's balloon is where it was sent to."""
    while f"actual {memory_mib * 1024}\n" not in virsh(host, "dommemstat", name):
        pass


def state(host: str, name: str) -> list[str]:
    """Return what a guest is and has, stored and live."""
    stats = dict(line.split() for line in virsh(host, "dommemstat", name).splitlines())
    live = ElementTree.fromstring(virsh(host, "dumpxml", name))
    period = live.find("devices/memballoon/stats")
    assert period is not None
    return [
        virsh(host, "domuuid", name), virsh(host, "dumpxml", name, "--inactive"),
        virsh(host, "vcpupin", name), stats["actual"], period.get("period", ""),
    ]  # fmt: skip


def test_guests_that_ran_before_are_as_they_were_and_the_others_are_gone(
    play: Play, host: str, tmp_path: Path
) -> None:
    before, during = tmp_path / "before.yaml", tmp_path / "during.yaml"
    before.write_text(SCENARIO.format(other=600, more=""))
    during.write_text(SCENARIO.format(other=700, more="  - {name: new, memory_mib: 512}\n"))
    changes(play("launch.yml", scenario=str(before)))
    virsh(host, "vcpupin", "old_same", "0", "3", "--live")
    virsh(host, "setmem", "old_same", "800M", "--live")
    virsh(host, "dommemstat", "old_same", "--period", "7", "--live")
    virsh(host, "vcpupin", "old_other", "0", "0-1", "--live")
    settled(host, "old_same", 800)
    at_first = [state(host, name) for name in ("old_same", "old_other")]

    socket = socket_of(host)
    with Journal(socket, tmp_path / "state") as journal:
        guests = RunGuests(socket, load_scenario(during), journal, ByPlaybook(play, during))
        guests.bring_up()
        assert virsh(host, "vcpupin", "old_same").split() == ["0", "1", "1", "0-3"]
        assert state(host, "old_same")[0] == at_first[0][0]  # it ran on
        assert "Max memory:     716800 KiB" in virsh(host, "dominfo", "old_other")
        assert "new" in virsh(host, "list", "--name").split()
        left = journal.left_behind()
        assert left is not None
        put_back(socket, left)  # as `host clean` does it after a crash

    settled(host, "old_same", 800)
    assert [state(host, name) for name in ("old_same", "old_other")] == at_first
    assert "new" not in virsh(host, "list", "--name", "--all").split()
    changes(play("teardown.yml", scenario=str(before)))
