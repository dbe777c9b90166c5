"""XAPI's squeezed: every guest at the same part of its range, and those that are stuck left out.

Idea: what the host has beyond the guests' minima is shared out in proportion to their ranges, so
that no guest's size says anything of its need. Memory is freed first and given afterwards (two
phases), so that nobody is told to grow into memory that another has not given yet. A guest that
misses its target and made no progress for five seconds is stuck: it is left out until it moves, and
the others make up for it.
Formula: part = (free + sum(size - minimum) - wanted) / sum(maximum - minimum), between 0 and 1;
target = minimum + part x (maximum - minimum).
Cost: two passes over the guests a snapshot while a request runs, one in ten seconds otherwise.
Weak spot: it never looks into a guest: an idle one gets as much as a busy one, and one that needs
all of its range gets the part that all get. Targets are set in one step, however far.
Source: xapi-project/xen-api, ocaml/squeezed and its design page, restated. There a loop turns once
a second; here once a snapshot. Xen gives memory when it is given, KVM when it is touched: what a
guest has not touched counts as taken, as it would be there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from virtlab.model.plan import MemoryPlan, Rejected, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib
from virtlab.policies.coordination.squeezed_request import Domain, Request, Step, proportional
from virtlab.policies.parameters import tunable

__all__ = ["Result", "Squeezed"]

_TOLERANCE_KIB = 512  # so much more than is to be free is still balanced


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a request for memory."""

    outcome: Literal["met", "cannot free", "refused"]
    kib: int  # what was freed, or reserved; 0 where it failed
    inactive: tuple[str, ...]  # guests that could have balloons moved, and did not


@dataclass(frozen=True, slots=True)
class _Wish:
    """Memory that somebody asks the host to have free, beyond what is free always."""

    ticket: int
    least_kib: int
    most_kib: int
    reserve: bool


@dataclass(slots=True)
class Squeezed:
    """Share the host's memory by the guests' ranges; free and reserve memory on request."""

    pool_mib: int = tunable(
        72, unit="MiB", effect="left free beside the host's reserve (64 for emergencies, and 8)",
        at_least=0,
    )  # fmt: skip
    stuck_s: float = tunable(
        5.0, unit="s", effect="without progress for longer, a guest is stuck", at_least=0
    )
    poll_s: float = tunable(10.0, unit="s", effect="time between looks at the balance", at_least=0)
    inaccuracy_kib: int = tunable(4, unit="KiB", effect="so far off is at the target", at_least=0)
    # What came of requests, by ticket.
    results: dict[int, Result] = field(default_factory=dict)
    _reserved: dict[int, int] = field(default_factory=dict)  # KiB by ticket
    _wishes: deque[_Wish] = field(default_factory=deque)
    _tickets: int = 0
    _request: Request | None = None
    _wish: _Wish | None = None  # that the request is for; None: it is for the balance
    _polled_ns: int | None = None

    # What others ask for.

    def free(self, kib: int) -> int:
        """Ask for so much free memory; return the ticket under which the result will stand."""
        return self._ask(kib, kib, reserve=False)

    def free_range(self, least_kib: int, most_kib: int) -> int:
        """Ask for as much free memory as a guest of such a range would be given."""
        return self._ask(least_kib, most_kib, reserve=False)

    def reserve(self, kib: int) -> int:
        """Ask for so much free memory, and keep it for whoever has the ticket."""
        return self._ask(kib, kib, reserve=True)

    def release(self, ticket: int) -> None:
        """Give a reservation up; where there is none under this ticket, nothing happens."""
        self._reserved.pop(ticket, None)

    def _ask(self, least_kib: int, most_kib: int, *, reserve: bool) -> int:
        if not 0 <= least_kib <= most_kib:
            raise ValueError(f"{least_kib} to {most_kib} KiB cannot be had")
        self._tickets += 1
        self._wishes.append(_Wish(self._tickets, least_kib, most_kib, reserve))
        return self._tickets

    # The loop, a turn a snapshot.

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Go on with the request that runs, or begin one where there is something to do."""
        domains = [self._domain(guest) for guest in host.guests]
        free_kib = self._free_kib(host)
        if self._request is None:
            self._begin(domains, free_kib, host.time_ns)
        if self._request is None:
            return MemoryPlan(because="balanced, and nothing is asked for")
        wish, step = self._wish, self._request.step(domains, free_kib, host.time_ns)
        if step.outcome != "goes on":
            self._end(step, free_kib)
        what = "to balance" if wish is None else f"to free {wish.most_kib // KIB_PER_MIB} MiB"
        return _plan(domains, step, f"{what}: {free_kib // KIB_PER_MIB} MiB free, {step.outcome}")

    def _begin(self, domains: list[Domain], free_kib: int, now_ns: int) -> None:
        if self._wishes:
            self._wish = wish = self._wishes.popleft()
            wanted_kib = self._always_kib + self._ideal_kib(wish, domains, free_kib)
            least_kib = self._always_kib + wish.least_kib
            self._request = self._new(wanted_kib, least_kib)
        elif self._polled_ns is None or now_ns - self._polled_ns >= self.poll_s * NS_PER_S:
            self._polled_ns = now_ns
            # A dry turn: only what would change something is worth a request.
            if self._balance().step(domains, free_kib, now_ns).moves:
                self._wish, self._request = None, self._balance()

    def _end(self, step: Step, free_kib: int) -> None:
        wish, self._request, self._wish = self._wish, None, None
        if wish is None or step.outcome == "goes on":
            return
        freed_kib = 0
        if step.outcome == "met":
            freed_kib = max(wish.least_kib, min(free_kib - self._always_kib, wish.most_kib))
            if wish.reserve:
                self._reserved[wish.ticket] = freed_kib
        self.results[wish.ticket] = Result(step.outcome, freed_kib, step.inactive)

    @property
    def _always_kib(self) -> int:
        return mib(self.pool_mib)

    def _new(self, wanted_kib: int, least_kib: int) -> Request:
        stuck_ns = round(self.stuck_s * NS_PER_S)
        return Request(
            wanted_kib, lambda kib: kib >= least_kib, self._always_kib, stuck_ns=stuck_ns
        )

    def _balance(self) -> Request:
        always_kib = self._always_kib
        return Request(
            always_kib,
            lambda kib: kib - always_kib < _TOLERANCE_KIB,
            always_kib,
            stuck_ns=round(self.stuck_s * NS_PER_S),
        )

    def _ideal_kib(self, wish: _Wish, domains: list[Domain], free_kib: int) -> int:
        """Return what a guest of the wish's range would be given beside those there are."""
        if wish.least_kib == wish.most_kib:
            return wish.least_kib
        guest = Domain("", wish.least_kib, 0, wish.most_kib, 0)
        return proportional([*domains, guest], free_kib, self._always_kib)[""]

    def _free_kib(self, host: MemorySnapshot) -> int:
        untouched_kib = sum(
            max(guest.actual_kib - guest.rss_kib, 0)
            for guest in host.guests
            if guest.rss_kib is not None
        )
        reserved_kib = host.host_reserve_kib + sum(self._reserved.values())
        return host.host_free_kib - untouched_kib - reserved_kib

    def _domain(self, guest: GuestMemory) -> Domain:
        size_kib = guest.actual_kib
        if not (guest.has_balloon and guest.movable):
            return Domain(guest.guest, size_kib, size_kib, size_kib, size_kib, can_balloon=False)
        return Domain(
            guest.guest,
            min(guest.floor_kib, guest.max_kib),
            guest.asked_kib,
            guest.max_kib,
            size_kib,
            self.inaccuracy_kib,
        )


def _plan(domains: list[Domain], step: Step, because: str) -> MemoryPlan:
    present = {domain.name: domain.target for domain in domains}
    return MemoryPlan(
        tuple(
            Resize(name, target, because)
            for name, target in sorted(step.targets.items())
            if target != present[name]
        ),
        because=because,
        rejected=tuple(
            Rejected(f"resize {name}", "it is stuck: no progress towards its target")
            for name in step.inactive
        ),
    )
