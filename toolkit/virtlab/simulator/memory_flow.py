"""Where the memory comes from that something in a guest needs: the order, and how fast it goes.

What grows takes free memory first, then page cache down to a small rest, then, with swap space,
the guest's idle and oldest pages at the speed of its disk. The cache grows back as fast as files
are read again, and idle processes get back what they had in swap; both into free memory only.

Resident memory rises when pages are touched for the first time since they were given, and falls
only where the balloon takes pages away.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.units import NS_PER_S
from virtlab.simulator.memory_sizes import (
    CACHE_REST_KIB,
    FREE_MIN_KIB,
    IDLE_FAULTS_PER_S,
    MemorySizes,
)

__all__ = ["End", "Flow", "flow_of", "let_resident_follow", "snap"]

End = tuple[float, float]  # KiB to go, KiB/ns: something will be reached


@dataclass(frozen=True, slots=True)
class Flow:
    """How fast each part of a guest's memory grows, in KiB/ns, and what will be reached."""

    actual: float = 0.0
    consumer: float = 0.0
    cache: float = 0.0
    swap: float = 0.0
    ends: tuple[End, ...] = ()

    def apply(self, sizes: MemorySizes) -> None:
        """Set the rates."""
        sizes.actual.rate, sizes.consumer.rate = self.actual, self.consumer
        sizes.cache.rate, sizes.swap.rate = self.cache, self.swap


def flow_of(sizes: MemorySizes, grow: float, balloon: float) -> Flow | None:
    """Return what comes of a consumer and a balloon that want to move at rates, in KiB/ns.

    None where nothing is free and nothing can be reclaimed.
    """
    free_kib = sizes.free_kib()
    reads = _read_rate(sizes, free_kib)
    back = _back_rate(sizes, free_kib)
    cache, swap = reads, -back
    ends: list[End] = []
    if reads:
        ends.append((sizes.spec.cache_kib - sizes.cache.kib, reads))
    if back:
        ends.append((sizes.processes_swapped_kib(), back))
    need = grow - balloon + reads + back  # how fast free memory shrinks
    if need > 0.0:
        # A balloon goes below what processes leave, but not they themselves.
        floor_kib = max(sizes.spec.reserve_kib, FREE_MIN_KIB) if grow > 0.0 else FREE_MIN_KIB
        if free_kib > floor_kib:
            ends.append((free_kib - floor_kib, need))
        elif sizes.cache.kib > CACHE_REST_KIB:
            cache = -need
            ends.append((sizes.cache.kib - CACHE_REST_KIB, need))
        elif (room_kib := sizes.swap_room_kib()) > 1.0:
            slowed = min(sizes.swap.speed / need, 1.0)
            grow, balloon, need = grow * slowed, balloon * slowed, need * slowed
            swap = need
            ends.append((room_kib, need))
        else:
            return None
    return Flow(balloon, grow, cache, swap, tuple(ends))


def let_resident_follow(sizes: MemorySizes) -> list[End]:
    """Let resident memory follow what is held upwards, and the balloon downwards."""
    held_kib = sizes.held_kib()
    held_rate = sizes.cache.rate + sizes.consumer.rate - sizes.swap.rate
    actual, rss = sizes.actual, sizes.rss
    rss.rate = 0.0
    ends: list[End] = []
    if held_rate > 0.0:
        if held_kib >= rss.kib - 1.0:
            rss.rate = held_rate
        else:
            ends.append((rss.kib - held_kib, held_rate))
    if actual.rate < 0.0:
        if actual.kib <= rss.kib + 1.0:
            rss.rate = actual.rate
        else:
            ends.append((actual.kib - rss.kib, -actual.rate))
    return ends


def snap(sizes: MemorySizes, actual_goal_kib: int) -> None:
    """Take what was reached to the letter, as its event came up to a nanosecond late."""
    actual, cache = sizes.actual, sizes.cache
    if actual.rate > 0.0:
        actual.kib = min(actual.kib, float(actual_goal_kib))
    elif actual.rate < 0.0:
        actual.kib = max(actual.kib, float(actual_goal_kib))
    if cache.rate < 0.0:
        cache.kib = max(cache.kib, float(CACHE_REST_KIB))
    elif cache.rate > 0.0:
        cache.kib = min(cache.kib, float(sizes.spec.cache_kib))
    sizes.rss.kib = min(sizes.rss.kib, actual.kib)


def _read_rate(sizes: MemorySizes, free_kib: float) -> float:
    """Return how fast files that are read again fill the page cache."""
    if free_kib > FREE_MIN_KIB and sizes.cache.kib < sizes.spec.cache_kib - 1.0:
        return sizes.spec.file_reads_kib_s / NS_PER_S
    return 0.0


def _back_rate(sizes: MemorySizes, free_kib: float) -> float:
    """Return how fast idle processes get back what they have in swap."""
    if free_kib > FREE_MIN_KIB and sizes.processes_swapped_kib() > 1.0:
        return sizes.swap.back_rate(IDLE_FAULTS_PER_S)
    return 0.0
