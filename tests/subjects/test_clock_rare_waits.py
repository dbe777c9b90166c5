"""The rarer ways to wait: exact virtual times, and the same steps of time in each run."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from clock_lab import Lab

SOURCE = Path(__file__).parent / "programs" / "rare_waits.c"

CASES = {
    "timer_signals": """\
made 0 at 0.000
2 rings, value 42
next in 1.500
3 rings, overrun 3 at 10.500
made 0 at 10.500
50 s left at 20.000
nonsense -1 Invalid argument at 20.000
""",
    "timer_threads": """\
made 0 at 0.000
thread 7 at 3.000
thread 7 at 6.000
thread 7 at 9.000
end 19.000
""",
    "timed_locks": """\
mutex 110 at 2.000
read 110 at 4.000
write 110 at 6.000
nonsense 22 at 6.000
mutex 0 soon after 10
join 0 at 10.031
""",
    "c11": """\
timed out 1 at 2.000
signalled 1 at 5.000
joined 5 at 5.000
""",
    "futexes": """\
relative -1 Connection timed out at 2.500
changed -1 Resource temporarily unavailable at 2.500
woke 1
woken 0 at 5.500
calendar -1 Connection timed out at 20.000
shared -1 Connection timed out at 22.500
nonsense -1 Invalid argument at 22.500
""",
    "raw_waits": """\
poll 0 at 1.000
ppoll 0 at 2.000
select 0 at 3.000
pselect6 0 at 4.000
epoll_wait 0 at 5.000
epoll_pwait 0 at 6.000
epoll_pwait2 0 at 7.000
rt_sigtimedwait -1 Resource temporarily unavailable at 8.000
pause -1 Interrupted system call at 9.000
child 0 at 10.000
parent 0 at 10.000
""",
    "socket_timeouts": """\
told 4.250000
recv -1 Resource temporarily unavailable at 4.250
read -1 Resource temporarily unavailable at 8.500
recvmsg -1 Resource temporarily unavailable at 12.750
at once -1 Resource temporarily unavailable at 12.750
recv 1 at 14.750
send -1 Resource temporarily unavailable at 19.000
write -1 Resource temporarily unavailable at 23.250
nonsense -1 Numerical argument out of domain at 23.250
copy -1 Resource temporarily unavailable at 24.250
raw -1 Resource temporarily unavailable at 25.250
a new one has none: 0
""",
    "queues": """\
receive -1 Connection timed out at 2.000
send 0 at 2.000
send -1 Connection timed out at 5.000
receive 4 at 5.000
semtimedop -1 Resource temporarily unavailable at 6.500
semtimedop 0 at 6.500
aio_suspend -1 Resource temporarily unavailable at 8.000
aio_suspend 0 at 8.000
""",
    "interrupted": """\
nanosleep -1 Interrupted system call at 1.000
rest 59
poll -1 Interrupted system call at 2.000
poll for ever -1 Interrupted system call at 3.000
select -1 Interrupted system call at 4.000
epoll_wait -1 Interrupted system call at 5.000
sem_timedwait -1 Interrupted system call at 6.000
recv -1 Interrupted system call at 7.000
futex -1 Interrupted system call at 8.000
usleep -1 Interrupted system call at 9.000
""",
    "vforked": """\
parent 0 at 1.000
child 0 at 4.000
""",
    "timer_copies": """\
second 1 at 1.000
third 1 at 2.000
third 2 at 4.000
poll of the fourth 1 at 5.000
left on the fourth 5 at 5.000
not a timer -1 Invalid argument at 5.000
sixth 1 at 10.000
closed -1 Bad file descriptor at 10.000
made 200 at 10.000
""",
    "inherited_timer": """\
child 1 at 1.000
child 1 at 2.000
parent 1 at 6.000
parent 3 at 9.000
""",
    "messages": """\
two in time 2 at 2.000
three 3 at 5.000
left 7
one at once 1 at 6.000
none -1 Resource temporarily unavailable at 7.000
readv -1 Resource temporarily unavailable at 8.000
nonsense -1 Invalid argument at 8.000
""",
    "woken_by_others": """\
woken 99 at 1.000
child 8 at 4.000
woken 99 at 5.000
child 8 at 8.000
woken 99 at 9.000
child 8 at 12.000
stopped 0 at 15.500
over 1 at 16.500
""",
    "ending_children": "missed 0 at 0.000\n",
    "elapsed": """\
times 3 at 3.000
raw 3 at 3.000
io_uring -1 Function not implemented at 3.000
rt_sigsuspend -1 Interrupted system call at 5.000
""",
    "assembly": """\
nanosleep 0 at 2.000
nonsense -22
reads 102
poll 0 at 3.500
futex -110 at 5.500
all signals blocked 0 at 7.500
main at 8.500
thread at 9.500
others as ever 1
""",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    built = tmp_path_factory.mktemp("programs") / "rare_waits"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run(["gcc", *flags, SOURCE, "-o", built], check=True)
    return str(built)


@pytest.mark.parametrize("case", CASES)
def test_a_rare_wait_takes_its_virtual_time_and_repeats(lab: Lab, program: str, case: str) -> None:
    if case == "assembly" and platform.machine() != "x86_64":
        pytest.skip("calls by instruction are covered on x86-64 alone")

    runs = [lab(program, case) for _ in range(2)]

    assert [(run.output, run.status) for run in runs] == [(CASES[case], 0)] * 2
    assert runs[0].advanced == runs[1].advanced


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler for C++")
def test_the_timed_waits_of_cpp_take_their_virtual_time(lab: Lab, tmp_path: Path) -> None:
    source, built = SOURCE.with_name("waits.cpp"), tmp_path / "waits"
    subprocess.run(["g++", "-std=c++17", "-pthread", source, "-o", built], check=True)

    runs = [lab(str(built)) for _ in range(2)]

    assert [run.output.splitlines() for run in runs] == [
        ["timed out 1 at 1.000", "ready 1 at 3.000", "condition 1 at 7.000", "locked 0 at 8.500"]
    ] * 2
