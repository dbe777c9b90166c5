"""Making changes: one call after the other, past whoever does not answer.

The next call is made when the last one was answered, which is gentle with libvirtd and keeps the
order of a plan. A guest whose lock is held answers after half a minute: after a moment others go on
over other links, and that guest keeps its own until it answers. libvirtd has twenty workers and
takes five calls of a connection at a time, so only a few may hang; beyond them nothing is changed
until one of them is answered.

Before the first change of a tick a guest is asked whether a migration or the like runs on it, since
that takes the guest's lock as well.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from virtlab.hosts.real.link import HostLink
from virtlab.libvirt_rpc.client import Answer
from virtlab.model.units import NS_PER_MS

__all__ = ["LOST", "Actor", "Call", "OnDone"]

_MOMENT_NS: Final = 50 * NS_PER_MS  # a balloon's call takes up to 14 ms
_HANGING_MAX: Final = 8

LOST: Final = "libvirtd hung up before it answered"

OnDone = Callable[[Answer | str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changes a guest."""

    guest: str  # its life
    procedure: str
    args: tuple[Any, ...]
    done: OnDone  # is given the answer, or why there is none


@dataclass(slots=True)
class _Flying:
    call: Call
    link: HostLink
    since_ns: int


class Actor:
    """Makes calls over as many links as there are guests that hang, and one."""

    def __init__(
        self, selector: selectors.BaseSelector, path: Path, now_ns: Callable[[], int]
    ) -> None:
        """Prepare; links are opened when they are needed.

        Args:
            selector: its keys carry the callback as data.
            path: of libvirtd's socket.
            now_ns: a clock that never goes back.
        """
        self._selector = selector
        self._path = path
        self._now_ns = now_ns
        self._queue: deque[Call] = deque()
        self._flying: dict[str, _Flying] = {}
        self._idle: list[HostLink] = []
        self._current: str | None = None

    @property
    def busy(self) -> frozenset[str]:
        """Return the guests that have not answered yet."""
        return frozenset(self._flying)

    @property
    def idle(self) -> bool:
        """Tell whether nothing is left to be done but waiting for who hangs."""
        return not self._queue and self._current is None

    def make(self, calls: Iterable[Call]) -> None:
        """Make calls, in this order."""
        self._queue.extend(calls)
        self.turn()

    def make_next(self, calls: Sequence[Call]) -> None:
        """Make calls before those that wait; for what comes of an answer."""
        self._queue.extendleft(reversed(calls))

    def drop(self) -> None:
        """Give up on the calls that were not made yet."""
        queue, self._queue = self._queue, deque()
        for call in queue:
            call.done("there was no time left for it")

    def turn(self) -> int | None:
        """Go on where one hangs; return when that is due next."""
        while True:
            if self._current is not None:
                flying = self._flying[self._current]
                due_ns = flying.since_ns + _MOMENT_NS
                if self._now_ns() < due_ns:
                    return due_ns
                self._current = None
            if not self._queue or len(self._flying) >= _HANGING_MAX:
                return None
            call = self._queue.popleft()
            if call.guest in self._flying:
                call.done("its last call has not been answered")
            else:
                self._send(call)

    def close(self) -> None:
        """Hang up; what was not answered is done, as far as anybody knows."""
        self._queue.clear()
        flying, self._flying, self._current = self._flying, {}, None
        for one in flying.values():
            one.link.close()
        for link in self._idle:
            link.close()
        self._idle.clear()

    def _send(self, call: Call) -> None:
        try:
            link = self._idle.pop() if self._idle else self._open()
        except OSError as error:
            call.done(f"libvirtd does not answer: {error.strerror or error}")
            return
        self._flying[call.guest] = _Flying(call, link, self._now_ns())
        self._current = call.guest
        link.ask(call.procedure, *call.args, then=lambda answer: self._answered(call.guest, answer))

    def _open(self) -> HostLink:
        link = HostLink(self._selector, self._path, lambda: self._lost(link))
        return link

    def _answered(self, guest: str, answer: Answer) -> None:
        flying = self._flying.pop(guest)
        self._idle.append(flying.link)
        if self._current == guest:
            self._current = None
        flying.call.done(answer)
        self.turn()

    def _lost(self, link: HostLink) -> None:
        self._idle = [one for one in self._idle if one is not link]
        for guest, flying in list(self._flying.items()):
            if flying.link is link:
                del self._flying[guest]
                if self._current == guest:
                    self._current = None
                flying.call.done(LOST if link.refusal is None else link.refusal)
