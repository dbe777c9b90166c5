"""Where vCPUs sit that may run on several pCPUs: what Linux does with threads that nobody binds.

Measured on two CPUs:

- always-busy threads are evened out: two never move, four settle 2 + 2. Where that leaves one CPU
  with one more, they take turns about 2.5 times a second, so that each of three gets 66 % over
  30 s, and 50 to 76 % in single seconds;
- a loop that sleeps is woken on an idle CPU where one is permitted, so where it sits at one moment
  says little about the next: eight 20 % loops use 141 to 148 % of two CPUs. They meet at random,
  unlike bound ones, which avoid one another (`queue_law`).

Here a loop sits on one pCPU for whole seconds, then wanders. The wakings in between are too many to
follow; `roaming` has what they save.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from operator import attrgetter
from random import Random
from typing import Final

from virtlab.model.topology import FULL_CAPACITY
from virtlab.model.units import NS_PER_MS
from virtlab.simulator.cpu_law import BUSY
from virtlab.simulator.pcpu import Pcpu
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["REBALANCE_NS", "emptiest", "even_out", "spread_over_cores", "wander"]

# Unpinned sets of three and five busy loops on two CPUs rotated about 2.5 times a second.
REBALANCE_NS: Final = 400 * NS_PER_MS
# Of an unpinned loop, each second: chosen, as where it sat was not measured.
_WANDER_CHANCE: Final = 0.6
_FULL_PPM: Final = 1_000_000

_last_move = attrgetter("moved_ns")

Move = Callable[[SimulatedVcpu, int], None]
# Those of permitted pCPUs that lie in the same cell as a pCPU: see `Machine.near`.
Near = Callable[[tuple[int, ...], int], tuple[int, ...]]


def _anywhere(permitted: tuple[int, ...], _pcpu: int) -> tuple[int, ...]:
    return permitted


def emptiest(pcpus: Sequence[Pcpu], permitted: Sequence[int]) -> int:
    """Return the permitted pCPU that comes first by `Pcpu.rank`: the least wanted."""
    return min([pcpus[index].rank for index in permitted])[-1]


def even_out(pcpus: Sequence[Pcpu], move: Move, near: Near = _anywhere) -> None:
    """Move vCPUs off overfull pCPUs; where nothing gets better, let them take turns."""
    if max([pcpu.fill_ppm for pcpu in pcpus]) <= _FULL_PPM:
        return
    ranking = _Ranking(pcpus)
    for _ in pcpus:
        fullest = ranking.fullest()
        fill_ppm = fullest.fill_ppm
        if fill_ppm <= _FULL_PPM:
            return
        choice = _next_to_leave(pcpus, fullest, ranking, near)
        if choice is None:
            return
        vcpu, target, after_ppm = choice
        move(vcpu, target)
        ranking.changed(fullest.index, target)
        if after_ppm == fill_ppm:
            return  # only a turn taken: more would be turns of the same two


def wander(
    pcpus: Sequence[Pcpu], loops: Iterable[SimulatedVcpu], rng: Random, near: Near = _anywhere
) -> list[tuple[SimulatedVcpu, int]]:
    """Return which of some loops that sleep wake up elsewhere, each once, and where.

    The kernel rarely picks a much fuller pCPU.
    """
    cores = [_core_of(pcpu) for pcpu in pcpus]
    wanted_ppm = [pcpu.core_ppm for pcpu in pcpus]  # at the number of the core
    moves = []
    random, getrandbits = rng.random, rng.getrandbits
    for vcpu in loops:
        if random() >= _WANDER_CHANCE:
            continue
        own = vcpu.pcpu
        permitted = near(vcpu.permitted, own)
        others = len(permitted) - 1
        if others < 1:
            continue
        # As `randrange` draws, of the others in their order.
        bits = others.bit_length()
        drawn = getrandbits(bits)
        while drawn >= others:
            drawn = getrandbits(bits)
        target = permitted[drawn + (drawn >= bisect_left(permitted, own))]
        here, there = cores[own], cores[target]
        if wanted_ppm[there] - wanted_ppm[here] < vcpu.wanted_ppm:
            wanted_ppm[here] -= vcpu.wanted_ppm
            wanted_ppm[there] += vcpu.wanted_ppm
            moves.append((vcpu, target))
    return moves


def _core_of(pcpu: Pcpu) -> int:
    return pcpu.index if pcpu.sibling is None else min(pcpu.index, pcpu.sibling.index)


def spread_over_cores(pcpus: Sequence[Pcpu], move: Move, near: Near) -> None:
    """Move busy vCPUs off cores whose both threads are wanted, while other cores are not.

    As Linux balances cores of one cell, and cells where a whole core is idle in another
    (SD_PREFER_SIBLING and `calculate_imbalance` in kernel/sched/).
    """
    for pcpu in pcpus:
        if pcpu.sibling is None or not pcpu.wanted_ppm or not pcpu.sibling.wanted_ppm:
            continue
        for vcpu in pcpu.residents:
            if vcpu.duty < BUSY or len(vcpu.permitted) < 2:
                continue
            target = pcpus[_emptiest_core(pcpus, near(vcpu.permitted, pcpu.index))]
            if target.core_ppm + vcpu.wanted_ppm >= pcpu.core_ppm:
                target = pcpus[_emptiest_core(pcpus, vcpu.permitted)]
                if target.core_ppm:
                    continue
            move(vcpu, target.index)
            break


def _emptiest_core(pcpus: Sequence[Pcpu], permitted: Sequence[int]) -> int:
    return min([(pcpus[index].core_ppm, pcpus[index].rank) for index in permitted])[1][-1]


class _Ranking:
    """Who is fullest and who is emptiest, kept while vCPUs move; a move costs a few heap steps."""

    def __init__(self, pcpus: Sequence[Pcpu]) -> None:
        self._pcpus = pcpus
        self._fullest = [(-pcpu.fill_ppm, pcpu.index) for pcpu in pcpus]
        heapify(self._fullest)
        # By the identity of the permitted pCPUs, which vCPUs of one mask share: they are many to
        # hash. An entry that is out of date stays.
        self._emptiest: dict[int, tuple[tuple[int, ...], list[tuple[int, ...]]]] = {}

    def fullest(self) -> Pcpu:
        """Return the pCPU that is wanted most, then comes first."""
        heap, pcpus = self._fullest, self._pcpus
        while -heap[0][0] != pcpus[heap[0][1]].fill_ppm:
            heappop(heap)
        return pcpus[heap[0][1]]

    def emptiest(self, permitted: tuple[int, ...]) -> int:
        """Return the same as the function of that name."""
        pcpus = self._pcpus
        known = self._emptiest.get(id(permitted))
        if known is None:
            known = (permitted, [pcpus[index].rank for index in permitted])
            heapify(known[1])
            self._emptiest[id(permitted)] = known
        heap = known[1]
        while heap[0] != pcpus[heap[0][-1]].rank:
            heappop(heap)
        return heap[0][-1]

    def changed(self, *indices: int) -> None:
        """Take note of pCPUs whose vCPUs changed."""
        for index in indices:
            pcpu = self._pcpus[index]
            heappush(self._fullest, (-pcpu.fill_ppm, index))
            self._push(pcpu)
            if pcpu.sibling is not None:
                self._push(pcpu.sibling)  # whose rank looks at the whole core

    def _push(self, pcpu: Pcpu) -> None:
        for permitted, heap in self._emptiest.values():
            at = bisect_left(permitted, pcpu.index)
            if at < len(permitted) and permitted[at] == pcpu.index:
                heappush(heap, pcpu.rank)


def _next_to_leave(
    pcpus: Sequence[Pcpu], fullest: Pcpu, ranking: _Ranking, near: Near
) -> tuple[SimulatedVcpu, int, int] | None:
    """Return who leaves, whereto, and how full that is then: who moved longest ago goes first."""
    loops = [vcpu for vcpu in fullest.residents if vcpu.free]
    loops.sort(key=_last_move)  # which leaves those of one moment in the order of their numbers
    targets: dict[int, tuple[int, ...]] = {}  # by the mask's identity: vCPUs of one mask share it
    for vcpu in loops:
        permitted = vcpu.permitted
        known = targets.get(id(permitted))
        if known is None:
            # The own cell first, as Linux evens out within it before it looks further.
            inside = near(permitted, fullest.index)
            masks = (permitted,) if inside is permitted else (inside, permitted)
            known = targets[id(permitted)] = tuple([ranking.emptiest(mask) for mask in masks])
        found = _better_place(pcpus, fullest, vcpu, known)
        if found is not None:
            return (vcpu, *found)
    return None


def _better_place(
    pcpus: Sequence[Pcpu], fullest: Pcpu, vcpu: SimulatedVcpu, targets: Sequence[int]
) -> tuple[int, int] | None:
    """Return the first target where a vCPU is better off, or else where it takes a turn."""
    turn = None
    for target in targets:
        there = pcpus[target]
        after_ppm = (there.wanted_ppm + vcpu.wanted_ppm) * FULL_CAPACITY // there.capacity
        if after_ppm < fullest.fill_ppm:
            return (target, after_ppm)
        # Alone on a slow pCPU it leaves for a faster one only.
        alone = vcpu.wanted_ppm == fullest.wanted_ppm
        if after_ppm == fullest.fill_ppm and not alone and turn is None:
            turn = (target, after_ppm)
    return turn
