"""What the kernel tells about the threads of a program: asleep or not, and for how long.

Source: proc_pid_status(5). `State` is S in an interruptible sleep, T where a signal has stopped the
task, which is as good as asleep. The two switch counters stand still exactly as long as the task
does not run, so equal counters mean that it has slept all along.
NSpid ends with the number that the task itself sees inside its pid namespace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

__all__ = ["TaskState", "TaskStates", "is_asleep", "is_running", "tasks_of"]

STILL_NS = (
    2_000_000  # real time asleep after which a task counts as blocked, not as on its way to us
)
_ASLEEP = (b"S", b"T")


@dataclass(frozen=True, slots=True)
class TaskState:
    """One look at one task."""

    pid: int
    host_tid: int
    inner_tid: int  # as the task itself sees it
    asleep: bool
    switches: bytes  # both counters as the kernel prints them


class TaskStates:
    """Remembers since when each task has not run."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[bytes, int]] = {}

    def still(self, pids: Collection[int], resting: Collection[tuple[int, int]] = ()) -> bool:
        """Tell whether every task of the processes is asleep and will not wake by itself soon.

        Args:
            pids: the processes, by their numbers on this machine.
            resting: (pid, inner tid) of tasks known to wait for us; they need only be asleep.
        """
        now = time.monotonic_ns()
        result = True
        for pid in pids:
            for task in tasks_of(pid):
                if not task.asleep:
                    self._since.pop(task.host_tid, None)
                    result = False
                elif (task.pid, task.inner_tid) not in resting:
                    result &= self._still_since(task, now)
        return result

    def _still_since(self, task: TaskState, now: int) -> bool:
        switches, since = self._since.get(task.host_tid, (b"", now))
        if switches != task.switches:
            self._since[task.host_tid] = (task.switches, now)
            return False
        return now - since >= STILL_NS


def tasks_of(pid: int) -> Iterator[TaskState]:
    """Yield the tasks of a process that live; none where the process is gone or hidden."""
    try:
        tids = sorted(os.listdir(f"/proc/{pid}/task"), key=int)  # noqa: PTH208 (names, not paths)
    except OSError:
        return
    for tid in tids:
        status = _read(f"/proc/{pid}/task/{tid}/status")
        state = status[status.find(b"\nState:\t") + 8 :][:1]
        if state in (b"", b"Z", b"X"):
            continue
        namespaces = status.find(b"\nNSpid:\t") + 8
        inner = status[namespaces : status.find(b"\n", namespaces)].split()[-1]
        switches = status[status.find(b"\nvoluntary_ctxt_switches:") :]
        yield TaskState(pid, int(tid), int(inner), state in _ASLEEP, switches)


def is_running(pid: int) -> bool:
    """Tell whether the process exists and has not ended."""
    return any(True for _ in tasks_of(pid))


def is_asleep(pid: int, host_tid: int) -> bool:
    """Tell whether one task is asleep at this instant."""
    stat = _read(f"/proc/{pid}/task/{host_tid}/stat")
    return stat[stat.rfind(b")") + 2 :][:1] in _ASLEEP  # the name before it may hold anything


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.read(descriptor, 8192)
        finally:
            os.close(descriptor)
    except OSError:
        return b""
