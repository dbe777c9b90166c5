"""The lockstep virtual clock's server: virtual time moves only while the whole program waits.

Every thread of the program holds one connection (`clock/protocol.h`). What makes a run repeatable:

- time moves only when every registered thread waits and no byte is in flight, neither on a clock
  connection nor on one of the host's; then it jumps to the earliest deadline;
- exactly one thread is released at a time, the one with the least (deadline, registration number).
  A thread that something else woke (a descriptor, a signal) or that is newly born takes its turn in
  the same order;
- a thread that is blocked where the library does not see it (mutex, join, pipe, child) would
  stop time. The kernel tells that it sleeps; once it has slept for some real time the others go
  on (`blocked`);
- bytes that nobody is about to read must not stop time either: with the whole program asleep, it
  goes on (`forced`);
- between a program's exec and its first word no time passes.

The first two are exact; the others take some real milliseconds to notice when they first happen.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import selectors
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from virtlab.model.units import BOOT_S, EPOCH_S, NS_PER_MS, NS_PER_S
from virtlab.subjects.task_states import TaskStates, is_asleep, is_running, tasks_of

__all__ = ["ClockServer"]

HELLO, BORN, WAIT, WATCH, CANCEL, SPIN = range(1, 7)
FOREVER = (1 << 64) - 1
REQUEST = struct.Struct("=IIQ")
ANSWER = struct.Struct("=Q")
PAGE = struct.Struct("=QQQ")
PEER_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid

LINKS_MAX = 4096  # threads of one program; more is a run-away
WATCH_STEP_NS = (
    10 * NS_PER_MS
)  # the host may speak unasked at any instant: it is heard within this time
EAGER_LOOKS = 20  # looks without a pause, as an answer is typically some microseconds away
PAUSE_S = 0.0005
EXEC_PATIENCE_S = 0.2  # real time in which a program that was just started says its first word


class _Link:
    """One thread of the program. Its deadline is None while it runs."""

    __slots__ = (
        "buffer",
        "child",
        "deadline",
        "host_tid",
        "number",
        "pid",
        "releases_before",
        "sock",
        "takes_turn",
        "tid",
        "watching",
    )

    def __init__(self, number: int, sock: socket.socket, pid: int) -> None:
        self.number = number
        self.sock = sock
        self.pid = pid
        self.tid = 0  # as the thread sees it; 0 until its first word
        self.host_tid = 0  # as this machine sees it; 0 until somebody asked
        self.deadline: int | None = None
        self.watching = False  # a descriptor may wake it
        self.takes_turn = False  # nothing but its turn is missing: not held back by the end of time
        self.child = False  # lent to a newborn child until it dials under its own number
        self.buffer = b""
        self.releases_before = 0  # how many threads had been released when it began to wait


class ClockServer:
    """Virtual time for one program and all its threads and children.

    The owner's loop calls `turn()` before each select and sleeps no longer than it says:

        while not done:
            for key, mask in selector.select(clock.turn()):
                key.data(mask)

    Attributes:
        on_end: called when time has reached the end and the program still goes on. Time then stands
            still until `allow_until()`.
        waits: how many sleeps the program's first thread has done.
        forced: how often time went on although bytes were in flight.
        blocked: how often time went on although a thread had not said that it waits.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        directory: Path,
        advance: Callable[[int], None],
        *,
        busy_sockets: Callable[[], Iterable[socket.socket]] = tuple,
        on_end: Callable[[], None] = lambda: None,
        next_word: Callable[[], int | None] = lambda: None,
        hang_ups: Callable[[], int] = lambda: 0,
    ) -> None:
        """Open `clock.sock` and `clock.page` in the directory and listen.

        Args:
            selector: where the sockets are registered, with callbacks as data.
            directory: an existing private folder.
            advance: moves the host to a virtual instant; what the host has to say unasked it has
                written to its sockets when this returns. Called before the instant shows.
            busy_sockets: the host's connected sockets; bytes in flight on them keep time still.
            on_end: see the attributes.
            next_word: the earliest virtual instant at which the host answers a call that it put
                off; time may go there although the whole program waits for nothing but descriptors.
            hang_ups: how often the host has closed its connections, which wakes who watches them.
        """
        self.on_end = on_end
        self.waits = self.forced = self.blocked = 0
        self.first_pid: int | None = None
        self.socket_path = directory / "clock.sock"
        self.page_path = directory / "clock.page"
        self._selector = selector
        self._advance = advance
        self._busy_sockets = busy_sockets
        self._next_word = next_word
        self._hang_ups = hang_ups
        self._now = 0
        self._end: int | None = None
        self._end_told = False
        self._links: dict[int, _Link] = {}
        self._next_number = 0
        self._running = 0  # links without a deadline
        self._releases = 0
        self._watching = 0  # waiting links that a descriptor may wake
        self._due = False  # something is to be examined at the next turn
        self._looks = 0  # examinations since the program's last word
        self._signalled = False  # on_end has acted and the program has not yet reacted
        self._starting: dict[int, float] = {}  # pid -> until when it is given time to exec
        self._parting: int | None = None  # a process of which a running thread has just ended
        self._tasks = TaskStates()
        self._count = bytearray(4)
        self._page = self._create_page()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket_path.unlink(missing_ok=True)
        self._listener.bind(str(self.socket_path))
        # The program may run as another user; the folder around the socket decides who gets here.
        self.socket_path.chmod(0o777)
        self._listener.listen(256)
        selector.register(self._listener, selectors.EVENT_READ, self._on_connection)

    # ---- what the owner sees ----

    @property
    def now_ns(self) -> int:
        """The virtual time."""
        return self._now

    @property
    def pids(self) -> frozenset[int]:
        """The registered processes, by their numbers on this machine."""
        return frozenset(link.pid for link in self._links.values())

    @property
    def threads(self) -> int:
        """How many threads are registered."""
        return len(self._links)

    def is_registered(self, pid: int) -> bool:
        """Tell whether a process is under this clock."""
        return any(link.pid == pid for link in self._links.values())

    def charge(self, ns: int) -> None:
        """Move time on by the cost of something that the program did, though not past the end."""
        target = self._now + ns
        if self._end is not None and target >= self._end:
            target = max(self._end, self._now)
            self._due = True  # the end is told from turn(), not from inside a libvirt call
        if target > self._now:
            self._set_now(target)

    def step_realtime(self, ns: int) -> None:
        """Let the calendar clock jump, forwards or back; the monotonic clock does not."""
        realtime_ns, monotonic_ns = PAGE.unpack_from(self._page, 0)[1:]
        PAGE.pack_into(self._page, 0, self._now, max(realtime_ns + ns, 0), monotonic_ns)

    def set_end(self, ns: int) -> None:
        """Set the instant that time does not pass; `on_end` is called once when it is reached."""
        self._end = ns
        self._end_told = False
        self._due = True

    def allow_until(self, ns: int) -> None:
        """Let time go on to a later end, at which `on_end` is called again."""
        self.set_end(ns)

    def turn(self) -> float | None:
        """Do what waits for no message; return the seconds until the next call, None if none."""
        if not self._due:
            return None
        self._due = False
        pause = self._examine()
        return pause if self._due else None

    def close(self) -> None:
        """Drop every thread and remove the files; what still runs of the program exits with 97."""
        for link in list(self._links.values()):
            self._selector.unregister(link.sock)
            link.sock.close()
        self._links.clear()
        self._selector.unregister(self._listener)
        self._listener.close()
        self._page.close()
        self.socket_path.unlink(missing_ok=True)
        self.page_path.unlink(missing_ok=True)

    # ---- the page ----

    def _create_page(self) -> mmap.mmap:
        with self.page_path.open("wb+") as file:
            file.write(bytes(mmap.PAGESIZE))
            file.flush()
            page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        PAGE.pack_into(page, 0, 0, EPOCH_S * NS_PER_S, BOOT_S * NS_PER_S)
        return page

    def _set_now(self, ns: int) -> None:
        self._advance(ns)  # first: nobody may see a time that the host has not reached
        self._now = ns
        ANSWER.pack_into(self._page, 0, ns)

    # ---- connections ----

    def _on_connection(self, _mask: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # the program died while it was dialling
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
        pid = PEER_CREDENTIALS.unpack(credentials)[0]
        if len(self._links) >= LINKS_MAX:
            sock.close()
            return
        link = _Link(self._next_number, sock, pid)
        self._next_number += 1
        self._links[link.number] = link
        self._running += 1
        if self.first_pid is None:
            self.first_pid = pid
        self._starting.pop(pid, None)
        self._selector.register(sock, selectors.EVENT_READ, lambda _mask: self._on_data(link))

    def _drop(self, link: _Link) -> None:
        self._selector.unregister(link.sock)
        link.sock.close()
        del self._links[link.number]
        if link.deadline is None:
            self._running -= 1
        self._watching -= link.watching
        self._looks = 0
        if self._links and not self.is_registered(link.pid) and is_running(link.pid):
            # It ends, or becomes another program which has not yet spoken.
            self._starting[link.pid] = time.monotonic() + EXEC_PATIENCE_S
        if link.deadline is None and self.is_registered(link.pid):
            self._parting = link.pid
        # Its last act may have woken another thread, so nobody is released before a closer look.
        self._due = True

    # ---- messages ----

    def _on_data(self, link: _Link) -> None:
        try:
            data = link.sock.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._drop(link)
            return
        if link.buffer:
            data = link.buffer + data
        whole = len(data) - len(data) % REQUEST.size
        link.buffer = data[whole:]
        self._looks = 0
        self._signalled = False
        for operation, tid, argument in REQUEST.iter_unpack(data[:whole]):
            if tid != link.tid:
                link.tid, link.host_tid = tid, 0
            if not self._obey(link, operation, argument):
                self._drop(link)
                return
        self._settle()

    def _obey(self, link: _Link, operation: int, argument: int) -> bool:
        """Serve one request; False where it makes no sense at this point and the link must go."""
        if operation == CANCEL:
            self._cancel(link, at_once=argument == 1)
            return True
        if link.deadline is not None:
            return False  # a thread that waits has nothing else to say
        if operation in (WAIT, SPIN):
            self.waits += operation == WAIT and link.number == 0
            self._suspend(link, argument)
        elif operation == WATCH:
            self._suspend(link, argument, watching=True)
        elif operation == BORN:
            link.tid = 0  # the number was the parent's
            link.child = argument == 1
            self._answer(link)
            self._suspend(link, self._now)
            link.takes_turn = True
        elif operation == HELLO:
            self._answer(link)
        else:
            return False
        return True

    def _suspend(self, link: _Link, deadline: int, *, watching: bool = False) -> None:
        link.deadline = deadline
        link.watching = watching
        link.releases_before = self._releases
        self._running -= 1
        self._watching += watching

    def _cancel(self, link: _Link, *, at_once: bool) -> None:
        if link.deadline is None:
            return  # the answer is on its way already and is the only one
        # Where nobody ran since it began to watch, only the host can have woken it, by the answer
        # to its own call. It goes on as if it had never said that it waits: real time decided that.
        undisturbed = not self._running and link.releases_before == self._releases
        if at_once or len(self._links) == 1 or undisturbed:
            self._release(link)
            return
        self._watching -= link.watching
        link.watching = False
        link.takes_turn = True
        link.deadline = self._now

    def _release(self, link: _Link) -> None:
        link.deadline = None
        self._watching -= link.watching
        link.watching = link.takes_turn = False
        self._running += 1
        self._releases += 1
        self._answer(link)

    def _answer(self, link: _Link) -> None:
        with contextlib.suppress(OSError):  # it may have died; its end of file is read next
            link.sock.send(ANSWER.pack(self._now))

    # ---- the rule ----

    def _settle(self) -> None:
        """Release at once where that is clearly right, else look at the next turn."""
        links = len(self._links)
        if (
            links == 1
            and not self._running
            and not self._watching
            and not self._starting
            and not self._due
            and not self._in_flight()
        ):
            self._release_next()
        elif links > self._running:
            self._due = True

    def _examine(self) -> float:
        """Let the program go on if it is time; else ask for a turn after the returned pause."""
        if self._end is not None and self._now >= self._end and not self._end_told:
            self._tell_end()
        if len(self._links) == self._running:
            return 0.0  # nobody waits
        if (
            self._is_parting()
            or self._is_starting()
            or (self._signalled and not self._tasks.still(self.pids))
        ):
            return self._look_again()
        self._signalled = False
        if self._running:
            if (self._in_flight() and self._looks < EAGER_LOOKS) or not self._rest_is_blocked():
                return self._look_again()
            if self._watcher_is_awake() or self._thread_speaks():
                return self._look_again()  # what blocks the others may have woken it
            self.blocked += self._release_next()
            return 0.0
        if self._watching and not self._looks:
            return self._look_again()  # the host may have a connection or a call to take in
        if self._watcher_is_awake() or self._word_in_flight():
            if self._looks < EAGER_LOOKS or not self._tasks.still(self.pids):
                return self._look_again()
            self.forced += 1
        if self._release_next():
            self._look_later()
        return PAUSE_S

    def _look_later(self) -> None:
        """Others wait for the thread that was just released; it may block without a word."""
        self._due = len(self._links) > self._running

    def _look_again(self) -> float:
        self._due = True
        self._looks += 1
        return 0.0 if self._looks < EAGER_LOOKS and not self._running else PAUSE_S

    def _release_next(self) -> bool:
        """Move time to the earliest deadline and release its thread; False if nobody can."""
        waiting = [link for link in self._links.values() if link.deadline is not None]
        if self._end_told:
            waiting = [link for link in waiting if link.takes_turn]
        if not waiting:
            return False
        link = min(waiting, key=_turn)
        deadline = FOREVER if link.deadline is None else link.deadline
        word = self._next_word()
        if word is not None and word < deadline and not link.takes_turn:
            if self._end is None or word < self._end:
                self._move_to(word)
                self._due = True
                return False
            deadline = word  # the end comes first
        if not link.takes_turn and self._end is not None and deadline >= self._end:
            if self._move_to(self._end):
                self._tell_end()
            return False
        if deadline == FOREVER or not self._move_to(deadline):
            return False
        self._release(link)
        return True

    def _move_to(self, target: int) -> bool:
        """Move time to the target; False where the host's words woke somebody on the way."""
        if not self._watching:
            if target > self._now:
                self._set_now(target)
            return True
        hang_ups = self._hang_ups()
        while self._now < target:
            self._set_now(min(target, self._now + WATCH_STEP_NS))
            if self._in_flight() or self._hang_ups() != hang_ups:
                self._due = True
                return False
        return True

    def _tell_end(self) -> None:
        """Tell the owner that time is up. What it does to the program shows before time goes on."""
        self._end_told = True
        self._signalled = True
        self._due = True
        self._looks = 0
        self.on_end()

    # ---- what is under way ----

    def _in_flight(self) -> bool:
        """Tell whether we have yet to read something, or the program where it watches for it."""
        for sock in self._busy_sockets():
            if self._pending(sock, termios.FIONREAD):
                return True
            if self._watching and self._pending(sock, termios.TIOCOUTQ):
                return True
        return False

    def _word_in_flight(self) -> bool:
        """Tell whether anything is in flight, the words of the program's threads to us included."""
        return self._in_flight() or self._thread_speaks()

    def _thread_speaks(self) -> bool:
        """Tell whether a thread of the program has said something that was not read yet."""
        return any(self._pending(link.sock, termios.FIONREAD) for link in self._links.values())

    def _pending(self, sock: socket.socket, request: int) -> bool:
        try:
            fcntl.ioctl(sock, request, self._count)
        except (OSError, ValueError):
            return False  # closed meanwhile
        return any(self._count)

    def _watcher_is_awake(self) -> bool:
        """Tell whether a descriptor woke a thread that has not yet told us.

        It must be asked before the bytes in flight: an awake thread tells us and sleeps again.
        """
        for link in self._links.values():
            if link.watching and not is_asleep(link.pid, self._host_tid(link)):
                return True
        return False

    def _host_tid(self, link: _Link) -> int:
        if not link.host_tid:
            found = (task for task in tasks_of(link.pid) if task.inner_tid == link.tid)
            link.host_tid = next((task.host_tid for task in found), 0)
        return link.host_tid

    def _rest_is_blocked(self) -> bool:
        """Tell whether all threads that have not said that they wait are asleep for good."""
        if any(link.child and link.deadline is None for link in self._links.values()):
            return False  # a child without a number yet: it will dial at once
        resting = {
            (link.pid, link.tid) for link in self._links.values() if link.deadline is not None
        }
        # Of a process that has ended no task is left to move; its connections are about to tell.
        return self._tasks.still(self.pids, resting) and all(map(is_running, self.pids))

    def _is_parting(self) -> bool:
        """Tell whether a process whose thread has ended is about to end as a whole.

        Its other threads are then on their way out, or gone already without our having read so;
        where only that one has ended, the others sleep as before.
        """
        if self._parting is None:
            return False
        if self.is_registered(self._parting):
            resting = {(x.pid, x.tid) for x in self._links.values() if x.deadline is not None}
            if not (self._tasks.still([self._parting], resting) and is_running(self._parting)):
                return True
        self._parting = None
        return False

    def _is_starting(self) -> bool:
        now = time.monotonic()
        for pid, until in list(self._starting.items()):
            # A program that loads slowly runs; one that sleeps and says nothing has no clock.
            if not is_running(pid) or (self._tasks.still([pid]) and now >= until):
                del self._starting[pid]
        return bool(self._starting)


def _turn(link: _Link) -> tuple[int, int]:
    return (FOREVER if link.deadline is None else link.deadline, link.number)
