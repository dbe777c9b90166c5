"""One scenario on real guests, from launch to verdict: QEMU, emulated, under a libvirtd of its own.

Nothing here asks how fast something is, or how evenly the machine shared: it may be busy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.micro_guest import micro_guest

SCENARIO = """\
schema_version: 1
id: real-two
title: Two real guests on pCPU 0
why: a try
program: vcpu_scheduler
host: {{pcpus: {pcpus}, memory_mib: 4096}}
guests:
  - names: [vl_test_web, vl_test_db]
    memory_mib: 320
    cache_mib: 20
    start_on: [0]
    load: {{duty: 0.2, period_ms: 20}}
events:
  - {{at_s: 0, guest: vl_test_db, start_load: {{rate_mib_s: 64, until_mib: 32, then: keep}}}}
run: {{duration_s: 8, interval_s: 1}}
criteria: [{{name: no-crash}}, {{name: bound, limits: {{settle_intervals: 3}}}}]
"""
# Binds each guest to a pCPU of its own, as far as there are, and then only looks on.
PROGRAM = """\
import libvirt, sys, time
connection = libvirt.open("qemu:///system")
pcpus = connection.getInfo()[2]
for number, domain in enumerate(sorted(connection.listAllDomains(), key=lambda d: d.ID())):
    domain.pinVcpu(0, tuple(pcpu == number % pcpus for pcpu in range(pcpus)))
while True:
    connection.getAllDomainStats()
    time.sleep(int(sys.argv[1]))
"""


def test_a_scenario_runs_on_real_guests_and_leaves_nothing_behind(
    real_uri: str, tmp_path: Path
) -> None:
    try:
        micro_guest()
    except EnvironmentLackError as lack:
        pytest.skip(f"no micro-guest can be made here: {lack}")
    pcpus = os.cpu_count() or 1
    (tmp_path / "real-two.yaml").write_text(SCENARIO.format(pcpus=pcpus))
    (tmp_path / "vcpu_scheduler.py").write_text(PROGRAM)

    done = subprocess.run(
        [
            Path(sys.executable).with_name("virtlab"), "run", tmp_path / "real-two.yaml",
            tmp_path / "vcpu_scheduler.py", "--host", f"real={real_uri}",
            "--outside-max", "100", "--json", "--out", tmp_path / "out",
        ],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "VIRTLAB_STATE_DIR": str(tmp_path / "state")},
    )  # fmt: skip

    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    assert (verdict["status"], verdict["clock"]) == ("ok", "real"), verdict["outcome_reason"]
    assert [result["status"] for result in verdict["criteria"]] == ["passed", "passed"]
    assert done.returncode == 0
    (path,) = (tmp_path / "out" / "runs").glob("*/timeline.json")
    timeline = json.loads(path.read_text())
    for number, guest in enumerate(timeline["guests"]):
        (vcpu,) = guest["vcpus"]
        assert vcpu["run_ns"][-1] > 0
        assert vcpu["pcpu"][-1] == number % pcpus
        assert all(vcpu["loaded"])
        assert guest["unused_kib"][-1] > 0
    assert timeline["guests"][1]["consumer_kib"][-1] == 32 * 1024
    assert [event["kind"] for event in timeline["events"]] == [
        "load_start", "load_start", "load_start", "load_done",
    ]  # fmt: skip
    assert timeline["calls_total"] > 8
    left = subprocess.run(
        ["virsh", "--quiet", "-c", real_uri, "list", "--all", "--name"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert left.stdout.split() == []
    assert not list((tmp_path / "state").glob("run-*.json"))
