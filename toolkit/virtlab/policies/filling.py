"""Evenness in the fewest moves, where many vCPUs share alike pCPUs: give away, fill, crumble.

Whoever carries more than a limit has to give vCPUs away, and with its largest ones first it gives
the fewest (`bounds.fewest_moves`). Any others that make up for its excess will do as well, and that
is where the choice lies: moves beyond the fewest come from loads that fit nowhere afterwards.

1. *Give away*: each too full pCPU gives as few vCPUs as it must, and of these sets one that leaves
   it just below the limit: all but two are its largest, and the two are the most unlike pair that
   does. Unlike, since the small ones are what narrow gaps are filled with.
2. *Fill*: pCPUs with room take of what was given, all up to the level at which it is used up, those
   with the least room first, while there is much to choose from: the largest while two of them fit,
   then the one or the two that fit best. Those with much room come last, and take what is left.
3. *Crumble*: what fitted nowhere stays at home, and its pCPU gives smaller ones in its place, each
   into one of the gaps that are left.

Where loads are many and unlike, that comes within a few per cent of the fewest moves. It knows of
loads and room alone: not of caches, cells, siblings or masks.

Cost: a sort of what too full pCPUs carry, and some tens of steps for each vCPU that is given away.
Source: filling one bin after the other as exactly as possible is known from bin packing as minimum
bin slack (Gupta and Ho, A new heuristic algorithm for the one-dimensional bin-packing problem,
Production Planning & Control 10, 1999); the order, and the choice of what is given, are ours.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from math import fsum

__all__ = ["filled"]

_Loads = list[tuple[float, int]]  # loads in rising order, each with the number of its vCPU

_EXACT = 0.002  # of a pCPU: a set that leaves so little room is not bettered
_WASTE = 0.03  # of a pCPU: room for the sake of which two are given where one would do
_LOOSE = 8e-4  # of a limit: room for what does not fit exactly
_THIRDS = 8  # how many third ones are tried with each pair
_FIRSTS = 12  # how many first ones of a pair that fills a gap
_LAST = 1 << 62  # after every vCPU of the same load


def filled(
    here: Sequence[Sequence[int]],
    loads: Sequence[float],
    carried: Sequence[float],
    limits: Sequence[float],
    homeless: Iterable[int],
) -> dict[int, int]:
    """Return where vCPUs go that leave; who is homeless and not among them fits nowhere.

    Args:
        here: for each pCPU the vCPUs that may leave it.
        loads: of each vCPU.
        carried: by each pCPU now, without the homeless.
        limits: what each should carry at most; it may carry more in the end where nothing fits.
        homeless: those that sit nowhere yet.
    """
    room = [limit - load for limit, load in zip(limits, carried, strict=True)]
    pool = [(loads[number], number) for number in homeless]
    homes: dict[int, int] = {}
    for pcpu, left in enumerate(room):
        if left < 0.0:
            for load, number in _given(_rows(here[pcpu], loads), -left):
                pool.append((load, number))
                homes[number] = pcpu
                room[pcpu] += load
    pool.sort()
    spare = _spare(room, limits, fsum([load for load, _ in pool]))
    seats = _fill(room, spare, pool) | _fill(room, [0.0] * len(room), pool)
    full: dict[int, _Loads] = {}
    for load, number in pool:
        if number in homes:
            room[homes[number]] -= load
            full[homes[number]] = []
    for pcpu in sorted(full):
        full[pcpu] = _rows([number for number in here[pcpu] if number not in seats], loads)
    _crumble(full, room, seats)
    # Whoever found its own pCPU to be the best place for it has not left.
    return {number: pcpu for number, pcpu in seats.items() if homes.get(number) != pcpu}


def _rows(numbers: Iterable[int], loads: Sequence[float]) -> _Loads:
    return sorted([(loads[number], number) for number in numbers])


def _given(here: _Loads, excess: float) -> _Loads:
    """Return the fewest that make up for an excess, and of these sets a light one."""
    least, total = 0, 0.0
    while least < len(here) and total < excess:
        least += 1
        total += here[-least][0]
    if total < excess:
        return list(here)
    if least == 1:
        single = here[bisect_left(here, (excess, -1))]
        over = single[0] - excess
        pair = _pair(here, excess) if over > _WASTE else None
        return [single] if pair is None or pair[0] + _WASTE >= over else pair[1]
    lead, rest = here[len(here) - least + 2 :], here[: len(here) - least + 2]
    pair = _pair(rest, excess - fsum([load for load, _ in lead]))
    if pair is None:  # but for rounding the two largest of the rest would do
        return here[-least:]
    best, chosen = pair[0], [*lead, *pair[1]]
    if not lead:
        return chosen
    lead, rest = lead[1:], [*rest, lead[0]]
    left = excess - fsum([load for load, _ in lead])
    for at in range(len(rest) - 2, max(len(rest) - 2 - _THIRDS, 1), -1):
        if best <= _EXACT:
            break
        pair = _pair(rest[:at] + rest[at + 1 :], left - rest[at][0])
        if pair is None:
            break
        if pair[0] < best:
            best, chosen = pair[0], [*lead, rest[at], *pair[1]]
    return chosen


def _pair(rest: _Loads, least: float) -> tuple[float, _Loads] | None:
    """Return the lightest pair that makes up for a load, and by how much it is more.

    It is looked for from the most unlike to the most alike; the first that is exact will do.
    """
    low, high = 0, len(rest) - 1
    best: tuple[float, int, int] | None = None
    while low < high:
        over = rest[low][0] + rest[high][0] - least
        if over < 0.0:
            low += 1
            continue
        if best is None or over < best[0]:
            best = (over, low, high)
            if over <= _EXACT:
                break
        high -= 1
    return None if best is None else (best[0], [rest[best[1]], rest[best[2]]])


def _spare(room: Sequence[float], limits: Sequence[float], total: float) -> list[float]:
    """Return how much of its room each pCPU keeps, so that a total leaves all about as full.

    A part of the limit, the same everywhere, but a little less: what is given never fits exactly.
    """
    # From the one that has least room for its size, which falls out first as the part grows.
    rising = sorted(
        [(left / limit, limit) for left, limit in zip(room, limits, strict=True) if left > 0.0]
    )
    part, width = 0.0, fsum([limit for _, limit in rising])
    surplus = fsum([share * limit for share, limit in rising]) - total
    for share, limit in rising:
        if surplus <= (share - part) * width:
            break
        surplus -= (share - part) * width
        part, width = share, width - limit
    if surplus > 0.0 and width > 0.0:
        part += surplus / width
    part = max(part - _LOOSE, 0.0)
    return [part * limit for limit in limits]


def _fill(room: list[float], spare: Sequence[float], pool: _Loads) -> dict[int, int]:
    """Seat what fits of a pool where there is room, the least room first; the rest stays in it."""
    seats: dict[int, int] = {}
    gaps = [(room[pcpu] - kept, pcpu) for pcpu, kept in enumerate(spare)]
    for left, pcpu in sorted([gap for gap in gaps if gap[0] > 0.0]):
        chosen = []
        while len(pool) > 1 and left > pool[-1][0] + pool[-2][0]:
            chosen.append(pool.pop())
            left -= chosen[-1][0]
        chosen += [pool.pop(place) for place in _fitting(pool, left)]
        for load, number in chosen:
            seats[number] = pcpu
            room[pcpu] -= load
        if not pool:
            break
    return seats


def _fitting(pool: _Loads, left: float) -> list[int]:
    """Return the places of the one or the two that fill a gap best, the later one first."""
    single = bisect_right(pool, (left, _LAST)) - 1
    if single < 0:
        return []
    best, places = left - pool[single][0], [single]
    for first in range(0, len(pool), max(1, len(pool) // _FIRSTS)):
        load = pool[first][0]
        if best <= _EXACT or 2.0 * load > left:
            break
        second = bisect_right(pool, (left - load, _LAST)) - 1
        if second > first and left - load - pool[second][0] < best:
            best, places = left - load - pool[second][0], [second, first]
    return places


def _crumble(full: Mapping[int, _Loads], room: list[float], seats: dict[int, int]) -> None:
    """Let too full pCPUs give small ones, each into a gap that it fits into."""
    gaps = sorted([(left, pcpu) for pcpu, left in enumerate(room) if left > _WASTE])
    for pcpu, small in sorted(full.items()):
        while room[pcpu] < 0.0 and gaps:
            found = _crumb(small, -room[pcpu], gaps)
            if found is None:
                break
            left, to = gaps.pop(found[0])
            load, number = small.pop(found[1])
            seats[number] = to
            room[to] -= load
            room[pcpu] += load
            if left - load > _WASTE:
                insort(gaps, (left - load, to))


def _crumb(
    small: _Loads, excess: float, gaps: Sequence[tuple[float, int]]
) -> tuple[int, int] | None:
    """Return the places of a gap and of one that goes there: who does alone, else the largest."""
    best: tuple[tuple[bool, float], int, int] | None = None
    enough = bisect_left(small, (excess, -1))
    for at in range(len(gaps) - 1, -1, -1):
        left = gaps[at][0]
        largest = bisect_right(small, (left, _LAST)) - 1
        if largest < 0:
            break
        alone = enough <= largest
        place = enough if alone else largest
        key = (not alone, left - small[place][0] if alone else -small[place][0])
        if best is None or key < best[0]:
            best = (key, at, place)
    return None if best is None else best[1:]
