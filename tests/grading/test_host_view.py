"""Unmodified tools and programs see the simulated host in /proc, /sys and the C library's calls."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from virtlab.grading.run import RunRecord, run_program
from virtlab.grading.timing import Pacing
from virtlab.model.scenario import Scenario
from virtlab.model.topology import Cell, Topology
from virtlab.scenario import find_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import Sandbox, find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

# Each command's output, and the virtual time that it took, as one JSON object.
SHELL = """
import json, subprocess, sys, time
found = {}
for command in %r:
    began = time.monotonic()
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    found[command] = [done.stdout, done.stderr, time.monotonic() - began]
print(json.dumps(found))
"""

PYTHON = """
import json, os, threading, time

def look():
    with open("/proc/meminfo") as file:
        return int(file.read().split("MemFree:")[1].split()[0])

held = open("/proc/uptime")
seen = {"cpus": os.cpu_count(), "affinity": len(os.sched_getaffinity(0)), "held": [held.read()]}
seen["pages"] = os.sysconf("SC_PHYS_PAGES")

def twice():
    seen["free"] = [look()]
    time.sleep(30)
    seen["free"].append(look())

thread = threading.Thread(target=twice)
thread.start()
thread.join()
held.seek(0)
seen["held"].append(held.read())
seen["load"] = os.getloadavg()
with open("/proc/loadavg") as file:
    seen["loadavg"] = file.read()
print(json.dumps(seen))
"""

C = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void tell(void) {
    struct sysinfo info, raw;
    double loads[3];
    unsigned cpu, node;
    sysinfo(&info);
    syscall(SYS_sysinfo, &raw);
    getloadavg(loads, 3);
    getcpu(&cpu, &node);
    printf("%ld %lu %lu %d ", info.uptime, info.totalram, info.freeram, raw.uptime == info.uptime);
    printf("%ld %ld %d ", sysconf(_SC_PHYS_PAGES), get_phys_pages(), sysconf(_SC_NPROCESSORS_ONLN));
    printf("%.2f %u %u %d\n", loads[0], cpu, node, sched_getcpu());
    fflush(stdout);
}

int main(void) {
    char line[200];
    tell();
    FILE *child = popen("free -k | sed -n 2p", "r");
    printf("%s", fgets(line, sizeof line, child));
    pclose(child);
    sleep(20);
    tell();
    return 0;
}
"""


@pytest.fixture
def work() -> Iterator[Path]:
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["all layers", "no bubblewrap"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return find_sandbox(bubblewrap=request.param == "all layers")


def ran(work: Path, sandbox: Sandbox, name: str, text: str, scenario: Scenario) -> RunRecord:
    """Run a program on a scenario's host."""
    source = work / name
    source.write_text(text)
    root = work / f"copy of {name}"
    open_submission(source, root)
    program = build(find_programs(root, kind="vcpu_scheduler")["vcpu_scheduler"], root, sandbox)
    assert program.ok, program.log
    record = run_program(scenario, program, root, sandbox, seed=1)
    assert record.stdout, f"{record.timeline.outcome} {record.stderr.decode()}"
    return record


def outputs(
    work: Path, sandbox: Sandbox, *commands: str, topology: Topology | None = None
) -> dict[str, tuple[str, str, float]]:
    """Return what shell commands print, what they complain of, and the seconds that they take."""
    program = SHELL % (commands,)
    scenario = find_scenario("memory-1-one-consumes")
    scenario = replace(scenario, host=replace(scenario.host, topology=topology))
    record = ran(work, sandbox, "vcpu_scheduler.py", program, scenario)
    found: dict[str, tuple[str, str, float]] = json.loads(record.stdout)
    return found


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


@needs("free", "virsh", "top", "vmstat", "uptime", "lscpu")
def test_ordinary_tools_show_the_simulated_host(work: Path, sandbox: Sandbox) -> None:
    found = outputs(
        work,
        sandbox,
        "virsh --quiet nodememstats",
        "free -k",
        "top -b -n 3 -d 10",
        "vmstat 5 3",
        "uptime",
        "nproc",
        "lscpu -p",
        "lscpu",
    )

    lines = found["virsh --quiet nodememstats"][0].splitlines()
    told = {name.strip(): int(kib.split()[0]) for name, _, kib in map(by_colon, lines) if kib}
    columns = found["free -k"][0].splitlines()[1].split()
    # What grew in the 0.1 ms that a libvirt call takes is less than a page.
    assert int(columns[1]) == told["total"] == 16_777_216
    assert int(columns[3]) == pytest.approx(told["free"], abs=64)
    assert int(columns[5]) == told["buffers"] + told["cached"]
    frees = [
        float(text)
        for text in re.findall(r"MiB Mem.*?([\d.]+) free", found["top -b -n 3 -d 10"][0])
    ]
    assert len(frees) == 3 and frees[0] > frees[1] > frees[2]
    assert found["top -b -n 3 -d 10"][2] == pytest.approx(20.0, abs=0.5)
    rows = [line.split() for line in found["vmstat 5 3"][0].splitlines()[2:]]
    assert [int(row[3]) for row in rows] == sorted((int(row[3]) for row in rows), reverse=True)
    assert found["uptime"][0].startswith(" 00:00:3") and " up 2 min" in found["uptime"][0]
    assert found["nproc"][0] == "4\n"
    listed = [line for line in found["lscpu -p"][0].splitlines() if not line.startswith("#")]
    assert listed == ["0,0,0,0", "1,1,0,0", "2,2,0,0", "3,3,0,0"]
    assert re.search(r"Model name: +virtlab", found["lscpu"][0])
    assert re.search(r"NUMA node0 CPU\(s\): +0-3", found["lscpu"][0])
    assert {error for _, error, _ in found.values()} == {""}


def by_colon(line: str) -> tuple[str, str, str]:
    return line.partition(":")


STATIC = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void tell(int file) {
    char text[4096];
    text[pread(file, text, sizeof text - 1, 0)] = 0;
    printf("%.*s\n", (int)strcspn(text, "\n"), text);
    fflush(stdout);
}

int main(void) {
    int uptime = open("/proc/uptime", O_RDONLY);
    tell(open("/proc/meminfo", O_RDONLY));
    for (;;) {
        tell(uptime);
        usleep(50000);
    }
}
"""
STATIC_MAKEFILE = "vcpu_scheduler: vcpu_scheduler.c\n\t$(CC) -static -o $@ $<\n"


def test_a_static_program_sees_it_too_and_reads_again_what_it_keeps_open(work: Path) -> None:
    scenario, sandbox = find_scenario("cpu-3-balanced"), find_sandbox()
    if sandbox.weaker:
        pytest.skip("without bubblewrap a static program sees the machine")
    submission, root = work / "submission", work / "copy"
    submission.mkdir()
    (submission / "vcpu_scheduler.c").write_text(STATIC)
    (submission / "Makefile").write_text(STATIC_MAKEFILE)
    open_submission(submission, root)
    program = build(find_programs(root)["vcpu_scheduler"], root, sandbox)

    record = run_program(scenario, program, root, sandbox, seed=1, pacing=Pacing(30.0))

    assert record.timeline.clock == "paced"
    total, *uptimes = record.stdout.decode().splitlines()
    assert total == "MemTotal:       16777216 kB"
    up_s = [float(line.split()[0]) for line in uptimes]
    assert up_s == sorted(up_s)
    assert len(set(up_s)) > 2 and 100.0 < up_s[0] < up_s[-1]


@needs("numactl")
def test_numactl_shows_the_simulated_hosts_cells(work: Path, sandbox: Sandbox) -> None:
    shown = outputs(work, sandbox, "numactl --hardware")["numactl --hardware"][0]

    assert "available: 1 nodes (0)" in shown
    assert "node 0 cpus: 0 1 2 3" in shown
    assert "node 0 size: 16384 MB" in shown


@needs("numactl", "lscpu")
def test_tools_show_the_scenarios_topology(work: Path, sandbox: Sandbox) -> None:
    half = find_scenario("memory-1-one-consumes").host.memory_kib // 2
    topology = Topology(
        cells=(Cell((0, 1), half, (10, 21)), Cell((2, 3), half, (21, 10))),
        cores=((0, 1), (2, 3)),
        capacity=(1024,) * 4,
    )

    found = outputs(work, sandbox, "lscpu -p", "numactl --hardware", topology=topology)

    listed = [line for line in found["lscpu -p"][0].splitlines() if not line.startswith("#")]
    assert listed == ["0,0,0,0", "1,0,0,0", "2,1,1,1", "3,1,1,1"]
    shown = found["numactl --hardware"][0]
    assert "available: 2 nodes (0-1)" in shown
    assert "node 1 cpus: 2 3" in shown
    assert "node 1 size: 8192 MB" in shown
    assert "  1:  21  10" in shown


def test_a_python_program_and_its_thread_see_memory_and_time_go_on(
    work: Path, sandbox: Sandbox
) -> None:
    scenario = find_scenario("memory-1-one-consumes")
    record = ran(work, sandbox, "vcpu_scheduler.py", PYTHON, scenario)

    seen = json.loads(record.stdout)
    assert (seen["cpus"], seen["affinity"], seen["pages"]) == (4, 4, 16_777_216 // 4)
    assert seen["free"][0] - seen["free"][1] > 100 * 1024  # a guest consumes 16 MiB a second
    before, after = (float(text.split()[0]) for text in seen["held"])
    assert after - before == pytest.approx(30.0, abs=0.01)
    assert [f"{load:.2f}" for load in seen["load"]] == seen["loadavg"].split()[:3]


@needs("free")
def test_a_c_program_is_told_the_same_by_calls_and_by_a_child(work: Path, sandbox: Sandbox) -> None:
    scenario = find_scenario("cpu-1-all-on-one")
    record = ran(work, sandbox, "vcpu_scheduler.c", C, scenario)

    first, child, second = record.stdout.decode().splitlines()
    up, total, free, same, pages, again, pcpus, load, *cpus = first.split()
    assert (up, same, pcpus, load) == ("100", "1", "4", "0.00")
    assert int(pages) == int(again) == int(total) // 4096
    assert int(total) == scenario.host.memory_kib * 1024
    assert int(child.split()[3]) == int(free) // 1024
    assert cpus == ["0", "0", "0"]
    assert second.split()[0] == "120"
    assert float(second.split()[7]) > 0.5


def test_the_same_seed_shows_the_same_bytes(work: Path, sandbox: Sandbox) -> None:
    files = "/proc/meminfo /proc/stat /proc/loadavg /proc/uptime /proc/vmstat /proc/cpuinfo"
    cells = "cat /sys/devices/system/node/node*/meminfo"
    commands = (f"cat {files}", cells, f"sleep 7.3; cat {files}", "cat /proc/uptime")

    first, second = (outputs(work / name, sandbox, *commands) for name in made(work))

    assert first == second


def made(work: Path) -> tuple[str, str]:
    for name in ("one", "two"):
        (work / name).mkdir()
    return ("one", "two")


def test_a_program_that_never_looks_leaves_the_files_unwritten(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        "virtlab.hosts.simulated.files.proc._meminfo", lambda _host: written.append("looked") or ""
    )
    program = "import time\nfor _ in range(20):\n    time.sleep(1)\nprint('done')\n"

    record = ran(
        work, find_sandbox(), "vcpu_scheduler.py", program, find_scenario("cpu-1-all-on-one")
    )

    assert record.timeline.outcome.at_ns == 20_000_000_000
    assert written == []
