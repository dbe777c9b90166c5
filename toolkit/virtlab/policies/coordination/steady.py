"""Ahead of need upwards, slowly downwards, and from idle guests to pressed ones at any time.

Idea: a guest gets memory before it lacks it, by how fast it grows; what it has not used for a while
is taken back in small steps; and where the host has nothing to spare, what lies idle in one guest
goes to another that is pressed, all of it at once. Memory in use is never taken.
Formula: with u unused memory, g growth a second, s what lies in swap and a lead of some intervals,
    pressed, where u - s - g lead < low:   size + low + band - u + s + g (lead + interval)
    urgent, where u + cache - s - g lead < m = 8 MiB + twice what it changes by, at most 24
    idle, where more than a band:   size - (peak of a window + kept cache + low + band / 2)
    idle while others are urgent:   size - (need now + a little cache + m + g lead)
Growth alone gives no step above 256 MiB, and where nobody lacks memory none is taken above 112 MiB
or a quarter of the size. What is given comes from what the host has free beyond its reserve and all
promises, to urgent guests first and by shares; beyond that it is lent on what balloons that have
proven themselves are giving in the same moment (`loan`).
What is wrong is left alone: a stale or missing report takes nothing, and its guest is kept some
memory ahead of what is resident; nobody counts on a balloon that is stuck, but it is asked for what
others lack, so that this comes as soon as it moves; a guest that swaps, or runs short, soon after
it was shrunk keeps what it has. Each such time doubles, up to 32 times the first.
Cost: one pass over the guests, and a sort of those that are pressed.
Weak spot: growth of more than a step an interval outruns it. What is freed in one guest reaches
another at the next look, so up to an interval and the age of a report late. A guest that uses much
keeps it, whatever its shares. A loan is lost for two seconds if a balloon sticks that never did
before, and in them its borrowers may touch more than was expected: the host's reserve is for that.
Source: ours. Quick up and slow down is as ESX's estimates are (OSDI '02, section 5.3); stuck
balloons as in XAPI's squeezed; steps and margins are the course's (CS6210: about 100 MB, at least
100 MB unused, a third at most).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from virtlab.model.plan import MemoryPlan, Rejected, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib
from virtlab.policies.coordination.balloon_watch import BalloonWatch
from virtlab.policies.coordination.guest_need import GuestNeed
from virtlab.policies.coordination.loan import Loan
from virtlab.policies.coordination.margins import SMALLEST_KIB, Margins, base_kib
from virtlab.policies.coordination.memory_sharing import divided
from virtlab.policies.parameters import tunable

__all__ = ["Steady"]

_USUAL_INTERVAL_NS = 2 * NS_PER_S  # before there is a second look
_NOTICED_AFTER = 2  # intervals until a balloon that does not give was seen twice


@dataclass(slots=True)
class _Known:
    """What is remembered of one guest."""

    need: GuestNeed = field(default_factory=GuestNeed)
    watch: BalloonWatch = field(default_factory=BalloonWatch)


@dataclass(slots=True)
class _Tick:
    """What one decision has come to so far."""

    host: MemorySnapshot
    margins: Margins
    spare_kib: int  # may be negative
    lent_kib: int = 0
    stuck: list[GuestMemory] = field(default_factory=list)  # and have memory to give
    resizes: dict[str, Resize] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(slots=True)
class _Short:
    """What guests lack after all that could be given was given, in KiB."""

    urgent_kib: int = 0  # to the little that each has to have unused
    all_kib: int = 0
    by_guest_kib: dict[str, int] = field(default_factory=dict)  # of what is urgent


@dataclass(slots=True)
class Steady:
    """Give ahead of growth, take back slowly, move idle memory to pressed guests."""

    low_mib: int = tunable(
        112, unit="MiB", effect="unused memory below which a guest is pressed", at_least=0
    )
    band_mib: int = tunable(
        24, unit="MiB", effect="how much more than wanted is left with a guest", at_least=8
    )
    scarce_mib: int = tunable(
        24, unit="MiB", at_least=8,
        effect="most unused memory that a guest is left where others have less",
    )  # fmt: skip
    lead: float = tunable(
        1.5,
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
        3.0, unit="s", effect="for how long memory has to lie idle before it is taken", at_least=0
    )
    step_up_mib: int = tunable(
        256, unit="MiB", effect="most that a guest gets at once, beyond what it swapped", at_least=8
    )
    step_down_mib: int = tunable(
        112,
        unit="MiB",
        effect="most that is taken at once where nobody lacks it, as is a quarter of the size",
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
    _loan: Loan | None = None

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Return what to give and to take now."""
        tick = _Tick(host, self._margins(host), host.spare_kib)
        guests = list(self._look(tick))
        self._call_back(tick, guests)
        short = self._give(tick, guests)
        self._take(tick, guests, short)
        self._lend(tick, guests, short)
        return self._plan(tick, short.all_kib)

    def _margins(self, host: MemorySnapshot) -> Margins:
        interval_s = (host.interval_ns or _USUAL_INTERVAL_NS) / NS_PER_S
        return Margins(
            low_kib=mib(self.low_mib),
            band_kib=mib(self.band_mib),
            scarce_kib=mib(self.scarce_mib),
            lead_s=self.lead * interval_s,
            interval_s=interval_s,
            cache=self.cache,
            cache_kib=mib(self.cache_mib),
            step_up_kib=mib(self.step_up_mib),
            step_down_kib=mib(self.step_down_mib),
        )

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
        if tick.margins.may_still_give(guest, known.need):
            # It has the memory, and gives it as soon as it moves again.
            why = "its balloon is stuck, and what was asked of it still stands"
            tick.rejected.append(Rejected(f"resize {guest.guest}", why))
            tick.stuck.append(guest)
            return True
        watch.stuck.begin(now_ns, self.hold_s)
        self._ask(tick, guest, guest.actual_kib, "its balloon is stuck: it may stay as it is")
        return True

    # Giving.

    def _give(self, tick: _Tick, guests: list[GuestMemory]) -> _Short:
        """Give to pressed guests what can be given; return what they lack then."""
        margins, needs = tick.margins, {one.guest: self._known[one.guest].need for one in guests}
        wanted_kib = {
            one.guest: kib
            for one in guests
            if one.guest not in tick.resizes and (kib := margins.lacking_kib(one, needs[one.guest]))
        }
        urgent_kib = {
            name: min(kib, margins.urgent_kib(needs[name], ahead_s=margins.lead_s))
            for name, kib in wanted_kib.items()
        }
        spare_kib = max(tick.spare_kib, 0)
        first_kib = divided(spare_kib, urgent_kib, _shares(guests))
        rest_kib = {name: kib - first_kib[name] for name, kib in wanted_kib.items()}
        then_kib = divided(spare_kib - sum(first_kib.values()), rest_kib, _shares(guests))
        given_kib = {name: first_kib[name] + then_kib[name] for name in wanted_kib}
        for guest in guests:
            if guest.guest in wanted_kib:
                self._grow(tick, guest, given_kib[guest.guest], wanted_kib[guest.guest])
        lacking_kib = {
            name: kib - given_kib[name]
            for name, kib in wanted_kib.items()
            if kib > given_kib[name] and needs[name].certain
        }
        short_kib = sum(lacking_kib.values())
        if short_kib:
            names = ", ".join(sorted(lacking_kib))
            what = f"give {names} {short_kib // KIB_PER_MIB} MiB more"
            room = f"{spare_kib // KIB_PER_MIB} MiB are free beyond reserve and promises"
            tick.rejected.append(Rejected(what, room))
        left_kib = {n: kib - first_kib[n] for n, kib in urgent_kib.items() if kib > first_kib[n]}
        beyond_kib = max(-tick.spare_kib, 0)  # of the reserve that is not there
        return _Short(sum(left_kib.values()) + beyond_kib, short_kib + beyond_kib, left_kib)

    def _grow(self, tick: _Tick, guest: GuestMemory, kib: int, wanted_kib: int) -> None:
        known = self._known[guest.guest]
        if tick.margins.urgent_kib(known.need, ahead_s=0.0):
            known.need.settled = False  # nothing is taken from it now
            known.watch.missed(tick.host.time_ns, known.watch.regret, self.hold_s)
        if kib >= min(wanted_kib, SMALLEST_KIB):
            self._ask(tick, guest, base_kib(guest) + kib, _why_pressed(known.need))

    # Taking.

    def _take(self, tick: _Tick, guests: list[GuestMemory], short: _Short) -> None:
        """Take back what lies idle; at once as far as others lack it, and else after a while."""
        on_its_way_kib = sum(max(one.actual_kib - one.asked_kib, 0) for one in guests)
        short_kib = max(short.all_kib - on_its_way_kib, 0)
        urgent = short.urgent_kib > on_its_way_kib
        idle = [
            guest
            for guest in guests
            if guest.guest not in tick.resizes
            and not self._known[guest.guest].watch.moving(guest)
            and self._may_give(tick, guest)
        ]
        has_kib: dict[str, int] = {}
        if short_kib:  # who has the most for its shares gives first
            has_kib = {one.guest: self._idle_now_kib(tick, one, urgent=urgent) for one in idle}
            idle.sort(key=lambda one: (-has_kib[one.guest] / max(one.shares, 1), one.guest))
        for guest in idle:
            kib, why = self._idle_long_kib(tick, guest), "idle"
            now_kib = min(has_kib.get(guest.guest, 0), short_kib)
            if now_kib > kib:
                kib, why = now_kib, "idle, and others are pressed"
            if kib:
                short_kib = max(short_kib - kib, 0)
                self._ask(tick, guest, guest.actual_kib - kib, f"{_of(guest, kib)} {why}")
        for guest in tick.stuck:
            kib = min(self._idle_now_kib(tick, guest, urgent=urgent), short_kib)
            asked_kib = guest.actual_kib - guest.asked_kib
            if kib >= asked_kib + tick.margins.step_down_of(guest) and self._may_give(tick, guest):
                why = "idle, and others are pressed when its balloon moves again"
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
        known, now_ns = self._known[guest.guest], tick.host.time_ns
        if known.watch.regret.lasts(now_ns):
            return 0
        from_ns = now_ns - round(self.window_s * NS_PER_S)
        return tick.margins.idle_long_kib(guest, known.need, from_ns)

    def _idle_now_kib(self, tick: _Tick, guest: GuestMemory, *, urgent: bool) -> int:
        return tick.margins.idle_now_kib(guest, self._known[guest.guest].need, urgent=urgent)

    # Lending.

    def _lend(self, tick: _Tick, guests: list[GuestMemory], short: _Short) -> None:
        """Give what proven balloons are giving now to those that lack it, before it is there."""
        if self._loan is not None or tick.spare_kib < 0 or not short.by_guest_kib:
            return
        growth_kib_s = sum(self._known[name].need.growth_kib_s for name in short.by_guest_kib)
        if growth_kib_s * tick.margins.interval_s * _NOTICED_AFTER > tick.host.host_reserve_kib / 2:
            return
        by_name = {guest.guest: guest for guest in guests}
        paying_kib = {
            name: (by_name[name].actual_kib, resize.memory_kib)
            for name, resize in tick.resizes.items()
            if name in by_name
            and self._known[name].watch.proven
            and resize.memory_kib < by_name[name].actual_kib
        }
        coming_kib = sum(from_kib - to_kib for from_kib, to_kib in paying_kib.values())
        lent_kib = divided(coming_kib, short.by_guest_kib, _shares(guests))
        lent_kib = {name: kib for name, kib in lent_kib.items() if kib >= SMALLEST_KIB}
        for name, kib in lent_kib.items():
            guest, before = by_name[name], tick.resizes.get(name)
            size_kib = base_kib(guest) if before is None else before.memory_kib
            why = f"{_why_pressed(self._known[name].need)}; {kib // KIB_PER_MIB} MiB are lent"
            self._ask(tick, guest, size_kib + kib, why)
        tick.lent_kib = sum(lent_kib.values())
        if lent_kib:
            self._loan = Loan(tick.host.time_ns, lent_kib, paying_kib)

    def _call_back(self, tick: _Tick, guests: list[GuestMemory]) -> None:
        """Take back what was lent on balloons that turned out not to give."""
        loan, by_name = self._loan, {guest.guest: guest for guest in tick.host.guests}
        if loan is None or loan.is_paid(by_name):
            self._loan = None
            return
        lost_kib = loan.lost_kib(by_name, tick.host.time_ns)
        if not lost_kib:
            return
        self._loan = None
        untouched_kib = {
            guest.guest: min(loan.lent_kib[guest.guest], self._known[guest.guest].need.unused_kib)
            for guest in guests
            if guest.guest in loan.lent_kib
        }
        for name, kib in divided(lost_kib, untouched_kib, _shares(guests)).items():
            guest = by_name[name]
            size_kib = max(guest.actual_kib - kib, guest.floor_kib)
            if size_kib < guest.actual_kib:
                self._ask(tick, guest, size_kib, f"{_of(guest, kib)} lent on one that sticks")

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
            after_kib = need.unused_kib + by_kib - need.growth_kib_s * tick.margins.interval_s
            expected[f"{resize.guest} unused_mib"] = round(max(after_kib, 0) / KIB_PER_MIB, 1)
        spare_kib = tick.spare_kib - given_kib + tick.lent_kib
        expected["spare_mib"] = round(spare_kib / KIB_PER_MIB, 1)
        state = "nobody lacks memory, and none lies idle"
        if resizes or short_kib:
            state = f"{given_kib // KIB_PER_MIB} MiB are given, {taken_kib // KIB_PER_MIB} taken"
            if short_kib:
                state += f", and {short_kib // KIB_PER_MIB} lacking"
        return MemoryPlan(tuple(resizes), state, expected, tuple(tick.rejected))


def _shares(guests: Iterable[GuestMemory]) -> dict[str, int]:
    return {guest.guest: guest.shares for guest in guests}


def _why_pressed(need: GuestNeed) -> str:
    unused = f"{need.unused_kib // KIB_PER_MIB} MiB unused"
    growth = need.growth_kib_s / KIB_PER_MIB
    return f"{unused}, and grows by {growth:.0f} MiB/s" if growth >= 0.5 else f"only {unused}"


def _of(guest: GuestMemory, kib: int) -> str:
    return f"{kib // KIB_PER_MIB} of {guest.actual_kib // KIB_PER_MIB} MiB lie"
