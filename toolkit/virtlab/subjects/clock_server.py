"""The lockstep virtual clock's server: virtual time moves only while the whole program waits.

Every thread of the program holds one connection (`clock/protocol.h`). What makes a run repeatable:

- time moves only when every registered thread waits and no byte is in flight, neither on a clock
  connection nor on one of the host's; then it jumps to the earliest deadline;
- exactly one thread is released at a time, the one with the least (deadline, registration number).
  A thread that something else woke (a descriptor, a signal) or that is newly born takes its turn in
  the same order;
- a thread that is blocked where the library does not see it (mutex, join, pipe, child) would
  stop time. The kernel tells that it sleeps; once it has slept for some real time the others go
  on;
- bytes that nobody is about to read must not stop time either: with the whole program asleep, it
  goes on (`forced`);
- between a program's exec and its first word no time passes, nor between a signal that one thread
  sends and the waking of another.

The first two are exact; the others take some real milliseconds to notice when they first happen.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from virtlab.model.units import NS_PER_MS
from virtlab.subjects.clock_link import (
    BORN,
    CANCEL,
    FOREVER,
    HELLO,
    LEAVES,
    NAME,
    SPIN,
    STIR,
    WAIT,
    WATCH,
    Link,
    turn_of,
)
from virtlab.subjects.clock_page import ClockPage
from virtlab.subjects.clock_stillness import Stillness

__all__ = ["ClockServer"]

PEER_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid

LINKS_MAX = 512  # `Limits.processes` counts threads: four times as many, and all have descriptors
WATCH_STEP_NS = (
    10 * NS_PER_MS
)  # the host may speak unasked at any instant: it is heard within this time
# Linux adds up to 50 us to each sleep (timer slack, PR_SET_TIMERSLACK of prctl(2)). Here sleeps are
# exact, and only who has slept for less again and again sleeps as long as there; without a least
# length, sleeps of 1 ns would never come to the scenario's end.
SHORT_WAIT_NS = NS_PER_MS // 20
SHORT_WAITS = 1_000
EAGER_LOOKS = 20  # looks without a pause, as an answer is typically some microseconds away
PAUSE_S = 0.0005


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
        refused: how many connections were cut off, as they were used as the library never does.
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
        on_leave: Callable[[str, int], None] = lambda _path, _reach: None,
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
            on_leave: told of a program that starts without a clock: its path, and a value of
                `enum clock_reach`.
        """
        self.on_end = on_end
        self.waits = self.forced = self.refused = 0
        self.socket_path = directory / "clock.sock"
        self._selector = selector
        self._advance = advance
        self._next_word = next_word
        self._hang_ups = hang_ups
        self._on_leave = on_leave
        self._now = 0
        self._end: int | None = None
        self._end_told = False
        self._links: dict[int, Link] = {}
        self._next_number = 0
        self._running = 0  # links without a deadline
        self._releases = 0
        self._short_waits = 0
        self._watching = 0  # waiting links that a descriptor may wake
        self._due = False  # something is to be examined at the next turn
        self._looks = 0  # examinations since the program's last word
        self._signalled = False  # on_end has acted and the program has not yet reacted
        self._stillness = Stillness(self._links, busy_sockets)
        self._page = ClockPage(directory / "clock.page")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket_path.unlink(missing_ok=True)
        self._listener.bind(str(self.socket_path))
        # The program may run as another user; the folder around the socket decides who gets here.
        self.socket_path.chmod(0o777)
        self._listener.listen(256)
        selector.register(self._listener, selectors.EVENT_READ, self._on_connection)

    # ---- what the owner sees ----

    @property
    def page_path(self) -> Path:
        """The page of `clock/protocol.h`."""
        return self._page.path

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
        self._page.step_realtime(ns)

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

    def _set_now(self, ns: int) -> None:
        self._advance(ns)  # first: nobody may see a time that the host has not reached
        self._now = ns
        self._page.show(ns)

    # ---- connections ----

    def _on_connection(self, _mask: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # the program died while it was dialling
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
        pid = PEER_CREDENTIALS.unpack(credentials)[0]
        if len(self._links) >= LINKS_MAX:
            self.refused += 1
            sock.close()
            return
        sock.setblocking(False)  # who reads no answers must not hold up the lab
        link = Link(self._next_number, sock, pid)
        self._next_number += 1
        self._links[link.number] = link
        self._running += 1
        self._stillness.has_spoken(pid)
        self._selector.register(sock, selectors.EVENT_READ, lambda _mask: self._on_data(link))

    def _drop(self, link: Link) -> None:
        self._selector.unregister(link.sock)
        link.sock.close()
        del self._links[link.number]
        if link.deadline is None:
            self._running -= 1
        self._watching -= link.watching
        self._looks = 0
        self._stillness.has_left(link)
        # Its last act may have woken another thread, so nobody is released before a closer look.
        self._due = True

    # ---- messages ----

    def _on_data(self, link: Link) -> None:
        try:
            data = link.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(link)
            return
        self._looks = 0
        self._signalled = False
        for operation, tid, argument in link.take(data):
            if tid != link.tid:
                link.tid, link.host_tid = tid, 0
            if not self._obey(link, operation, argument):
                self.refused += 1
                self._drop(link)
                return
        self._settle()

    def _obey(self, link: Link, operation: int, argument: int) -> bool:
        """Serve one request; False where it makes no sense at this point and the link must go."""
        if operation == CANCEL:
            self._cancel(link, at_once=argument == 1)
            return True
        if link.deadline is not None:
            return False  # a thread that waits has nothing else to say
        if operation in (WAIT, SPIN):
            self.waits += operation == WAIT and link.number == 0
            self._suspend(link, self._long_enough(argument))
        elif operation == WATCH:
            self._suspend(link, self._long_enough(argument), watching=True)
        elif operation == BORN:
            link.tid = 0  # the number was the parent's
            link.child = argument == 1
            self._answer(link)
            self._suspend(link, self._now)
            link.takes_turn = True
        elif operation == HELLO:
            self._answer(link)
        elif operation == NAME:
            link.name(argument)
        elif operation == LEAVES:
            self._on_leave(link.take_name(), argument)
        elif operation == STIR:
            self._stillness.has_stirred()
        else:
            return False
        return True

    def _long_enough(self, deadline: int) -> int:
        """Return when a wait ends at the earliest: of many short ones, none is shorter still."""
        soonest = self._now + SHORT_WAIT_NS
        if deadline >= soonest:
            return deadline
        self._short_waits += 1
        return deadline if self._short_waits <= SHORT_WAITS else soonest

    def _suspend(self, link: Link, deadline: int, *, watching: bool = False) -> None:
        link.deadline = deadline
        link.watching = watching
        link.releases_before = self._releases
        self._running -= 1
        self._watching += watching

    def _cancel(self, link: Link, *, at_once: bool) -> None:
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

    def _release(self, link: Link) -> None:
        link.deadline = None
        self._watching -= link.watching
        link.watching = link.takes_turn = False
        self._running += 1
        self._releases += 1
        self._answer(link)

    def _answer(self, link: Link) -> None:
        if not link.answer(self._now):
            # An honest thread has two answers under way at most. Its end of file drops this one.
            self.refused += 1
            link.sock.shutdown(socket.SHUT_RDWR)

    # ---- the rule ----

    def _settle(self) -> None:
        """Release at once where that is clearly right, else look at the next turn."""
        links = len(self._links)
        if (
            links == 1
            and not self._running
            and not self._watching
            and not self._stillness.expects_a_start
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
            self._stillness.is_parting()
            or self._stillness.is_starting()
            or self._stillness.is_stirred()
            or (self._signalled and not self._stillness.all_asleep())
        ):
            return self._look_again()
        self._signalled = False
        if self._running:
            eager = self._looks < EAGER_LOOKS
            if (eager and self._in_flight()) or not self._stillness.rest_is_blocked():
                return self._look_again()
            if self._stillness.watcher_is_awake() or self._stillness.thread_speaks():
                return self._look_again()  # what blocks the others may have woken it
            self._release_next()
            return PAUSE_S
        if self._watching and not self._looks:
            return self._look_again()  # the host may have a connection or a call to take in
        if self._stillness.watcher_is_awake() or self._word_in_flight():
            if self._looks < EAGER_LOOKS or not self._stillness.all_asleep():
                return self._look_again()
            self.forced += 1
        self._release_next()
        return PAUSE_S

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
        link = min(waiting, key=turn_of)
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
        # Where others wait for this one: it may block without a word.
        self._due = len(self._links) > self._running
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

    def _in_flight(self) -> bool:
        """Tell whether we have yet to read something, or the program where it watches for it."""
        return self._stillness.in_flight(watched=self._watching > 0)

    def _word_in_flight(self) -> bool:
        """Tell whether anything is in flight, the words of the program's threads to us included."""
        return self._in_flight() or self._stillness.thread_speaks()
