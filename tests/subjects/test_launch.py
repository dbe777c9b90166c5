from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from selectors import BaseSelector, DefaultSelector

import pytest

from virtlab.subjects.cgroups import find_cgroups
from virtlab.subjects.launch import Process, launch, run_to_end
from virtlab.subjects.sandbox import Folder, Limits, Plan, Sandbox

PYTHON = "/usr/bin/python3"


def plan(work: Path, *argv: str, limits: Limits | None = None) -> Plan:
    return Plan(argv, work, (Folder(work, "/submission"),), limits=limits or Limits())


def shell(work: Path, script: str, limits: Limits | None = None) -> Plan:
    return plan(work, "/bin/sh", "-c", script, limits=limits)


def serve_until(selector: BaseSelector, done: Callable[[], bool], limit_s: float = 10) -> None:
    end = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end, "what was waited for did not come"
        for key, mask in selector.select(0.05):
            key.data(mask)


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("exit 0", "exit code 0"),
        ("exit 3", "exit code 3"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        ("kill -INT $$", "ended by SIGINT"),
        ("exec /nowhere", "exit code 127"),
    ],
)
def test_the_end_is_told_as_code_or_signal(
    sandbox: Sandbox, work: Path, script: str, end: str
) -> None:
    process, timed_out = run_to_end(shell(work, script), sandbox, 10)

    assert (str(process.exit), timed_out) == (end, False)


def test_both_streams_are_captured_up_to_the_end(sandbox: Sandbox, work: Path) -> None:
    process, _ = run_to_end(shell(work, "echo out; echo err >&2; cat; printf last"), sandbox, 10)

    assert (process.stdout.text(), process.stderr.text()) == ("out\nlast", "err\n")


def test_a_flood_is_ended_and_its_beginning_and_end_are_kept(sandbox: Sandbox, work: Path) -> None:
    limits = Limits(output_bytes=1_000_000, kept_output_bytes=1_000)

    process, _ = run_to_end(shell(work, "echo first; yes flood", limits), sandbox, 10)

    assert process.flooded
    assert process.stdout.text().startswith("first\nflood\n")
    assert "bytes left out" in process.stdout.text()
    assert len(process.stdout.text()) < 1_100


def test_a_signal_reaches_the_program_itself(sandbox: Sandbox, work: Path) -> None:
    program = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: (os.write(1, b'got it\\n'), os._exit(7)))\n"
        "os.write(1, b'ready\\n')\n"
        "time.sleep(60)\n"
    )
    ended: list[str] = []
    with DefaultSelector() as selector:
        process = launch(
            plan(work, PYTHON, "-c", program),
            sandbox,
            selector,
            on_exit=lambda: ended.append("ended"),
        )
        serve_until(selector, lambda: "ready" in process.stdout.text())

        sent = process.send_signal(signal.SIGINT)
        serve_until(selector, lambda: process.exit is not None)

        assert sent
        assert (str(process.exit), ended) == ("exit code 7", ["ended"])
        assert process.stdout.text() == "ready\ngot it\n"
        assert not process.send_signal(signal.SIGINT)
        assert not selector.get_map()


def test_only_processes_of_the_run_are_signalled(sandbox: Sandbox, work: Path) -> None:
    with DefaultSelector() as selector:
        process = launch(shell(work, "echo up; sleep 60"), sandbox, selector)
        serve_until(selector, lambda: process.stdout.total > 0)

        assert not process.send_signal(signal.SIGINT, pid=1)

        process.close()
        assert str(process.exit) == "ended by SIGKILL"


def test_computing_costs_processor_time_and_sleeping_does_not(sandbox: Sandbox, work: Path) -> None:
    with DefaultSelector() as selector:
        idle = launch(shell(work, "sleep 60"), sandbox, selector)
        busy = launch(shell(work, "while :; do :; done & wait"), sandbox, selector)
        serve_until(selector, lambda: busy.cpu_seconds() >= 0.1)

        assert idle.cpu_seconds() < 0.08

        idle.close()
        busy.close()
        assert busy.cpu_seconds() >= 0.1


def is_gone(name: str) -> bool:
    """Tell whether no process has a name in its command line; a killed one takes a moment."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        if not any(name.encode() in read(path) for path in Path("/proc").glob("[0-9]*/cmdline")):
            return True
        time.sleep(0.01)
    return False


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_children_that_outlive_the_program_are_ended(sandbox: Sandbox, work: Path) -> None:
    process, _ = run_to_end(shell(work, "sleep 98.71 & echo started"), sandbox, 10)

    assert process.stdout.text() == "started\n"
    assert is_gone("98.71")


def test_a_daemon_that_leaves_its_session_is_ended_too(sandbox: Sandbox, work: Path) -> None:
    if sandbox.weaker and sandbox.cgroups is None:
        pytest.skip("without bubblewrap and control groups such a process is not found")

    run_to_end(shell(work, "setsid sleep 98.72 >/dev/null 2>&1 & sleep 0.1"), sandbox, 10)

    assert is_gone("98.72")


def test_a_fork_bomb_is_bounded_and_ended(sandbox: Sandbox, work: Path) -> None:
    limits = Limits(processes=40)
    bomb = "import os, time\nn = 0\n" + (
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "        n += 1\n"
        "except OSError as error: print(n, error.strerror)\n"
    )

    process, timed_out = run_to_end(plan(work, PYTHON, "-c", bomb, limits=limits), sandbox, 10)

    born, what = process.stdout.text().split(" ", 1)
    assert not timed_out
    # Without a group the kernel counts the user's processes on the whole machine.
    assert 15 <= int(born) <= (40 if sandbox.cgroups is not None else 80)
    assert what == "Resource temporarily unavailable\n"


def test_a_memory_hog_is_stopped(sandbox: Sandbox, work: Path) -> None:
    hog = "a = []\nwhile True: a.append(bytearray(b'x' * 2**20))\n"
    limits = Limits(memory_kib=100 * 1024)

    process, timed_out = run_to_end(plan(work, PYTHON, "-c", hog, limits=limits), sandbox, 20)

    assert process.exit is not None and not timed_out
    if sandbox.cgroups is not None and sandbox.cgroups.bounds_memory:
        assert str(process.exit) == "ended by the kernel at its memory bound"
    else:
        assert "MemoryError" in process.stderr.text()


def test_a_file_has_a_largest_size(sandbox: Sandbox, work: Path) -> None:
    limits = Limits(file_kib=100)
    write = "f=$(mktemp) && trap 'rm -f $f' EXIT && dd if=/dev/zero of=$f bs=1024 count=200"

    process, _ = run_to_end(shell(work, write, limits), sandbox, 10)

    assert str(process.exit) != "exit code 0"


def test_what_hangs_is_ended_in_time(sandbox: Sandbox, work: Path) -> None:
    script = "trap '' INT TERM HUP; while :; do sleep 1; done"

    process, timed_out = run_to_end(shell(work, script), sandbox, 0.2)

    assert timed_out
    assert str(process.exit) == "ended by SIGKILL"


def test_groups_are_removed_after_the_run(sandbox: Sandbox, work: Path) -> None:
    if sandbox.cgroups is None:
        pytest.skip("no control groups here")

    def groups() -> set[str]:
        assert sandbox.cgroups is not None
        parents = sandbox.cgroups.parents.values()
        return {str(p) for parent in parents for p in parent.glob(f"virtlab-{os.getpid()}-*")}

    run_to_end(shell(work, "sleep 60 & true"), sandbox, 10)

    assert groups() == set()


def test_groups_that_a_killed_grader_left_are_swept_away(sandbox: Sandbox) -> None:
    if sandbox.cgroups is None:
        pytest.skip("no control groups here")
    parents = sandbox.cgroups.parents.values()
    left = [parent / "virtlab-999999999-1" for parent in parents]
    for folder in left:
        folder.mkdir(exist_ok=True)

    find_cgroups()

    assert not any(folder.exists() for folder in left)


def test_a_missing_folder_is_the_labs_fault_and_not_the_programs(
    bubblewrap: Sandbox, work: Path
) -> None:
    bad = Plan(("/bin/true",), work, (Folder(work, "/w"), Folder(work / "gone", "/gone")))

    process: Process = run_to_end(bad, bubblewrap, 10)[0]

    assert process.exit is not None and process.exit.sandbox_failed
    assert "gone" in process.stderr.text()


def test_what_cannot_be_executed_is_the_programs_fault(sandbox: Sandbox, work: Path) -> None:
    (work / "program").write_text("#!/no/such/interpreter\n")
    (work / "program").chmod(0o755)

    process = run_to_end(plan(work, "./program"), sandbox, 10)[0]

    assert process.exit is not None
    assert not process.exit.sandbox_failed
    assert process.exit.not_executed or process.exit.code in (126, 127)


def test_who_imitates_bubblewraps_words_does_not_make_it_the_labs_fault(
    sandbox: Sandbox, work: Path
) -> None:
    process = run_to_end(shell(work, "echo 'bwrap: no' >&2; exit 1"), sandbox, 10)[0]

    assert process.exit is not None
    assert not process.exit.sandbox_failed
