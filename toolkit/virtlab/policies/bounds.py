"""What no placement can beat: a floor under the busiest pCPU, and under the moves to get there.

A vCPU runs on one pCPU at a time, so however n loads are placed on m pCPUs of speeds s (1: full),

- the busiest is at least as full as all of them evenly, sum(loads) / sum(speeds);
- the largest load fills the fastest pCPU by load / speed; and so does what is there already;
- of the k m + 1 largest loads, k + 1 share a pCPU: k + 1 times the smallest of these, or more.

From where loads are, whoever is to be no fuller than a limit has to give enough of them away, and
with its largest ones first the fewest. Moves that nobody has to make are not counted.

Source: the first three are the usual bounds of P||Cmax (Dell'Amico and Martello, Optimal scheduling
of tasks on identical parallel processors, ORSA J. Computing 7, 1995); the last is plain counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum

__all__ = ["even_level", "fewest_moves", "least_busiest"]


def least_busiest(loads: Sequence[float], fixed: Sequence[float], speeds: Sequence[float]) -> float:
    """Return a floor under how full the busiest pCPU is.

    Args:
        loads: of vCPUs that may be placed anywhere.
        fixed: what each pCPU carries in any case.
        speeds: of each pCPU, as a share of a full one's; at least one.
    """
    floor = (fsum(loads) + fsum(fixed)) / fsum(speeds)
    floor = max(floor, max(load / speed for load, speed in zip(fixed, speeds, strict=True)))
    if loads:
        falling = sorted(loads, reverse=True)
        fastest, pcpus = max(speeds), len(speeds)
        for together in range(1, (len(falling) - 1) // pcpus + 2):
            smallest = falling[(together - 1) * pcpus]
            floor = max(floor, together * smallest / fastest)
    return floor


def even_level(loads: Sequence[float], fixed: Sequence[float], speeds: Sequence[float]) -> float:
    """Return how full pCPUs are on which loads can be spread evenly.

    A load or a pCPU's own burden that is larger than that is set aside, with a pCPU for itself.
    """
    total, room = fsum(loads) + fsum(fixed), fsum(speeds)
    fastest = max(speeds)
    level = total / room
    if max(loads, default=0.0) <= level * fastest and all(
        load <= level * speed for load, speed in zip(fixed, speeds, strict=True)
    ):
        return level  # as usual where many share few pCPUs
    large = [(load / speed, load, speed) for load, speed in zip(fixed, speeds, strict=True)]
    large += [(load / fastest, load, fastest) for load in loads]
    large.sort(reverse=True)
    for fill, load, speed in large:
        if room - speed <= 0.0 or fill <= total / room:
            break
        total, room = total - load, room - speed
    return max(total / room, 0.0)


def fewest_moves(loads_by_pcpu: Iterable[tuple[Iterable[float], float]], busiest: float) -> int:
    """Return how many vCPUs have to leave their pCPU for none to be fuller than a limit.

    Args:
        loads_by_pcpu: for each pCPU the loads of those who may leave, and how much more of the
            limit is gone in any case; both in shares of that pCPU.
        busiest: the limit.
    """
    moves = 0
    for loads, fixed in loads_by_pcpu:
        falling = sorted(loads, reverse=True)
        excess = fsum(falling) + fixed - busiest
        for load in falling:
            if excess <= 1e-9:
                break
            excess -= load
            moves += 1
    return moves
