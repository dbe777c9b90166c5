"""Programs that look for a guest's QEMU process find one, where the scenario's host has them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.grading.run import RunRecord, run_program
from virtlab.model.scenario import Event, LoseGuest, Scenario, StartGuest, StopGuest
from virtlab.model.units import seconds
from virtlab.scenario import find_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import Sandbox, find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

# Looks at each second: guests' names by process, threads' names, and numbers in pid files.
LOOKER = """
import json, os, time
from pathlib import Path

def look():
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\\0")
        except OSError:
            continue
        if "-uuid" not in words:
            continue
        tasks = sorted(folder.glob("task/*/comm"), key=lambda path: int(path.parent.name))
        threads = [path.read_text().strip() for path in tasks]
        found[words[2].split(",")[0]] = [int(folder.name), words[words.index("-uuid") + 1], threads]
    files = {path.stem: int(path.read_text()) for path in Path("/run/libvirt/qemu").glob("*.pid")}
    return [dict(sorted(found.items())), dict(sorted(files.items()))]

seen = []
for _ in range(%d):
    seen.append(look())
    time.sleep(1)
print(json.dumps(seen), flush=True)
"""

ENDER = """
import os, signal, time
from pathlib import Path
import libvirt

keeper = next(path for path in Path("/proc").glob("[0-9]*/cmdline")
              if path.read_bytes().startswith(b"/usr/sbin/libvirtd"))
os.kill(int(keeper.parent.name), signal.SIGKILL)
time.sleep(1)
conn = libvirt.open()
conn.lookupByName("aos_vm1").destroy()
print(len(conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)), flush=True)
"""


@pytest.fixture
def work() -> Iterator[Path]:
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bubblewrap() -> Sandbox:
    found = find_sandbox()
    if found.bubblewrap is None:
        pytest.skip("bubblewrap cannot run here")
    return found


def with_processes(*events: Event, vcpus: int = 1) -> Scenario:
    """Return the first CPU test with processes, and what happens to its guests."""
    scenario = find_scenario("cpu-1-all-on-one")
    guests = tuple(
        replace(spec, vcpus=vcpus, affinity=spec.affinity * vcpus) for spec in scenario.guests
    )
    host = replace(scenario.host, qemu_processes=True)
    return replace(scenario, host=host, guests=guests, events=(*scenario.events, *events))


def ran(work: Path, sandbox: Sandbox, program: str, scenario: Scenario) -> RunRecord:
    source, root = work / "vcpu_scheduler.py", make_work_directory(work) / "copy"
    source.write_text(program)
    open_submission(source, root)
    built = build(find_programs(root, kind="vcpu_scheduler")["vcpu_scheduler"], root, sandbox)
    return run_program(scenario, built, root, sandbox, seed=1)


def test_each_running_guest_has_a_process_with_its_uuid_threads_and_pid_file(
    work: Path, bubblewrap: Sandbox
) -> None:
    scenario = with_processes(vcpus=2)
    record = ran(work, bubblewrap, LOOKER % 1, scenario)

    [[processes, files]] = json.loads(record.stdout)
    assert sorted(processes) == sorted(f"guest={spec.name}" for spec in scenario.guests)
    assert {f"guest={name}": pid for name, pid in files.items()} == {
        name: pid for name, (pid, _, _) in processes.items()
    }
    assert {tuple(threads) for _, _, threads in processes.values()} == {
        ("qemu-system-x86", "CPU 0/KVM", "CPU 1/KVM")
    }
    assert len({uuid for _, uuid, _ in processes.values()}) == 8


def test_processes_come_and_go_with_their_guests(work: Path, bubblewrap: Sandbox) -> None:
    scenario = with_processes(
        LoseGuest(seconds(1.5), "aos_vm1"),
        StopGuest(seconds(0.5), "aos_vm2"),  # it takes two seconds to shut down
        StartGuest(seconds(3.5), "aos_vm1"),
    )
    record = ran(work, bubblewrap, LOOKER % 5, scenario)

    looks = json.loads(record.stdout)
    assert ["guest=aos_vm1" in processes for processes, _ in looks] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert ["guest=aos_vm2" in processes for processes, _ in looks] == [
        True,
        True,
        True,
        False,
        False,
    ]
    for processes, files in looks:
        assert sorted(files) == sorted(name.removeprefix("guest=") for name in processes)
    first, last = looks[0][0]["guest=aos_vm1"], looks[-1][0]["guest=aos_vm1"]
    assert first[0] != last[0]
    assert first[1] == last[1]


def test_the_same_run_has_the_same_numbers_and_leaves_nothing_behind(
    work: Path, bubblewrap: Sandbox
) -> None:
    scenario = with_processes(LoseGuest(seconds(1.5), "aos_vm1"))

    runs = [ran(work, bubblewrap, LOOKER % 3, scenario) for _ in range(2)]

    assert runs[0].stdout == runs[1].stdout
    uuid = json.loads(runs[0].stdout)[0][0]["guest=aos_vm3"][1]
    left = subprocess.run(["pgrep", "-f", f"-- -uuid {uuid}"], capture_output=True, text=True)
    assert left.stdout == ""


def test_a_program_that_ends_libvirtd_still_has_its_host(
    work: Path, bubblewrap: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    record = ran(work, bubblewrap, ENDER, with_processes())

    assert record.stdout == b"7\n", record.stderr
    assert "the stand-ins of QEMU are given up" in caplog.text


def test_without_bubblewrap_such_a_scenario_is_not_run(work: Path) -> None:
    with pytest.raises(EnvironmentLackError, match="takes a sandbox with processes of its own"):
        ran(work, find_sandbox(bubblewrap=False), LOOKER % 1, with_processes())


def test_other_scenarios_have_no_such_processes(work: Path) -> None:
    record = ran(work, find_sandbox(), LOOKER % 1, find_scenario("cpu-1-all-on-one"))

    assert json.loads(record.stdout)[0][1] == {}
