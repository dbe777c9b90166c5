"""One request of squeezed: targets step by step, until the host has what was wanted, or cannot.

Sizes are whole numbers of one unit. The state of a request (who is stuck) lives as long as it does;
each begins with nobody stuck. The policy that uses it is `squeezed`, where the source is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Domain", "Request", "Step", "proportional"]


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest as squeezed sees it."""

    name: str
    least: int
    target: int
    most: int
    actual: int
    inaccuracy: int = 0  # how far from its target it may be and still be there
    can_balloon: bool = True

    def at(self, target: int) -> bool:
        """Tell whether it is where a target asks it to be."""
        return abs(self.actual - target) <= self.inaccuracy


@dataclass(slots=True)
class _Watch:
    """What is remembered of one domain in a request."""

    actual: int
    progress_ns: int
    stuck: bool = False

    def look(self, domain: Domain, now_ns: int, stuck_ns: int) -> None:
        """Note progress towards the target, or the lack of it."""
        if (domain.actual - self.actual) * (domain.target - self.actual) > 0:
            self.progress_ns, self.stuck = now_ns, False
        elif not domain.at(domain.target) and now_ns - self.progress_ns > stuck_ns:
            self.stuck = True
        self.actual = domain.actual


@dataclass(frozen=True, slots=True)
class Step:
    """What one iteration asks for, and whether the request is at its end."""

    targets: Mapping[str, int]  # to be set; those that stay as they are may be among them
    outcome: Literal["goes on", "met", "cannot free", "refused"]
    inactive: tuple[str, ...]  # can balloon, and do not move
    moves: bool  # some target differs from the present one


def proportional(
    domains: Iterable[Domain], free: int, wanted: int, *, compensate: bool = True
) -> dict[str, int]:
    """Return targets that leave so much free, each domain at the same part of its range.

    Args:
        domains: those that follow their targets.
        free: memory of the host that nobody has.
        wanted: what is to be free in the end.
        compensate: count on each stopping short of its target.
    """
    domains = list(domains)
    short = 2 if compensate else 0
    freeable = sum(max(d.actual - d.least - short * d.inaccuracy, 0) for d in domains)
    ranges = sum(max(d.most - d.least, 0) for d in domains)
    surplus = max(free + freeable - wanted, 0)
    part = min(surplus / ranges, 1.0) if ranges else (1.0 if surplus else 0.0)
    return {d.name: d.least + math.trunc(part * max(d.most - d.least, 0)) for d in domains}


@dataclass(slots=True)
class Request:
    """A request for free memory, as a loop that is stepped from outside."""

    wanted: int  # what targets are to leave free
    met: Callable[[int], bool]  # by the host's free memory: is that enough?
    balanced_at: int | None = None  # what is left free always; wanting another asks for less
    stuck_ns: int = 5_000_000_000
    two_phases: bool = True
    compensate: bool = True
    blameless: str | None = None  # the host's own domain: that it does not move is no refusal
    _watched: dict[str, _Watch] = field(default_factory=dict)
    _inactive: frozenset[str] = frozenset()

    def step(self, domains: Sequence[Domain], free: int, now_ns: int) -> Step:
        """Return what to ask of whom now; the request is over where the outcome says so.

        Args:
            domains: all of them, in the order of their ids.
            free: memory of the host that nobody has.
            now_ns: the moment, on a clock that never goes back.
        """
        ballooning = [domain for domain in domains if domain.can_balloon]
        if self._nothing_to_do(ballooning, free):
            return Step({}, "met", (), moves=False)
        inactive = self._look(ballooning, now_ns)
        active = [domain for domain in ballooning if domain.name not in inactive]
        issued = self._issued(active, free)
        reached = all(domain.at(domain.target) for domain in active)
        moves = any(issued[d.name] != d.target for d in active if d.name in issued)
        newly, self._inactive = inactive - self._inactive, inactive
        targets = issued | {
            d.name: min(max(min(d.target, d.actual), d.least), d.most)
            for d in ballooning
            if d.name in newly
        }
        names = tuple(d.name for d in ballooning if d.name in inactive)
        if moves or not reached:
            return Step(targets, "goes on", names, moves)
        if self.met(free):
            return Step(targets, "met", names, moves)
        blamed = set(names) - {self.blameless}
        return Step(targets, "refused" if blamed else "cannot free", names, moves)

    def _nothing_to_do(self, ballooning: Sequence[Domain], free: int) -> bool:
        if self.balanced_at is None or self.wanted == self.balanced_at or self.wanted > free:
            return False
        return all(domain.at(domain.target) for domain in ballooning)

    def _look(self, ballooning: Sequence[Domain], now_ns: int) -> frozenset[str]:
        for domain in ballooning:
            watch = self._watched.setdefault(domain.name, _Watch(domain.actual, now_ns))
            watch.look(domain, now_ns, self.stuck_ns)
        return frozenset(d.name for d in ballooning if self._watched[d.name].stuck)

    def _issued(self, active: Sequence[Domain], free: int) -> dict[str, int]:
        """Return the targets of this phase: what frees memory before what takes it."""
        targets = proportional(active, free, self.wanted, compensate=self.compensate)
        freeing = {
            d.name: targets[d.name]
            for d in active
            if targets[d.name] < d.actual and not d.at(targets[d.name])
        }
        if not self.two_phases:
            return targets
        return freeing or targets
