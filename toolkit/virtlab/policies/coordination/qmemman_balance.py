"""What qmemman works out: preferences, and the sizes that follow. Whole bytes, as its own figures.

The policy that uses it is `qmemman`, where the source is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FREE_LEFT", "MIB", "Domain", "Sign", "balance", "freed_for", "preferred", "worth_it"]

MIB: Final = 1024 * 1024
FREE_LEFT: Final = 50 * MIB  # of the host, always
_CACHE_FACTOR: Final = 1.3
_PREF_MIN: Final = 200 * MIB
_DOM0_BOOST: Final = 350 * MIB
_SAFETY: Final = 1.05  # so much more than is needed is asked of donors
_DONOR_MIN: Final = 10 * MIB
_BELOW_MIN: Final = 15 * MIB
_TRANSFER_MIN: Final = 150 * MIB
_CAREFUL: Final = 0.999

# What becomes of donors' memory in the same round: upstream's minus, or the plus that is meant.
Sign = Literal[-1, 1]


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest that reports what it uses."""

    name: str
    used: int
    most: int
    actual: int  # what it holds, or was promised
    last_target: int = 0  # 0: none was set
    dom0: bool = False

    @property
    def need(self) -> int:
        """Return what it lacks to what it would like to have; negative: it could give."""
        return preferred(self) - self.actual


def preferred(domain: Domain) -> int:
    """Return what a guest would like to have: what it uses, and a part for its page cache."""
    if domain.dom0:
        return int(min(_CACHE_FACTOR * domain.used + _DOM0_BOOST, domain.most))
    return int(max(min(_CACHE_FACTOR * domain.used, domain.most), _PREF_MIN))


def balance(domains: Sequence[Domain], free: int, sign: Sign) -> list[tuple[str, int]]:
    """Return sizes in the order in which they are to be asked for: first those that give.

    Args:
        domains: those that take part.
        free: memory of the host beyond what is left free; may be negative.
        sign: -1 as upstream, 1 as it is meant (see `qmemman`).
    """
    available = free - sum(domain.need for domain in domains)
    if available > 0:
        return _when_enough(domains, available)
    return _when_low(domains, free, sign)


def _when_enough(domains: Sequence[Domain], available: int) -> list[tuple[str, int]]:
    total = sum(map(preferred, domains))
    left, acceptors = 0, 0
    targets: dict[str, int] = {}
    for domain in domains:
        pref = preferred(domain)
        target = int(_CAREFUL * (pref + pref / total * available))
        if target > domain.most:
            left += target - domain.most
            target = domain.most
        else:
            acceptors += 1
        targets[domain.name] = target
    while left > 0 and acceptors > 0:
        each, left = int(_CAREFUL * left / acceptors), 0
        for domain in domains:
            if targets[domain.name] >= domain.most:
                continue
            targets[domain.name] += each
            if targets[domain.name] >= domain.most:
                left += targets[domain.name] - domain.most
                targets[domain.name] = domain.most
                acceptors -= 1
    give = [(d.name, targets[d.name]) for d in domains if targets[d.name] < d.actual]
    take = [(d.name, targets[d.name]) for d in domains if targets[d.name] >= d.actual]
    return give + take


def _when_low(domains: Sequence[Domain], free: int, sign: Sign) -> list[tuple[str, int]]:
    donors = [d for d in domains if _gives(d)]
    acceptors = [d for d in domains if not _gives(d)]
    spare = free
    give = []
    for donor in donors:
        if donor.actual - preferred(donor) >= _DONOR_MIN:
            give.append((donor.name, preferred(donor)))
            spare += sign * -donor.need
    if spare < 0:
        return give
    total = sum(map(preferred, acceptors))
    return give + [
        (one.name, min(int(_CAREFUL * (one.actual + preferred(one) / total * spare)), one.most))
        for one in acceptors
    ]


def _gives(domain: Domain) -> bool:
    return domain.need < 0 or domain.actual >= domain.most


def worth_it(domains: Iterable[Domain], targets: Iterable[tuple[str, int]], free: int) -> bool:
    """Tell whether a balance moves enough to be worth its calls; `free` is all that is free."""
    if FREE_LEFT - free > _BELOW_MIN:
        return True
    by_name = {domain.name: domain for domain in domains}
    moved = abs(free - FREE_LEFT)
    for name, target in targets:
        domain = by_name[name]
        rise = target - domain.last_target
        if 0 < domain.last_target < preferred(domain) and rise > _BELOW_MIN:
            return True
        moved += abs(rise)
    return moved > _TRANSFER_MIN


def freed_for(domains: Iterable[Domain], wanted: int) -> list[tuple[str, int]] | None:
    """Return the sizes that free so much; None where guests have less to give than that."""
    donors = [domain for domain in domains if domain.need < 0]
    total = sum(-donor.need for donor in donors)
    if total < wanted:
        return None
    return [
        (donor.name, int(donor.actual + donor.need * wanted / total * _SAFETY)) for donor in donors
    ]
