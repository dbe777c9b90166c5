"""Ahead of need upwards, slowly downwards, and from idle guests to pressed ones at any time.

Idea: a guest gets memory before it lacks it, by how fast it grows; what it has not used for a while
is taken back in small steps; and where the host has nothing to spare, what lies idle in one guest
goes to another that is pressed, whatever the host's own target. Memory in use is never taken.
Formula: with u unused memory, g growth a second and a lead of some intervals,
    pressed, where u - g lead < low:  size + low + band - u + g (lead + interval)
    idle, where more than a band:     size - (peak of a window + kept cache + low + band / 2)
No step up is above 256 MiB, none down above 112 MiB or a quarter of the size. What is given never
exceeds what the host has free beyond its reserve and all promises. Where that is too little it goes
by shares, to guests without any unused memory first, and what lies idle in others is taken at once.
What is wrong is left alone: a stale or missing report takes nothing (resident memory still tells of
growth); nobody counts on a balloon that is stuck; a guest that swaps, or runs short, soon after it
was shrunk keeps what it has. Each such time doubles, up to 32 times the first.
Cost: one pass over the guests, and a sort of those that are pressed.
Weak spot: growth of more than a step an interval outruns it. A guest that uses much keeps it,
whatever its shares. Idle guests keep a little unused and some cache, so on a crowded host somebody
may lack what idle ones hold together.
Source: ours. Quick up and slow down is as ESX's estimates are (OSDI '02, section 5.3); stuck
balloons as in XAPI's squeezed; steps and margins are the course's (CS6210: about 100 MB, at least
100 MB unused, a third at most).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from virtlab.model.plan import MemoryPlan, Rejected, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib
from virtlab.policies.coordination.balloon_watch import BalloonWatch
from virtlab.policies.coordination.guest_need import GuestNeed
from virtlab.policies.coordination.memory_sharing import divided
from virtlab.policies.parameters import tunable

__all__ = ["Steady"]

_SMALLEST_KIB = mib(4)  # less than this is not worth a call
_USUAL_INTERVAL_NS = 2 * NS_PER_S  # before there is a second look
_STARVED_KIB = mib(16)  # so little is what a guest has that finds no page


@dataclass(slots=True)
class _Known:
    """What is remembered of one guest."""

    need: GuestNeed = field(default_factory=GuestNeed)
    watch: BalloonWatch = field(default_factory=BalloonWatch)


@dataclass(slots=True)
class _Tick:
    """What one decision has come to so far."""

    host: MemorySnapshot
    interval_s: float
    spare_kib: int  # may be negative
    resizes: dict[str, Resize] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(slots=True)
class _Short:
    """What guests lack after all that could be given was given, in KiB."""

    urgent_kib: int = 0  # to the little that each has to have unused
    all_kib: int = 0


@dataclass(slots=True)
class Steady:
    """Give ahead of growth, take back slowly, move idle memory to pressed guests."""

    low_mib: int = tunable(
        112, unit="MiB", effect="unused memory below which a guest is pressed", at_least=0
    )
    band_mib: int = tunable(
        48, unit="MiB", effect="how much more than wanted is left with a guest", at_least=8
    )
    scarce_mib: int = tunable(
        24, unit="MiB", effect="unused memory that a guest is left where others have less",
        at_least=8,
    )  # fmt: skip
    lead: float = tunable(
        2.0,
        unit="intervals",
        effect="how far ahead growth is reckoned with",
        at_least=0,
        at_most=60,
    )
    cache: float = tunable(
        0.5, unit="share of memory in use", effect="page cache that a guest keeps", at_least=0
    )
    cache_mib: int = tunable(
        192, unit="MiB", effect="page cache that a guest keeps at least", at_least=0
    )
    window_s: float = tunable(
        10.0, unit="s", effect="for how long memory has to lie idle before it is taken", at_least=0
    )
    step_up_mib: int = tunable(256, unit="MiB", effect="most that a guest gets at once", at_least=8)
    step_down_mib: int = tunable(
        112,
        unit="MiB",
        effect="most that is taken at once, as is a quarter of the size",
        at_least=8,
    )
    stale_s: float = tunable(
        10.0, unit="s", effect="age from which on a report says nothing", at_least=1
    )
    stuck_s: float = tunable(
        6.0, unit="s", effect="without progress for longer, a balloon is stuck", at_least=1
    )
    hold_s: float = tunable(
        30.0, unit="s", effect="first time for which a guest is left alone after harm", at_least=1
    )
    faults: float = tunable(
        100.0, unit="major faults/s", effect="from which on a guest is harmed", at_least=1
    )
    _known: dict[str, _Known] = field(default_factory=dict)

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Return what to give and to take now."""
        interval_ns = host.interval_ns or _USUAL_INTERVAL_NS
        tick = _Tick(host, interval_ns / NS_PER_S, host.spare_kib)
        guests = list(self._look(tick))
        short = self._give(tick, guests)
        self._take(tick, guests, short)
        return self._plan(tick, short.all_kib)

    # Seeing.

    def _look(self, tick: _Tick) -> Iterator[GuestMemory]:
        """Take the snapshot in; yield the guests that may be resized."""
        host, before = tick.host, self._known
        self._known = {}
        for guest in host.guests:
            known = before.get(guest.guest)
            if known is None or guest.fresh:
                known = _Known()
            self._known[guest.guest] = known
            if not (guest.has_balloon and guest.movable):
                continue
            known.watch.look(guest, host.time_ns)
            known.need.look(
                guest,
                host.time_ns,
                stale_ns=round(self.stale_s * NS_PER_S),
                asked_ns=known.watch.asked_ns,
                faults_s_max=self.faults,
            )
            if known.need.harmed:
                known.watch.missed(host.time_ns, known.watch.harm, self.hold_s)
            if not self._is_stuck(tick, guest, known):
                yield guest

    def _is_stuck(self, tick: _Tick, guest: GuestMemory, known: _Known) -> bool:
        """Tell whether a balloon is to be left alone, as it does not do what it was asked for."""
        watch, now_ns = known.watch, tick.host.time_ns
        if watch.stuck.lasts(now_ns):
            self._reject(tick, guest, "its balloon was stuck", watch.stuck.until_ns)
            return True
        if not watch.stands(guest, now_ns, round(self.stuck_s * NS_PER_S)):
            return False
        gives = guest.asked_kib < guest.actual_kib
        if gives and known.need.unused_kib >= mib(self.low_mib):
            # It has the memory, and takes one step as soon as it moves again.
            why = "its balloon is stuck, and what was asked of it still stands"
            tick.rejected.append(Rejected(f"resize {guest.guest}", why))
            return True
        watch.stuck.begin(now_ns, self.hold_s)
        self._ask(tick, guest, guest.actual_kib, "its balloon is stuck: it may stay as it is")
        return True

    # Giving.

    def _give(self, tick: _Tick, guests: list[GuestMemory]) -> _Short:
        """Give to pressed guests what can be given; return what they lack then."""
        wanted = {guest.guest: self._lacking_kib(tick, guest) for guest in guests}
        wanted = {name: kib for name, kib in wanted.items() if kib}
        urgent = {name: min(kib, self._urgent_kib(name)) for name, kib in wanted.items()}
        spare_kib = max(tick.spare_kib, 0)
        shares = {guest.guest: guest.shares for guest in guests}
        given = divided(spare_kib, urgent, shares)
        left_kib = spare_kib - sum(given.values())
        short = _Short(sum(urgent.values()) - sum(given.values()))
        rest = divided(left_kib, {name: wanted[name] - given[name] for name in wanted}, shares)
        for guest in guests:
            if guest.guest in wanted:
                kib = given[guest.guest] + rest[guest.guest]
                self._grow(tick, guest, kib, wanted[guest.guest], urgent[guest.guest] > 0)
        short.all_kib = sum(wanted.values()) - sum(given.values()) - sum(rest.values())
        if short.all_kib:
            names = ", ".join(sorted(n for n in wanted if given[n] + rest[n] < wanted[n]))
            what = f"give {names} {short.all_kib // KIB_PER_MIB} MiB more"
            room = f"{spare_kib // KIB_PER_MIB} MiB are free beyond reserve and promises"
            tick.rejected.append(Rejected(what, room))
        beyond_kib = max(-tick.spare_kib, 0)  # of the reserve that is not there
        return _Short(short.urgent_kib + beyond_kib, short.all_kib + beyond_kib)

    def _grow(
        self, tick: _Tick, guest: GuestMemory, kib: int, wanted_kib: int, urgent: bool
    ) -> None:
        known = self._known[guest.guest]
        known.need.settled = False  # it is pressed, so nothing is taken from it now
        if urgent:
            known.watch.missed(tick.host.time_ns, known.watch.regret, self.hold_s)
        if kib >= min(wanted_kib, _SMALLEST_KIB):
            base_kib = max(guest.actual_kib, guest.asked_kib)
            self._ask(tick, guest, base_kib + kib, _why_pressed(known.need))

    def _urgent_kib(self, name: str) -> int:
        """Return what a guest lacks to the little that it has to have unused."""
        need = self._known[name].need
        return max(mib(self.scarce_mib) + need.swapped_kib - need.unused_kib - need.cache_kib, 0)

    def _lacking_kib(self, tick: _Tick, guest: GuestMemory) -> int:
        """Return what a guest should get now; 0 where it is not pressed."""
        need = self._known[guest.guest].need
        base_kib = max(guest.actual_kib, guest.asked_kib)
        room_kib = guest.max_kib - base_kib
        if room_kib <= 0 or not (need.known or need.growth_kib_s):
            return 0
        coming_kib = base_kib - guest.actual_kib
        low_kib, growth = mib(self.low_mib), need.growth_kib_s
        # A guest that does not grow may as well use its page cache.
        grows = growth * tick.interval_s >= KIB_PER_MIB
        left_kib = need.unused_kib + coming_kib + (0 if grows else need.cache_kib)
        left_kib -= need.swapped_kib + round(growth * self.lead * tick.interval_s)
        if left_kib >= low_kib:
            return 0
        lacking_kib = low_kib + mib(self.band_mib) - left_kib + round(growth * tick.interval_s)
        step_kib = mib(self.step_up_mib)
        if need.known and need.unused_kib + need.cache_kib < _STARVED_KIB:
            lacking_kib = step_kib  # nobody knows how much it would take
        return min(lacking_kib, step_kib, room_kib)

    # Taking.

    def _take(self, tick: _Tick, guests: list[GuestMemory], short: _Short) -> None:
        """Take back what lies idle; at once as far as others lack it, and else after a while."""
        on_its_way_kib = sum(max(one.actual_kib - one.asked_kib, 0) for one in guests)
        short_kib = max(short.all_kib - on_its_way_kib, 0)
        keep_mib = self.scarce_mib if short.urgent_kib > on_its_way_kib else self.low_mib
        idle = [
            guest
            for guest in guests
            if guest.guest not in tick.resizes
            and not self._known[guest.guest].watch.moving(guest)
            and self._may_give(tick, guest)
        ]
        has_kib: dict[str, int] = {}
        if short_kib:  # who has the most for its shares gives first
            has_kib = {one.guest: self._idle_now_kib(tick, one, keep_mib) for one in idle}
            idle.sort(key=lambda one: (-has_kib[one.guest] / max(one.shares, 1), one.guest))
        for guest in idle:
            kib, why = self._idle_long_kib(tick, guest), "idle"
            now_kib = has_kib.get(guest.guest, 0) if short_kib else 0
            if now_kib > kib:
                kib, why = now_kib, "idle, and others are pressed"
            if kib:
                short_kib = max(short_kib - kib, 0)
                self._ask(tick, guest, guest.actual_kib - kib, f"{_of(guest, kib)} {why}")

    def _may_give(self, tick: _Tick, guest: GuestMemory) -> bool:
        """Tell whether memory may be taken from a guest at all."""
        known, now_ns = self._known[guest.guest], tick.host.time_ns
        if not known.need.known:
            age_ns = guest.report_age_ns
            old = "" if age_ns is None else f", the last is {age_ns // NS_PER_S} s old"
            tick.rejected.append(Rejected(f"shrink {guest.guest}", f"no report to go by{old}"))
            return False
        if known.watch.harm.lasts(now_ns):
            until_ns = known.watch.harm.until_ns
            self._reject(tick, guest, "it was short when it was last shrunk", until_ns)
            return False
        return known.need.settled

    def _idle_long_kib(self, tick: _Tick, guest: GuestMemory) -> int:
        """Return what may be taken as it was idle for a while."""
        known, now_ns = self._known[guest.guest], tick.host.time_ns
        peak_kib = known.need.peak_kib(now_ns - round(self.window_s * NS_PER_S))
        if peak_kib is None or known.watch.regret.lasts(now_ns):
            return 0
        cache_kib = max(round(self.cache * peak_kib), mib(self.cache_mib))
        keep_kib = mib(self.low_mib) + mib(self.band_mib) // 2
        return self._excess_kib(tick, guest, peak_kib, cache_kib, keep_kib, mib(self.band_mib))

    def _idle_now_kib(self, tick: _Tick, guest: GuestMemory, keep_mib: int) -> int:
        """Return what may be taken as others lack it more."""
        firm_kib, cache_kib = self._known[guest.guest].need.firm_kib, mib(self.cache_mib) // 4
        return self._excess_kib(tick, guest, firm_kib, cache_kib, mib(keep_mib), _SMALLEST_KIB)

    def _excess_kib(
        self, tick: _Tick, guest: GuestMemory, firm_kib: int, cache_kib: int, keep_kib: int,
        least_kib: int,
    ) -> int:  # fmt: skip
        """Return how much more it has than it needs, up to a step; 0 where that is too little."""
        need = self._known[guest.guest].need
        keep_kib += round(need.growth_kib_s * self.lead * tick.interval_s)
        want_kib = max(firm_kib + min(need.cache_kib, cache_kib) + keep_kib, guest.floor_kib)
        excess_kib = guest.actual_kib - want_kib
        return min(excess_kib, self._step_down_kib(guest)) if excess_kib >= least_kib else 0

    def _step_down_kib(self, guest: GuestMemory) -> int:
        return min(mib(self.step_down_mib), guest.actual_kib // 4)

    # Telling.

    def _ask(self, tick: _Tick, guest: GuestMemory, size_kib: int, reason: str) -> None:
        tick.resizes[guest.guest] = Resize(guest.guest, size_kib, reason)
        by_kib = size_kib - guest.actual_kib
        self._known[guest.guest].watch.asked(tick.host.time_ns, by_kib)

    @staticmethod
    def _reject(tick: _Tick, guest: GuestMemory, why: str, until_ns: int) -> None:
        left_s = (until_ns - tick.host.time_ns) / NS_PER_S
        tick.rejected.append(Rejected(f"resize {guest.guest}", f"{why}; {left_s:.0f} s more"))

    def _plan(self, tick: _Tick, short_kib: int) -> MemoryPlan:
        by_name = {guest.guest: guest for guest in tick.host.guests}
        given_kib = taken_kib = 0
        expected = {}
        # What frees memory goes before what takes it.
        resizes = sorted(
            tick.resizes.values(),
            key=lambda one: (one.memory_kib > by_name[one.guest].actual_kib, one.guest),
        )
        for resize in resizes:
            by_kib = resize.memory_kib - by_name[resize.guest].actual_kib
            given_kib, taken_kib = given_kib + max(by_kib, 0), taken_kib + max(-by_kib, 0)
            need = self._known[resize.guest].need
            after_kib = need.unused_kib + by_kib - need.growth_kib_s * tick.interval_s
            expected[f"{resize.guest} unused_mib"] = round(max(after_kib, 0) / KIB_PER_MIB, 1)
        expected["spare_mib"] = round((tick.spare_kib - given_kib) / KIB_PER_MIB, 1)
        state = "nobody lacks memory, and none lies idle"
        if resizes or short_kib:
            state = f"{given_kib // KIB_PER_MIB} MiB are given, {taken_kib // KIB_PER_MIB} taken"
            if short_kib:
                state += f", and {short_kib // KIB_PER_MIB} lacking"
        return MemoryPlan(tuple(resizes), state, expected, tuple(tick.rejected))


def _why_pressed(need: GuestNeed) -> str:
    unused = f"{need.unused_kib // KIB_PER_MIB} MiB unused"
    growth = need.growth_kib_s / KIB_PER_MIB
    return f"{unused}, and grows by {growth:.0f} MiB/s" if growth >= 0.5 else f"only {unused}"


def _of(guest: GuestMemory, kib: int) -> str:
    return f"{kib // KIB_PER_MIB} of {guest.actual_kib // KIB_PER_MIB} MiB lie"
