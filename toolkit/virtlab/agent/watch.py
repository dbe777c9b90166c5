"""Looking at a host over one link: one bulk call a tick, and questions only where something is new.

What bulk statistics do not tell (affinities, weights, notes) is asked for when a guest comes, when
an event says that it has changed, and after libvirtd was away; nothing of it takes a guest's lock.
A look ends when all answers are there, or when its time is up: a guest of which something is still
missing is then seen, and left alone.
"""

from __future__ import annotations

import logging
import selectors
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from virtlab.agent.known_guest import KnownGuest
from virtlab.hosts.real.link import HostLink, OnAnswer
from virtlab.libvirt_rpc.client import Answer, Event
from virtlab.libvirt_rpc.errors import ErrorCode
from virtlab.model.units import NS_PER_S

__all__ = ["HostFacts", "Question", "Sense", "Watch"]

_ACTIVE: Final = 1  # virConnectGetAllDomainStatsFlags
_NOWAIT: Final = 1 << 29
_TUNABLE, _METADATA_CHANGE = 17, 23  # virDomainEventID
_RETRY_NS: Final = NS_PER_S // 2
_JOB_LASTS: Final = frozenset({1, 2})  # virDomainJobType: bounded, unbounded

Question = tuple[str, tuple[Any, ...], OnAnswer]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class HostFacts:
    """What does not change while the host runs, and its memory, which does."""

    pcpus: int = 0  # those that are offline included
    online: frozenset[int] = frozenset()
    memory_kib: int = 0
    capabilities: str = ""
    memory: dict[str, int] = field(default_factory=dict)


class Sense(Protocol):
    """What one kind of daemon wants to know."""

    groups: int  # of bulk statistics
    wants_memory: bool  # of the host, at each look

    def questions(self, guest: KnownGuest, host: HostFacts) -> Iterable[Question]:
        """Return what to ask about a guest before it can be shown."""

    def host_questions(self, host: HostFacts) -> Iterable[Question]:
        """Return what to ask about the host in this look."""


class Watch:
    """Keeps the guests of a host, and looks at them when it is told to."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        path: Path,
        sense: Sense,
        now_ns: Callable[[], int],
        wall_s: Callable[[], float],
    ) -> None:
        """Prepare; `connect` opens the link.

        Args:
            selector: its keys carry the callback as data.
            path: of libvirtd's socket.
            sense: what to ask.
            now_ns: a clock that never goes back.
            wall_s: the calendar's clock.
        """
        self._wall_s = wall_s
        self._selector = selector
        self._path = path
        self._sense = sense
        self._now_ns = now_ns
        self._link: HostLink | None = None
        self._retry_ns = 0
        self._then: Callable[[], None] | None = None
        self._number = 0  # of the look; answers to an earlier one come too late for this one
        self._waiting = 0
        self._bulk_open = False  # libvirtd has not answered yet, however old the question is
        self._seen_bulk = False
        self._facts_missing = 0
        self._away = False
        self._memory_error: str | None = None
        self.host = HostFacts()
        self.guests: dict[str, KnownGuest] = {}  # by their lives
        self.seen_ns = 0  # when the last bulk statistics came
        self.seen_wall_s = 0.0
        self.outages = 0
        self.refusal: str | None = None  # why libvirtd lets nobody in

    # The link.

    @property
    def connected(self) -> bool:
        """Tell whether there is a link."""
        return self._link is not None

    def connect(self) -> None:
        """Open the link.

        Raises:
            OSError: nobody listens there.
        """
        self._link = HostLink(self._selector, self._path, self._lost, self._event)
        self._bulk_open = False
        for event in (_TUNABLE, _METADATA_CHANGE):
            self._link.ask("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", event, None)
        for guest in self.guests.values():
            guest.stale = True  # what happened meanwhile, nobody has told
            guest.open_questions = 0
        facts: list[Question] = [
            ("NODE_GET_INFO", (), self._took_node),
            ("NODE_GET_CPU_MAP", (1, 0, 0), self._took_map),
            ("CONNECT_GET_CAPABILITIES", (), self._took_capabilities),
        ]
        self._facts_missing = len(facts)
        for what, args, then in facts:
            self._link.ask(what, *args, then=partial(self._took_fact, then))

    def turn(self) -> int | None:
        """Try to connect again where that is due; return when it is due next."""
        if self._link is not None:
            return None
        now_ns = self._now_ns()
        if now_ns >= self._retry_ns:
            self._retry_ns = now_ns + _RETRY_NS
            try:
                self.connect()
            except OSError:
                return self._retry_ns
            return None
        return self._retry_ns

    def close(self) -> None:
        """Hang up."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _lost(self) -> None:
        if self._link is not None:
            self.refusal = self._link.refusal
        self._link, self._then, self._bulk_open = None, None, False
        self._retry_ns = self._now_ns() + _RETRY_NS
        if not self._away:
            self._away = True
            self.outages += 1
            _log.warning("libvirtd hung up; trying again until it answers")

    # A look.

    @property
    def looking(self) -> bool:
        """Tell whether a look has not ended yet."""
        return self._then is not None

    def look(self, then: Callable[[], None]) -> bool:
        """Look at the host; `then` is called when all is there.

        Returns:
            False where libvirtd has not answered the last look yet, so that this one is left out.
        """
        assert self._link is not None and self._then is None
        if self._bulk_open:
            return False
        self._number += 1
        self._then, self._seen_bulk, self._waiting = then, False, 0
        if not self._facts_missing:
            self._ask_all()
        return True

    def _ask_all(self) -> None:
        self.host.memory = {}  # what was told before is of another moment
        if self._sense.wants_memory:
            self._ask("NODE_GET_MEMORY_STATS", (4, -1, 0), self._took_memory)
        for what, args, then in self._sense.host_questions(self.host):
            self._ask(what, args, then)
        flags = _ACTIVE | _NOWAIT
        self._bulk_open = True
        self._ask("CONNECT_GET_ALL_DOMAIN_STATS", ((), self._sense.groups, flags), self._took_bulk)

    def give_up(self) -> bool:
        """End a look whose time is up; tell whether it shows anything."""
        then, self._then = self._then, None
        return then is not None and self._shows

    @property
    def _shows(self) -> bool:
        """Tell whether what a look cannot do without has come."""
        return self._seen_bulk and (bool(self.host.memory) or not self._sense.wants_memory)

    def _ask(self, what: str, args: tuple[Any, ...], then: OnAnswer) -> None:
        if self._link is None:  # it broke as the question before this one was sent
            return
        number = self._number
        self._waiting += 1

        def took(answer: Answer) -> None:
            then(answer)
            look = self._then
            if self._number != number or look is None:
                return
            self._waiting -= 1
            if self._waiting == 0:
                self._then = None
                if self._shows:
                    look()

        self._link.ask(what, *args, then=took)

    def _took_fact(self, then: OnAnswer, answer: Answer) -> None:
        """Take in a fact; a look that had to wait for the last one goes on."""
        then(answer)
        self._facts_missing -= 1
        if not self._facts_missing and self._then is not None:
            self._ask_all()

    def _took_node(self, answer: Answer) -> None:
        if answer.error is None:
            self.host.memory_kib = answer.results.memory

    def _took_map(self, answer: Answer) -> None:
        if answer.error is None:
            self.host.pcpus = answer.results.ret
            bits = int.from_bytes(answer.results.cpumap, "little")
            self.host.online = frozenset(p for p in range(self.host.pcpus) if bits >> p & 1)

    def _took_capabilities(self, answer: Answer) -> None:
        if answer.error is None:
            self.host.capabilities = answer.results.capabilities

    def _took_memory(self, answer: Answer) -> None:
        before = self._memory_error
        self._memory_error = None if answer.error is None else answer.error.message
        if self._memory_error is not None and self._memory_error != before:
            _log.warning("libvirtd does not tell the host's memory: %s", self._memory_error)
        if answer.error is None:
            self.host.memory = {stat.field: stat.value for stat in answer.results.params}

    def _took_bulk(self, answer: Answer) -> None:
        self._bulk_open = False
        if answer.error is not None:
            _log.warning("no statistics came: %s", answer.error.message)
            return
        if self._away:
            self._away = False
            _log.warning("libvirtd answers again")
        self._seen_bulk = True
        self.seen_ns, self.seen_wall_s = self._now_ns(), self._wall_s()
        before, self.guests = self.guests, {}
        for record in answer.results.retStats:
            if record.dom.id < 0:
                continue
            guest = KnownGuest(record.dom)
            known = before.get(guest.life)
            if known is not None:
                guest, known.fresh = known, False
            guest.take(record)
            self.guests[guest.life] = guest
            for what, args, then in self._questions(guest):
                self._ask_about(guest, what, args, then)

    def _questions(self, guest: KnownGuest) -> Iterable[Question]:
        if guest.open_questions:  # the ones of an earlier look are still on their way
            return
        if guest.migrating:
            yield self.job_question(guest)
        yield from self._sense.questions(guest, self.host)
        guest.stale = False

    def job_question(self, guest: KnownGuest) -> Question:
        """Return the question whether a job runs on a guest that lasts, such as a migration."""

        def took(answer: Answer) -> None:
            if answer.error is None:
                guest.migrating = answer.results.type in _JOB_LASTS

        return "DOMAIN_GET_JOB_INFO", (guest.dom,), took

    def _ask_about(
        self, guest: KnownGuest, what: str, args: tuple[Any, ...], then: OnAnswer
    ) -> None:
        guest.open_questions += 1

        def took(answer: Answer) -> None:
            guest.open_questions = max(guest.open_questions - 1, 0)
            if answer.error is not None and answer.error.code == ErrorCode.NO_DOMAIN:
                return  # it went in mid-tick
            then(answer)

        self._ask(what, args, took)

    # What comes unasked.

    def _event(self, event: Event) -> None:
        dom = getattr(event.values, "dom", None)
        if dom is None or event.name not in (
            "DOMAIN_EVENT_CALLBACK_TUNABLE",
            "DOMAIN_EVENT_CALLBACK_METADATA_CHANGE",
        ):
            return
        for guest in self.guests.values():
            if guest.dom.uuid == dom.uuid:
                guest.stale = True
