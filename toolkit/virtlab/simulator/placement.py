"""Where vCPUs sit that may run on several pCPUs: what Linux does with threads that nobody binds.

Measured on two CPUs:

- always-busy threads are evened out: two never move, four settle 2 + 2. Where that leaves one CPU
  with one more, they take turns about 2.5 times a second, so that each of three gets 66 % over
  30 s, and 50 to 76 % in single seconds;
- a loop that sleeps is woken on an idle CPU where one is permitted, so where it sits at one moment
  says little about the next, and it waits less than a bound one: eight 20 % loops use 141 to 148 %
  of two CPUs, while four bound to each use 138 %.

Here a loop sits on one pCPU for whole seconds, then wanders. The wakings in between are
too many to follow; what they save is in `idle_chance`: where a loop would wait on its own pCPU, it
finds another one idle with that chance, and does not wait.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from random import Random
from typing import Final

from virtlab.model.units import NS_PER_MS
from virtlab.simulator.cpu_law import BUSY
from virtlab.simulator.pcpu import Pcpu
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["REBALANCE_NS", "emptiest", "even_out", "idle_chance", "wander"]

# Unpinned sets of three and five busy loops on two CPUs rotated about 2.5 times a second.
REBALANCE_NS: Final = 400 * NS_PER_MS
# Of an unpinned loop, each second: chosen, as where it sat was not measured.
_WANDER_CHANCE: Final = 0.6
_FULL_PPM: Final = 1_000_000
# From here down 1 - chance is 1.0 in a float, however many more factors follow.
_NO_CHANCE: Final = 2.0**-54

Move = Callable[[SimulatedVcpu, int], None]


def emptiest(pcpus: Sequence[Pcpu], permitted: Sequence[int]) -> int:
    """Return the permitted pCPU that is wanted least, then has fewest vCPUs, then comes first."""
    return min(permitted, key=lambda p: (pcpus[p].wanted_ppm, len(pcpus[p].residents), p))


def even_out(pcpus: Sequence[Pcpu], move: Move) -> None:
    """Move vCPUs off overfull pCPUs; where nothing gets better, let them take turns."""
    if max([pcpu.wanted_ppm for pcpu in pcpus]) <= _FULL_PPM:
        return
    ranking = _Ranking(pcpus)
    for _ in pcpus:
        fullest = ranking.fullest()
        if fullest.wanted_ppm <= _FULL_PPM:
            return
        choice = _next_to_leave(pcpus, fullest, ranking)
        if choice is None:
            return
        vcpu, target, gap_ppm = choice
        move(vcpu, target)
        ranking.changed(fullest.index, target)
        if vcpu.wanted_ppm == gap_ppm:
            return  # only a turn taken: more would be turns of the same two


def wander(pcpus: Sequence[Pcpu], free: Sequence[SimulatedVcpu], rng: Random, move: Move) -> None:
    """Let short loops wake up elsewhere; the kernel rarely picks a much fuller pCPU."""
    for vcpu in free:
        if vcpu.duty >= BUSY or rng.random() >= _WANDER_CHANCE:
            continue
        permitted = vcpu.permitted
        drawn = rng.randrange(len(permitted) - 1)  # of the others, in their order
        target = permitted[drawn + (drawn >= bisect_left(permitted, vcpu.pcpu))]
        fuller_ppm = pcpus[target].wanted_ppm - pcpus[vcpu.pcpu].wanted_ppm
        if fuller_ppm < vcpu.wanted_ppm:
            move(vcpu, target)


def idle_chance(pcpus: Sequence[Pcpu], permitted: Sequence[int], own: int) -> float:
    """Return how likely it is that a permitted pCPU other than the own one is idle."""
    all_busy = 1.0
    for index in permitted:
        if index != own:
            used = pcpus[index].used
            if used < 1.0:
                all_busy *= used
                if all_busy < _NO_CHANCE:
                    break
    return 1.0 - all_busy


class _Ranking:
    """Who is fullest and who is emptiest, kept while vCPUs move; a move costs a few heap steps."""

    def __init__(self, pcpus: Sequence[Pcpu]) -> None:
        self._pcpus = pcpus
        self._fullest = [(-pcpu.wanted_ppm, pcpu.index) for pcpu in pcpus]
        heapify(self._fullest)
        # By permitted pCPUs, which vCPUs of one mask share; an entry that is out of date stays.
        self._emptiest: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}

    def fullest(self) -> Pcpu:
        """Return the pCPU that is wanted most, then comes first."""
        heap, pcpus = self._fullest, self._pcpus
        while -heap[0][0] != pcpus[heap[0][1]].wanted_ppm:
            heappop(heap)
        return pcpus[heap[0][1]]

    def emptiest(self, permitted: tuple[int, ...]) -> int:
        """Return the same as the function of that name."""
        pcpus = self._pcpus
        heap = self._emptiest.get(permitted)
        if heap is None:
            heap = self._emptiest[permitted] = [_fill(pcpus[index]) for index in permitted]
            heapify(heap)
        while heap[0] != _fill(pcpus[heap[0][2]]):
            heappop(heap)
        return heap[0][2]

    def changed(self, *indices: int) -> None:
        """Take note of pCPUs whose vCPUs changed."""
        for index in indices:
            pcpu = self._pcpus[index]
            heappush(self._fullest, (-pcpu.wanted_ppm, index))
            for permitted, heap in self._emptiest.items():
                at = bisect_left(permitted, index)
                if at < len(permitted) and permitted[at] == index:
                    heappush(heap, _fill(pcpu))


def _fill(pcpu: Pcpu) -> tuple[int, int, int]:
    return (pcpu.wanted_ppm, len(pcpu.residents), pcpu.index)


def _next_to_leave(
    pcpus: Sequence[Pcpu], fullest: Pcpu, ranking: _Ranking
) -> tuple[SimulatedVcpu, int, int] | None:
    """Return who leaves, whereto and across which gap: who moved longest ago goes first."""
    best: tuple[int, int, SimulatedVcpu, int, int] | None = None
    targets: dict[int, int] = {}  # by the mask's identity: vCPUs of one mask share it
    for vcpu in fullest.residents:
        if vcpu.duty <= 0.0 or len(vcpu.permitted) < 2:
            continue
        known = targets.get(id(vcpu.permitted))
        if known is None:
            known = targets[id(vcpu.permitted)] = ranking.emptiest(vcpu.permitted)
        target = known
        gap_ppm = fullest.wanted_ppm - pcpus[target].wanted_ppm
        if target != fullest.index and vcpu.wanted_ppm <= gap_ppm:
            choice = (vcpu.moved_ns, vcpu.key, vcpu, target, gap_ppm)
            if best is None or choice[:2] < best[:2]:
                best = choice
    return None if best is None else best[2:]
