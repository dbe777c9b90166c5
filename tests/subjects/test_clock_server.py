"""Real programs under the virtual clock: right times, the same each time, in little real time."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock_lab import REAL_LIMIT_S, Lab

from virtlab.model.units import NS_PER_S, seconds
from virtlab.subjects.clock_library import preload_environment
from virtlab.subjects.clock_link import ANSWER, REQUEST, WAIT
from virtlab.subjects.clock_server import ClockServer

PYTHON = os.path.realpath(sys.executable)


@pytest.mark.parametrize(
    ("case", "output"),
    [
        ("sleeps", "2.750\n10.000 1767225610\n"),
        ("descriptors", "poll 0 1.500\nselect 0 4.500 left 0\nepoll 0 5.000\nready 1 1 5.000\n"),
        ("spin", "2 s\n"),
        (
            "locks",
            "condition Connection timed out 2.000\ncondition Success 5.000\n"
            "semaphore -1 7.000\nsemaphore 0 9.000\n",
        ),
        ("children", "7 5.000\n7.000\n10.000\n"),
        (
            "unseen",
            "opened at 1.000\n1 byte at 1.000\njoined at 3.000\nchild over at 3.000\n",
        ),
        ("close", "2.000\n"),
        ("raw", "0 1.500\n0 105.000\n-1 Invalid argument 1\n"),
        ("epoll_pwait2", "0 2.0005\n-1 Invalid argument\n1 2.0005\n"),
        (
            "timerfd",
            "1 at 0.500\n1 at 2.500\n1 at 4.500\n2 at 8.500\nwas due in 2 s\n"
            "0 at 9.500\n1 8 1 at 10.000\n-1 Resource temporarily unavailable\n",
        ),
        ("sigwait", "1 2.000\n1 4.000\n1 6.000\n1 1 8.000\n"),
        ("sigtimedwait", "-1 Resource temporarily unavailable 3.000\n1 1 7.000\n1 7.000\n"),
    ],
)
def test_given_a_c_program_when_it_waits_then_virtual_time_is_exact(
    lab: Lab, cases: str, case: str, output: str
) -> None:
    run = lab(cases, case)

    assert (run.output, run.status) == (output, 0)


@pytest.mark.parametrize(
    "case", ["raw", "epoll_pwait2", "sigtimedwait", "alarms", "timerfd", "unseen"]
)
def test_given_the_rarer_waits_when_run_twice_then_time_takes_the_same_steps(
    lab: Lab, cases: str, case: str
) -> None:
    first, second = lab(cases, case), lab(cases, case)

    assert (first.output, first.advanced) == (second.output, second.advanced)
    assert first.advanced


def test_given_an_alarm_when_a_program_pauses_or_sleeps_then_it_rings_at_its_virtual_time(
    lab: Lab, cases: str
) -> None:
    run = lab(cases, "alarms")

    assert run.output.splitlines() == [
        "-1 Interrupted system call 1.000",
        "3 s left at 3.000",
        "29, then none at 4.000",
        "3 rings at 7.250, then none for 500000 us",
        "3 rings at 17.250",
        "0 s left at 20.250",
    ]
    assert run.status == -signal.SIGALRM  # nobody handled the last one
    assert run.end_ns == seconds(21.25)


def test_given_threads_when_run_twice_then_they_take_turns_alike(lab: Lab, cases: str) -> None:
    first, second = lab(cases, "threads"), lab(cases, "threads")

    assert first.output == second.output
    assert first.output.startswith("0:0.001 0:0.002 1:0.002 0:0.003 2:0.003 ")
    assert first.output.endswith("end 0.020\n")


def test_given_the_end_when_signalled_in_a_sleep_then_the_sleep_ends_early(
    lab: Lab, cases: str
) -> None:
    run = lab(cases, "loop", end_s=240.5)

    assert run.output == "121 rounds, 1 s left at 240.500\n"
    assert (run.status, run.waits) == (0, 121)
    assert run.ends == [(seconds(240.5), "SIGINT")]
    assert run.advanced == [*range(2 * NS_PER_S, 241 * NS_PER_S, 2 * NS_PER_S), seconds(240.5)]


def test_given_a_signal_in_nanosleep_then_the_rest_is_told(lab: Lab, cases: str) -> None:
    assert lab(cases, "interrupted", end_s=1.75).output == (
        "-1 Interrupted system call rest 3.250\n"
    )


def test_given_a_handler_that_sleeps_itself_then_time_stays_exact(lab: Lab, cases: str) -> None:
    assert lab(cases, "nested", end_s=10).output == "11.000\n11.500\n"


def test_given_a_program_that_ignores_the_end_then_it_is_told_again(lab: Lab, cases: str) -> None:
    run = lab(cases, "stubborn", end_s=10)

    assert run.ends == [(10 * NS_PER_S, "SIGINT"), (12 * NS_PER_S, "SIGTERM")]
    assert run.status == -signal.SIGTERM


def test_given_many_waits_of_next_to_nothing_then_they_last_as_long_as_linux_makes_them(
    tmp_path: Path,
) -> None:
    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as thread:
        clock = ClockServer(selector, tmp_path, lambda ns: None)
        thread.connect(str(clock.socket_path))
        for _ in range(1_200):
            thread.sendall(REQUEST.pack(WAIT, 1, clock.now_ns + 1))
            before = clock.now_ns
            while clock.now_ns == before:
                for key, mask in selector.select(clock.turn()):
                    key.data(mask)
            thread.recv(ANSWER.size)
        after = clock.now_ns
        clock.close()

    # A thousand are exact; then each takes 50 us.
    assert after == 1_000 + 200 * 50_000


PYTHON_CASES = {
    "sleep": ("import time; b=time.time(); time.sleep(90); print(time.time()-b)", "90.0\n"),
    "asyncio": (
        "import asyncio,time\n"
        "async def tick(n):\n"
        "    for i in range(3):\n"
        "        await asyncio.sleep(n)\n"
        "        print(n, round(time.monotonic()-100, 3))\n"
        "async def main(): await asyncio.gather(tick(1), tick(2.5))\n"
        "asyncio.run(main())",
        "1 1.0\n1 2.0\n2.5 2.5\n1 3.0\n2.5 5.0\n2.5 7.5\n",
    ),
    "event": (
        "import threading,time\n"
        "e=threading.Event(); print(e.wait(2), round(time.monotonic()-100, 3))\n"
        "t=threading.Timer(3, e.set); t.start()\n"
        "print(e.wait(60), round(time.monotonic()-100, 3)); t.join()",
        "False 2.0\nTrue 5.0\n",
    ),
    "queue": (
        "import queue,threading,time\n"
        "q=queue.Queue()\n"
        "def put():\n"
        "    for i in range(5): time.sleep(i); q.put(i)\n"
        "threading.Thread(target=put).start()\n"
        "for i in range(5): print(q.get(timeout=100), round(time.monotonic()-100, 3))",
        "0 0.0\n1 1.0\n2 3.0\n3 6.0\n4 10.0\n",
    ),
    "subprocess": (
        "import subprocess,time\n"
        "subprocess.run(['sleep','3']); print(round(time.monotonic()-100, 3))",
        "3.0\n",
    ),
}


@pytest.mark.parametrize("name", PYTHON_CASES)
def test_given_a_python_program_when_run_twice_then_virtual_time_is_exact(
    lab: Lab, name: str
) -> None:
    program, output = PYTHON_CASES[name]

    outputs = [lab(PYTHON, "-I", "-c", program).output for _ in range(2)]

    assert outputs == [output, output]


@pytest.fixture
def libvirt_dir(tmp_path: Path) -> Iterator[Path]:
    listeners = []
    directory = tmp_path / "libvirt"
    directory.mkdir()
    for name in ("libvirt-sock", "libvirt-sock-ro"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(directory / name))
        listener.listen(8)
        listeners.append(listener)
    yield directory
    for listener in listeners:
        listener.close()


FOUND_AND_NOT = "0000 0000 -1-1-1-1 -1-1-1-1 "


def test_given_the_clock_when_libvirts_sockets_are_asked_for_then_the_labs_answer(
    lab: Lab, cases: str, libvirt_dir: Path
) -> None:
    run = lab(cases, "redirect", environment={"VIRTLAB_LIBVIRT_DIR": str(libvirt_dir)})

    assert run.output == FOUND_AND_NOT + "virtual\n"


def test_given_no_clock_when_redirected_then_time_stays_real(
    library: Path, cases: str, libvirt_dir: Path
) -> None:
    variables = preload_environment(library, libvirt_dir=libvirt_dir)

    output = subprocess.check_output(
        [cases, "redirect"], env={**os.environ, **variables}, text=True, timeout=REAL_LIMIT_S
    )

    assert output == FOUND_AND_NOT + "real\n"


def test_given_a_charge_when_it_would_pass_the_end_then_time_stops_there(tmp_path: Path) -> None:
    ends: list[int] = []
    advanced: list[int] = []
    selector = selectors.DefaultSelector()
    clock = ClockServer(selector, tmp_path, advanced.append)
    clock.on_end = lambda: ends.append(clock.now_ns)
    clock.set_end(100)

    clock.charge(60)
    clock.charge(60)
    clock.turn()
    clock.charge(60)
    clock.turn()

    assert (advanced, ends) == ([60, 100], [100])
    clock.close()
    selector.close()


def test_given_a_lost_server_then_the_program_says_so_and_exits_with_97(
    library: Path, cases: str, tmp_path: Path
) -> None:
    selector = selectors.DefaultSelector()
    clock = ClockServer(selector, tmp_path, lambda ns: None)
    clock.set_end(0)  # nothing ever wakes
    variables = preload_environment(
        library, clock_socket=clock.socket_path, clock_page=clock.page_path
    )
    process = subprocess.Popen(
        [cases, "sleeps"], env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )
    give_up = time.monotonic() + REAL_LIMIT_S
    while not clock.waits and time.monotonic() < give_up:
        for key, mask in selector.select(clock.turn() or 0.1):
            key.data(mask)

    clock.close()
    _, complaint = process.communicate(timeout=REAL_LIMIT_S)

    assert process.returncode == 97
    assert complaint == ("virtlab clock: the clock server has gone: Connection reset by peer\n")
    selector.close()
