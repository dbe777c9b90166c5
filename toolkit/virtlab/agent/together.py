"""Which changes of a plan belong together, so that all of them are made or none.

Two vCPUs that change places, or three that go round, leave a host worse off where one of them goes
alone. A pin that takes a vCPU from one pCPU to another is an arrow, and each arrow belongs to the
shortest circle that it closes with others, up to four of them; each is in one circle only. All
other changes stand alone. Longer circles are not looked for: on a host in disorder everything hangs
together by these, and nothing would be done at all.

Sizes of guests stand alone: what frees memory comes first in a plan, so that a part of it is safe.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Final

__all__ = ["belonging"]

_LONGEST: Final = 4

Arrow = tuple[Hashable, Hashable] | None  # from where to where; None: a change that stands alone


def belonging(arrows: Sequence[Arrow]) -> Iterator[list[int]]:
    """Yield groups of changes by their numbers, in the order of the first of each."""
    free: dict[Hashable, dict[int, Hashable]] = defaultdict(dict)  # by where arrows begin
    for number, arrow in enumerate(arrows):
        if arrow is not None and arrow[0] != arrow[1]:
            free[arrow[0]][number] = arrow[1]
    used: set[int] = set()
    for number, arrow in enumerate(arrows):
        if number in used:
            continue
        group = [number]
        if arrow is not None and arrow[0] != arrow[1]:
            group += _way(free, arrow[1], arrow[0])
        for one in group:
            its = arrows[one]
            if its is not None:
                free[its[0]].pop(one, None)
        used.update(group)
        yield group


def _way(
    free: dict[Hashable, dict[int, Hashable]], begin: Hashable, end: Hashable
) -> tuple[int, ...]:
    """Return the shortest way along arrows that are free; empty where there is none so short."""
    seen: set[Hashable] = {begin}
    ways: list[tuple[Hashable, tuple[int, ...]]] = [(begin, ())]
    for _ in range(_LONGEST - 1):
        further: list[tuple[Hashable, tuple[int, ...]]] = []
        for place, way in ways:
            for number, to in free.get(place, {}).items():
                if to == end:
                    return (*way, number)
                if to not in seen:
                    seen.add(to)
                    further.append((to, (*way, number)))
        ways = further
    return ()
