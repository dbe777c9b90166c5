"""Balloon rules of oVirt's MOM: five per cent up or down, by how much of the host is free.

Idea: while the host has less free than a threshold, every guest gives five per cent of its size a
round, but never what it uses and a share of free memory besides, which shrinks as the host's does.
While the host has more, every guest below its maximum gets five per cent, or what it lacks.
Formula: h = mean free / total of the host; used = mean size - mean unused.
    h < pressure:  size' = max(0.95 size, used + f size), f = 0.2 h / pressure; at critical and
                   below f = h - critical, which is negative: part of what is used is taken, too
    else:          size' = min(maximum, max(1.05 size, used + 0.2 size))
Changes of a quarter of a per cent and less are left out.
Cost: one pass over the guests, and the means over the last samples.
Weak spot: between "give" and "take" there is nothing, so with idle guests whose memory is all
resident the host swings about the threshold for ever, and every guest gets a call each round. A
share of the size is nothing like need: an idle guest gets as much as a busy one.
Source: the rules of MOM's documentation (oVirt project, doc/balloon.rules), restated; 5 s between
samples, means over 10 of them and 10 s between rounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from virtlab.model.plan import MemoryPlan, Rejected, Resize
from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.policies.parameters import tunable

__all__ = ["Balloon", "Mom"]


@dataclass(frozen=True, slots=True)
class Balloon:
    """What the rules look at, in any unit: one guest's size now, what it uses, and its bounds."""

    size: float
    used: float  # by the means of size and unused memory
    least: float
    most: float


@dataclass(slots=True)
class Mom:
    """Grow or shrink all guests by a share of their size."""

    pressure: float = tunable(
        0.20, unit="share of the host", effect="free memory below which guests shrink",
        at_least=0, at_most=1,
    )  # fmt: skip
    critical: float = tunable(
        0.05, unit="share of the host", effect="free memory up to which used memory is taken, too",
        at_least=0, at_most=1,
    )  # fmt: skip
    guest_free: float = tunable(
        0.20, unit="share of a guest", effect="free memory that a guest is left", at_least=0,
        at_most=1,
    )  # fmt: skip
    change_max: float = tunable(
        0.05, unit="share of a guest", effect="how much a round changes", at_least=0, at_most=1
    )
    change_min: float = tunable(
        0.0025, unit="share of a guest", effect="changes up to this are left out", at_least=0
    )
    samples: int = tunable(10, unit="samples", effect="over how many means are taken", at_least=1)
    round_s: float = tunable(10.0, unit="s", effect="time between rounds", at_least=0)
    _free: deque[int] = field(default_factory=deque)
    _seen: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)  # size and unused
    _acted_ns: int | None = None

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Take the sample in, and where a round is due return what the rules make of it."""
        self._take(host)
        if self._acted_ns is not None and (
            host.time_ns - self._acted_ns < round(self.round_s * NS_PER_S)
        ):
            return MemoryPlan(because="the next round is not due")
        self._acted_ns = host.time_ns
        free = sum(self._free) / len(self._free) / host.host_total_kib
        blind = [one.guest for one in host.guests if one.guest not in self._seen]
        return MemoryPlan(
            tuple(self._round(host, free)),
            because=f"{free:.1%} of the host is free, and guests "
            + ("shrink" if free < self.pressure else "grow"),
            rejected=tuple(Rejected(f"resize {name}", "it reports nothing") for name in blind),
        )

    def resized(self, guest: Balloon, host_free: float) -> float | None:
        """Return the size that the rules give a guest; None where it is left alone."""
        if host_free < self.pressure:
            free = self.guest_free * host_free / self.pressure
            if host_free <= self.critical:
                free = host_free - self.critical
            floor = max(guest.least, guest.used + free * guest.size)
            new = max((1 - self.change_max) * guest.size, floor)
            if new > guest.size:
                return None
        elif guest.size < guest.most:
            floor = max(guest.least, guest.used + self.guest_free * guest.size)
            new = min(guest.most, max((1 + self.change_max) * guest.size, floor))
        else:
            return None
        return new if abs(new - guest.size) > self.change_min * guest.size else None

    def _take(self, host: MemorySnapshot) -> None:
        self._free.append(host.host_free_kib)
        if len(self._free) > self.samples:
            self._free.popleft()
        before, self._seen = self._seen, {}
        for guest in host.guests:
            if guest.unused_kib is None or not (guest.has_balloon and guest.movable):
                continue
            known = deque[tuple[int, int]]() if guest.fresh else before.get(guest.guest, deque())
            known.append((guest.actual_kib, guest.unused_kib))
            if len(known) > self.samples:
                known.popleft()
            self._seen[guest.guest] = known

    def _round(self, host: MemorySnapshot, host_free: float) -> Iterator[Resize]:
        for guest in host.guests:
            known = self._seen.get(guest.guest)
            if known is None:
                continue
            used = sum(size - unused for size, unused in known) / len(known)
            balloon = Balloon(guest.actual_kib, used, guest.floor_kib, guest.max_kib)
            new = self.resized(balloon, host_free)
            if new is not None:
                yield Resize(guest.guest, int(new), f"{used / KIB_PER_MIB:.0f} MiB used")
