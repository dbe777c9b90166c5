"""Qubes OS's qmemman: every guest what it uses and three tenths, and all the rest shared out.

Idea: a guest would like to have what it uses and a part for its page cache. With enough for all,
what is left goes to all in proportion to that, so that nothing lies idle on the host. With too
little, those that have more than they would like give first. Small changes are not worth a call.
Formula: pref = max(1.3 used, 200 MiB), available = free - 50 MiB - sum(pref - size).
    available > 0:  size' = 0.999 (pref + pref / sum(pref) x available)
    else:           donors to pref; size' = 0.999 (size + pref / sum(pref of the others) x s)
where s is the free memory and, with a minus, what donors free: upstream's sign lowers what others
get in the same round, and a round later they get it. `released=added` is the plus that is meant.
Cost: a few passes over the guests a snapshot.
Weak spot: a guest's used memory is taken at its word and at once, so sizes follow every swing; and
idle guests hold all of the host.
Source: QubesOS/qubes-core-admin, qubes/qmemman and its unit tests, restated. There requests wait
for one another in steps of 0.1 s; here a request that must wait does so until the next snapshot.
What a guest uses is its available less its usable memory, which is our reading of its report; and
no guest is taken below its floor. Xen's per-page overhead and offsets of targets are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from virtlab.model.plan import MemoryPlan, Rejected, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import NS_PER_S
from virtlab.policies.coordination.qmemman_balance import (
    FREE_LEFT,
    MIB,
    Domain,
    Sign,
    balance,
    freed_for,
    preferred,
    worth_it,
)
from virtlab.policies.parameters import tunable

__all__ = ["Qmemman"]

_KIB = 1024
_TRIES = 5
_NEW_GUEST_LEFT = 25 * MIB  # left free beside what a new guest is to get
_FREEING_S = 3
_FREEING_A_SECOND = 100 * MIB  # memory for a new guest is expected to come at least so fast


@dataclass(slots=True)
class _Run:
    """Sizes that are asked for one after the other, each when there is room for it."""

    waiting: deque[tuple[str, int]]
    asked: dict[str, int] = field(default_factory=dict)  # what they held when they were asked
    tries: int = 0


@dataclass(slots=True)
class _Wish:
    """Memory for a guest that is to start."""

    wanted: int
    began_ns: int | None = None
    free_then: deque[tuple[int, int]] = field(default_factory=deque)  # moment and free memory
    asked: dict[str, int] = field(default_factory=dict)  # what those asked last held then


@dataclass(slots=True)
class Qmemman:
    """Give all memory of the host to its guests, by what they use."""

    released: str = tunable(
        "subtracted",
        unit="sign",
        effect="whether donors' memory is taken from what others get in a round, as upstream, or "
        "added",
        choices=("subtracted", "added"),
    )
    freed: bool | None = None  # whether the last memory that was asked for came; None: not yet
    _run: _Run | None = None
    _wish: _Wish | None = None
    _no_progress: set[str] = field(default_factory=set)
    _free: int = 0  # beyond what is promised, as of this snapshot and what was asked since

    def free(self, kib: int) -> None:
        """Ask for free memory for a guest that is to start; `freed` will tell whether it came."""
        self.freed, self._wish, self._run = None, _Wish(kib * _KIB), None
        self._no_progress.clear()

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Go on with sizes that wait for room, or work out new ones."""
        guests = {one.guest: one for one in host.guests if one.has_balloon and one.movable}
        self._free = _free_bytes(host)
        if self._wish is not None:
            actions = tuple(self._fulfil(self._wish, guests, host.time_ns))
            return self._plan(guests, actions, "memory for a new guest is asked for")
        if self._run is None:
            self._run = self._new_run(guests)
        if self._run is None:
            return self._plan(guests, (), "no change is worth its calls")
        actions = tuple(self._go_on(self._run, guests))
        return self._plan(guests, actions, f"{self._free // MIB} MiB free beyond promises")

    def _plan(
        self, guests: dict[str, GuestMemory], actions: tuple[Resize, ...], because: str
    ) -> MemoryPlan:
        silent = sorted(name for name, one in guests.items() if _used(one) is None)
        stuck = sorted(self._no_progress & guests.keys())
        return MemoryPlan(
            actions,
            because=because,
            rejected=(
                *(Rejected(f"resize {name}", "it does not report what it uses") for name in silent),
                *(Rejected(f"resize {name}", "it made no progress") for name in stuck),
            ),
        )

    # The balance.

    def _new_run(self, guests: dict[str, GuestMemory]) -> _Run | None:
        self._forgive(guests)
        domains = self._domains(guests)
        if not domains:
            return None
        sign: Sign = -1 if self.released == "subtracted" else 1
        targets = balance(domains, self._free - FREE_LEFT, sign)
        if not worth_it(domains, targets, self._free):
            return None
        return _Run(deque(targets))

    def _forgive(self, guests: dict[str, GuestMemory]) -> None:
        """Let those take part again that got near their targets, or have less than they like."""
        for name in sorted(self._no_progress):
            guest = guests.get(name)
            domain = None if guest is None else _domain(guest)
            if domain is None or _near(domain) or domain.actual < preferred(domain):
                self._no_progress.discard(name)

    def _domains(self, guests: dict[str, GuestMemory]) -> list[Domain]:
        return [
            domain
            for name, guest in guests.items()
            if name not in self._no_progress and (domain := _domain(guest)) is not None
        ]

    def _go_on(self, run: _Run, guests: dict[str, GuestMemory]) -> Iterator[Resize]:
        """Ask for what there is room for; after some tries give what there is, and end."""
        while run.waiting:
            name, target = run.waiting[0]
            domain = _domain(guests[name]) if name in guests else None
            if domain is None:
                run.waiting.popleft()
                continue
            room = self._free - (target - domain.actual)
            if room < 0.9 * FREE_LEFT:
                run.tries += 1
                if run.tries <= _TRIES:
                    return
                self._blame(run, guests)
                run.waiting.clear()
                target = self._free + domain.actual - FREE_LEFT
                if target > domain.actual:
                    yield self._ask(guests[name], target, "all that there is room for")
                break
            run.waiting.popleft()
            run.asked[name] = guests[name].actual_kib
            run.tries = 0
            why = f"would like {preferred(domain) // MIB} MiB"
            if target != domain.last_target:
                yield self._ask(guests[name], target, why)
        self._run = None

    def _blame(self, run: _Run, guests: dict[str, GuestMemory]) -> None:
        """Leave those out that were asked in this run and have not moved."""
        for name, held_kib in run.asked.items():
            guest = guests.get(name)
            if guest is None:
                continue
            missed = (guest.actual_kib - guest.asked_kib) * _KIB > FREE_LEFT // 4
            if missed and guest.actual_kib == held_kib:
                self._no_progress.add(name)

    def _ask(self, guest: GuestMemory, target: int, reason: str) -> Resize:
        kib = min(max(target // _KIB, guest.floor_kib), guest.max_kib)
        self._free -= max(kib - max(guest.actual_kib, guest.asked_kib), 0) * _KIB
        return Resize(guest.guest, kib, reason)

    # Memory for a new guest.

    def _fulfil(self, wish: _Wish, guests: dict[str, GuestMemory], now_ns: int) -> Iterator[Resize]:
        if self._free >= wish.wanted + _NEW_GUEST_LEFT:
            # Who has not given all that was asked of it need not go on.
            for name in sorted(wish.asked.keys() & guests.keys()):
                guest = guests[name]
                if guest.actual_kib + 200 < guest.asked_kib:
                    yield Resize(name, guest.actual_kib, "the new guest has its memory")
            self.freed, self._wish = True, None
            return
        for name, held_kib in wish.asked.items():
            if name in guests and guests[name].actual_kib == held_kib:
                self._no_progress.add(name)
        wish.began_ns = now_ns if wish.began_ns is None else wish.began_ns
        targets = freed_for(self._domains(guests), wish.wanted + FREE_LEFT - self._free)
        if targets is None or self._too_slow(wish, now_ns):
            self.freed, self._wish = False, None
            return
        wish.asked = {name: guests[name].actual_kib for name, _ in targets}
        for name, target in targets:
            yield self._ask(guests[name], target, "a new guest needs memory")

    def _too_slow(self, wish: _Wish, now_ns: int) -> bool:
        """Tell whether less came in the last seconds than a balloon should have brought."""
        wish.free_then.append((now_ns, self._free))
        while len(wish.free_then) > 1 and now_ns - wish.free_then[1][0] >= _FREEING_S * NS_PER_S:
            wish.free_then.popleft()
        then_ns, free = wish.free_then[0]
        expected = free + _FREEING_S * _FREEING_A_SECOND
        return now_ns - then_ns >= _FREEING_S * NS_PER_S and self._free < expected


def _used(guest: GuestMemory) -> int | None:
    """Return the bytes that a guest uses and could not give up."""
    if guest.available_kib is None or guest.usable_kib is None:
        return None
    return max(guest.available_kib - guest.usable_kib, 0) * _KIB


def _domain(guest: GuestMemory) -> Domain | None:
    used = _used(guest)
    if used is None:
        return None
    target = guest.target_kib or 0
    return Domain(
        guest.guest,
        used,
        guest.max_kib * _KIB,
        max(guest.actual_kib, target) * _KIB,
        guest.asked_kib * _KIB,
    )


def _near(domain: Domain) -> bool:
    """Tell whether a guest has given nearly all that was asked of it."""
    return domain.actual <= domain.last_target + FREE_LEFT // 2


def _free_bytes(host: MemorySnapshot) -> int:
    """Return what is free and not promised, as it would be on Xen, which gives at once."""
    untouched = sum(
        max(one.actual_kib - one.rss_kib, 0) for one in host.guests if one.rss_kib is not None
    )
    promised = sum(max(one.asked_kib - one.actual_kib, 0) for one in host.guests)
    return (host.host_free_kib - host.host_reserve_kib - untouched - promised) * _KIB
