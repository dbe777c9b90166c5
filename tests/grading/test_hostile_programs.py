"""Programs that mean harm: to the grader, to gradings of others, or to the truth of a mark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtlab.grading.run import RunRecord, run_program
from virtlab.grading.watchdog import WatchdogLimits
from virtlab.scenario import find_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.trees import remove_tree
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

SCENARIO = find_scenario("cpu-3-balanced")
SUFFIXES = {"python": ".py", "C": ".c"}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder that the program's user can reach, in which all else is made, too."""
    folder = make_work_directory()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    remove_tree(folder)


Ran = Callable[..., RunRecord]


@pytest.fixture
def ran(work: Path) -> Ran:
    """Run a program given as source, in the strongest sandbox or in the weakest."""

    def run(
        source: str,
        language: str = "python",
        *,
        makefile: str | None = None,
        bubblewrap: bool = True,
        watchdog: WatchdogLimits | None = None,
    ) -> RunRecord:
        submission, root = work / "submission", work / "copy"
        submission.mkdir()
        (submission / f"vcpu_scheduler{SUFFIXES[language]}").write_text(source)
        if makefile is not None:
            (submission / "Makefile").write_text(makefile)
        open_submission(submission, root)
        sandbox = find_sandbox(bubblewrap=bubblewrap)
        program = build(find_programs(root)["vcpu_scheduler"], root, sandbox)
        assert program.ok, program.log
        return run_program(SCENARIO, program, root, sandbox, seed=1, watchdog=watchdog)

    return run


@pytest.mark.parametrize("bubblewrap", [True, False])
def test_folders_too_deep_for_python_leave_nothing_behind(
    ran: Ran, work: Path, bubblewrap: bool
) -> None:
    record = ran(
        "import os\nfor _ in range(1200):\n    os.mkdir('d', 0o300)\n    os.chdir('d')\n",
        bubblewrap=bubblewrap,
    )

    outcome = record.timeline.outcome
    assert (outcome.kind, outcome.reason) == (
        "overfilled",
        "It made folders that lie more than 64 deep in its folder at 0.0 s.",
    )
    assert not list(work.glob("*virtlab-*"))


def test_a_program_that_fills_the_disk_is_ended(ran: Ran) -> None:
    filling = """
import os, time
for name in range(4):
    with open(str(name), "wb") as file:
        file.truncate(150 << 20)
while True:
    sum(range(1000))
"""

    outcome = ran(filling).timeline.outcome

    assert (outcome.status, outcome.kind, outcome.reason) == (
        "program_fault",
        "overfilled",
        "It made more than 512 MiB of files in its folder at 0.0 s.",
    )


def test_a_pipe_that_a_build_left_costs_the_lab_no_run(ran: Ran) -> None:
    record = ran(
        "int main(void) { return 5; }\n", "C", makefile="vcpu_scheduler:; mkfifo pipe; cc *.c -o $@"
    )

    assert record.timeline.outcome.exit_code == 5


HELLOS = """
import os, socket, struct
clock = socket.socket(socket.AF_UNIX)
clock.connect(os.environ["VIRTLAB_CLOCK_SOCKET"])
hello = struct.pack("=IIQ", 1, 1, 0)
try:
    for _ in range(20_000):
        clock.sendall(hello)
except OSError as error:
    print(type(error).__name__)
"""


def test_who_asks_the_clock_and_never_reads_is_cut_off_and_holds_up_nobody(ran: Ran) -> None:
    record = ran(HELLOS)
    outcome = record.timeline.outcome

    assert record.stdout == b"BrokenPipeError\n", record.stderr.decode()
    assert (outcome.status, outcome.exit_code) == ("program_fault", 0)
    assert outcome.notes == (
        "It spoke to the lab's clock as the lab's own library never does, and was cut off from it.",
    )


def test_a_program_that_computes_and_sleeps_a_little_for_ever_comes_to_an_end(ran: Ran) -> None:
    busy = "import time\nwhile True:\n    sum(range(100_000))\n    time.sleep(1e-6)\n"

    outcome = ran(busy, watchdog=WatchdogLimits(run_cpu_s=0.5)).timeline.outcome

    assert (outcome.status, outcome.kind) == ("timeout", "hung")
    assert outcome.reason.endswith(
        "it computed for more than 0.5 s in all, before any libvirt call."
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import sys, os\nsys.stderr.write('virtlab clock: lost\\n')\nsys.stderr.flush()\n"
            "os._exit(97)\n",
            "It lost the virtual clock at 0.0 s, before any libvirt call; "
            "it last said: virtlab clock: lost.",
        ),
        (
            "import sys\nsys.exit('bwrap: no')\n",
            "It exited at 0.0 s with code 1, before any libvirt call; it last said: bwrap: no.",
        ),
        (
            "import sys\nsys.exit('bwrap: execvp ./vcpu_scheduler: No such file or directory')\n",
            "It exited at 0.0 s with code 1, before any libvirt call; it last said: "
            "bwrap: execvp ./vcpu_scheduler: No such file or directory.",
        ),
    ],
)
def test_who_speaks_with_the_labs_voice_is_not_excused(ran: Ran, source: str, reason: str) -> None:
    outcome = ran(source).timeline.outcome

    assert (outcome.status, outcome.kind, outcome.reason) == ("program_fault", "exited", reason)
