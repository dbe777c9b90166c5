"""What of a program is still under way while its threads seem to wait: bytes, births and ends.

The clock server asks here before time moves. Sockets tell exactly what is in flight; whether a
thread that has said nothing is blocked for good only the kernel knows, and only after some real
milliseconds (`task_states`).
"""

from __future__ import annotations

import fcntl
import socket
import termios
import time
from collections.abc import Callable, Iterable, Mapping

from virtlab.subjects.clock_link import Link
from virtlab.subjects.task_states import TaskStates, is_asleep, is_running, tasks_of

__all__ = ["Stillness"]

EXEC_PATIENCE_S = 0.2  # real time in which a program that was just started says its first word


class Stillness:
    """Looks at the threads of one program, and remembers since when each has not run."""

    def __init__(
        self, links: Mapping[int, Link], busy_sockets: Callable[[], Iterable[socket.socket]]
    ) -> None:
        """Take the server's table of threads, and what gives the host's connected sockets."""
        self._links = links
        self._busy_sockets = busy_sockets
        self._tasks = TaskStates()
        self._starting: dict[int, float] = {}  # pid -> until when it is given time to exec
        self._parting: int | None = None  # a process of which a running thread has just ended
        self._stirred = False  # a signal was sent, which may wake who waits
        self._count = bytearray(4)

    # ---- what the server tells ----

    def has_spoken(self, pid: int) -> None:
        """Note the first word of a process."""
        self._starting.pop(pid, None)

    def has_left(self, link: Link) -> None:
        """Note that a thread, which is no longer in the table, has ended."""
        registered = self._is_registered(link.pid)
        self._stirred |= not registered  # its parent gets a SIGCHLD
        if self._links and not registered and is_running(link.pid):
            # It ends, or becomes another program which has not yet spoken.
            self._starting[link.pid] = time.monotonic() + EXEC_PATIENCE_S
        if link.deadline is None and registered:
            self._parting = link.pid

    def has_stirred(self) -> None:
        """Note that a thread has sent a signal."""
        self._stirred = True

    # ---- births, ends and signals ----

    @property
    def expects_a_start(self) -> bool:
        """Tell whether a process that became another program was silent at the last look."""
        return bool(self._starting)

    def is_starting(self) -> bool:
        """Tell whether a process that became another program has yet to say its first word."""
        now = time.monotonic()
        for pid, until in list(self._starting.items()):
            # A program that loads slowly runs; one that sleeps and says nothing has no clock.
            if not is_running(pid) or (self._tasks.still([pid]) and now >= until):
                del self._starting[pid]
        return bool(self._starting)

    def is_parting(self) -> bool:
        """Tell whether a process whose thread has ended is about to end as a whole.

        Its other threads are then on their way out, or gone already without our having read so;
        where only that one has ended, the others sleep as before.
        """
        if self._parting is None:
            return False
        if self._is_registered(self._parting):
            still = self._tasks.still([self._parting], self._resting())
            if not (still and is_running(self._parting)):
                return True
        self._parting = None
        return False

    def is_stirred(self) -> bool:
        """Tell whether a signal has woken a thread that has not yet told us.

        To be asked once no process is about to end, as its parent is signalled at the very end.
        """
        self._stirred = self._stirred and self._is_awake(
            link for link in self._links.values() if link.deadline is not None and link.tid
        )
        return self._stirred

    # ---- bytes ----

    def in_flight(self, *, watched: bool) -> bool:
        """Tell whether the host has yet to read something, or the program where it watches."""
        for sock in self._busy_sockets():
            if self._pending(sock, termios.FIONREAD):
                return True
            if watched and self._pending(sock, termios.TIOCOUTQ):
                return True
        return False

    def thread_speaks(self) -> bool:
        """Tell whether a thread of the program has said something that was not read yet."""
        return any(self._pending(link.sock, termios.FIONREAD) for link in self._links.values())

    def _pending(self, sock: socket.socket, request: int) -> bool:
        try:
            fcntl.ioctl(sock, request, self._count)
        except (OSError, ValueError):
            return False  # closed meanwhile
        return any(self._count)

    # ---- threads ----

    def all_asleep(self) -> bool:
        """Tell whether the whole program has slept for a while."""
        return self._tasks.still(self._pids())

    def watcher_is_awake(self) -> bool:
        """Tell whether a descriptor woke a thread that has not yet told us.

        It must be asked before the bytes in flight: an awake thread tells us and sleeps again.
        """
        return self._is_awake(link for link in self._links.values() if link.watching)

    def rest_is_blocked(self) -> bool:
        """Tell whether all threads that have not said that they wait are asleep for good."""
        if any(link.child and link.deadline is None for link in self._links.values()):
            return False  # a child without a number yet: it will dial at once
        pids = self._pids()
        # Of a process that has ended no task is left to move; its connections are about to tell.
        return self._tasks.still(pids, self._resting()) and all(map(is_running, pids))

    def _pids(self) -> frozenset[int]:
        return frozenset(link.pid for link in self._links.values())

    def _is_awake(self, links: Iterable[Link]) -> bool:
        return any(not is_asleep(link.pid, _host_tid(link)) for link in links)

    def _is_registered(self, pid: int) -> bool:
        return any(link.pid == pid for link in self._links.values())

    def _resting(self) -> set[tuple[int, int]]:
        """Return (process, thread) of all that have said that they wait."""
        links = self._links.values()
        return {(link.pid, link.tid) for link in links if link.deadline is not None}


def _host_tid(link: Link) -> int:
    """Return the thread's number on this machine, 0 where it is gone."""
    if not link.host_tid:
        found = (task for task in tasks_of(link.pid) if task.inner_tid == link.tid)
        link.host_tid = next((task.host_tid for task in found), 0)
    return link.host_tid
