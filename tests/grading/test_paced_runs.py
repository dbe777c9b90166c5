"""Programs that lockstep does not reach: found out, run at a pace of real time, and marked so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.grading.marks import plain_run
from virtlab.grading.paced_clock import PacedRunClock
from virtlab.grading.run import RunRecord, run_program
from virtlab.grading.timing import Pacing
from virtlab.model.units import seconds
from virtlab.reports.terminal import run_text
from virtlab.scenario import find_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

STATIC = Path(__file__).parents[2] / "examples" / "submissions" / "static-c"
SCENARIO = find_scenario("cpu-3-balanced")  # 30 s
PACE = 30.0  # a second of real time
SLEEPER = "#include <unistd.h>\nint main(void) { return usleep(1000); }\n"


@pytest.fixture
def work() -> Iterator[Path]:
    """Give a folder that the program's user can reach; pytest's own folders are private."""
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def ran(
    submission: Path, work: Path, told: list[tuple[str, int, int]], *, bubblewrap: bool = True
) -> RunRecord:
    root, sandbox = (
        make_work_directory(work) / "submission",
        find_sandbox(bubblewrap=bubblewrap),
    )
    open_submission(submission, root)
    program = build(find_programs(root)["vcpu_scheduler"], root, sandbox)
    assert program.ok, program.log
    pacing = Pacing(PACE, lambda *progress: told.append(progress))
    return run_program(SCENARIO, program, root, sandbox, seed=1, pacing=pacing)


@pytest.mark.parametrize("bubblewrap", [True, False])
def test_a_static_program_runs_at_a_pace_and_its_verdict_says_so(
    bubblewrap: bool, work: Path
) -> None:
    told: list[tuple[str, int, int]] = []

    record = ran(STATIC, work, told, bubblewrap=bubblewrap)
    verdict = plain_run(record.timeline, program="static-c", replay="again")

    assert (verdict.status, verdict.clock) == ("ok", "paced"), verdict
    assert {pin.by for pin in record.timeline.pins} == {"program"}
    assert verdict.notes[:2] == (
        "It ran on the paced clock, 30 virtual s in a real one, as it is linked statically, so "
        "that the clock library cannot be loaded into it; such runs are not the same each time.",
        "Its own sleeps were real: a second of them is 30 s here.",
    )
    text = run_text(verdict, width=10_000)
    assert "static-c, seed 1, paced clock" in text
    assert verdict.notes[0] in text
    assert told[-1][0] == SCENARIO.id
    assert 0 < told[-1][1] <= told[-1][2] == 30


PYTHON_HEAD = """\
import ctypes, os, subprocess, sys, time
import libvirt
here = os.path.dirname(os.path.abspath(__file__))
conn = libvirt.open()
interval = int(sys.argv[1])
while True:
    conn.listAllDomains()
    time.sleep(interval)
"""


def python(tmp_path: Path, action: str) -> Path:
    """Return a submission that does something first and looks at the guests then."""
    folder = tmp_path / "submission"
    folder.mkdir()
    body = PYTHON_HEAD.replace("conn = ", f"{action}\nconn = ")
    (folder / "vcpu_scheduler.py").write_text(body)
    return folder


def reason(record: RunRecord) -> str:
    assert record.timeline.clock == "paced", record.timeline.outcome
    assert record.timeline.outcome.status == "ok", record.timeline.outcome
    return record.timeline.outcome.notes[0].partition(", as ")[2].partition(";")[0]


def test_a_program_that_starts_a_static_one_runs_at_a_pace(
    tmp_path: Path, work: Path, static_program: bytes
) -> None:
    submission = python(tmp_path, "subprocess.run([f'{here}/sleeper'], check=True)")
    (submission / "sleeper").write_bytes(static_program)
    (submission / "sleeper").chmod(0o755)

    record = ran(submission, work, [])

    assert reason(record) == "it starts /submission/sleeper, which is linked statically"


def test_a_program_whose_child_lost_the_library_runs_at_a_pace(tmp_path: Path, work: Path) -> None:
    # execveat, which the library does not look at: what goes by others keeps it.
    action = """\
if os.fork() == 0:
    words = (ctypes.c_char_p * 5)(b"virsh", b"-c", b"qemu:///system", b"list")
    ctypes.CDLL(None).syscall(322, -100, b"/usr/bin/virsh", words, (ctypes.c_char_p * 1)(), 0)
os.wait()"""

    record = ran(python(tmp_path, action), work, [])

    assert reason(record) == "a process of it speaks to libvirt without the clock library"


def test_a_program_that_starts_what_clears_the_environment_stays_in_lockstep(
    tmp_path: Path, work: Path
) -> None:
    action = (
        "subprocess.run('env -i virsh -c qemu:///system list; exec env -i sleep 7', shell=True)"
    )
    submission = python(tmp_path, action)

    records = [ran(submission, work, []) for _ in range(2)]

    assert [record.timeline.clock for record in records] == ["lockstep"] * 2
    assert records[0].timeline == records[1].timeline
    calls = [(call.procedure, call.time_ns // seconds(1)) for call in records[0].timeline.calls]
    assert calls.count(("virConnectListAllDomains", 0)) == 1  # virsh
    assert calls.count(("virConnectListAllDomains", 7)) == 1  # the program, after the sleep


@pytest.fixture(scope="module")
def static_program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a program that sleeps for a moment, linked statically."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "sleeper.c").write_text(SLEEPER)
    subprocess.run(["gcc", "-static", "sleeper.c", "-o", "sleeper"], cwd=folder, check=True)
    return (folder / "sleeper").read_bytes()


def test_the_paced_clock_tells_of_its_end_once_and_of_a_later_one_again() -> None:
    machine_ns = 0
    reached: list[int] = []
    ends: list[int] = []
    clock = PacedRunClock(
        2.0, reached.append, lambda: ends.append(clock.now_ns), lambda: machine_ns
    )
    clock.set_end(seconds(10))

    pauses = [clock.turn()]
    machine_ns = seconds(5) - 10_000_000
    pauses.append(clock.turn())
    machine_ns = seconds(5)
    pauses += [clock.turn(), clock.turn()]
    clock.allow_until(seconds(12))
    machine_ns = seconds(7)
    clock.turn()

    assert pauses == [0.05, pytest.approx(0.01), 0.0, 0.05]
    assert ends == [seconds(10), seconds(14)]
    assert reached == [seconds(10) - 20_000_000, seconds(10), seconds(14)]
