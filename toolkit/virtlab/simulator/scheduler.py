"""The host's CPU scheduler: where vCPUs sit, how a pCPU is shared, and when they are moved.

Each pCPU shares its time among the vCPUs on it by `cpu_law`. A vCPU sits on one pCPU at a time. A
pin takes effect at once; vCPUs whose mask permits several pCPUs are placed on the emptiest one and
moved on as Linux does, as far as that was measured:

- where one pCPU holds more always-busy vCPUs than another, they rotate about 2.5 times a second, so
  that each of three on two pCPUs gets 66 % over 30 s; balanced ones never move;
- short loops wander: the kernel puts a waking thread on an idle pCPU nearby, so where they sit at
  one moment says little about the next.

Linux finds idle pCPUs at each waking. Here unpinned loops move at the rotation's pace only, so that
eight unpinned 20 % loops on two pCPUs use 138 % instead of the measured 141 to 148 %.

Noise: an idle vCPU uses up to 3 % at random, a loop's duty is off by about a point in each second,
and always-busy vCPUs show none. It is drawn once a second for the whole host, each vCPU from its
own stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final

from virtlab.model.units import NS_PER_MS, NS_PER_S
from virtlab.simulator.cpu_law import sharing, weighted_sharing
from virtlab.simulator.engine import EventQueue, Priority
from virtlab.simulator.vcpu import MOVE_COST_NS, SimulatedVcpu

__all__ = ["CpuScheduler", "Pcpu"]

# Unpinned sets of three and five busy loops on two CPUs rotated about 2.5 times a second.
_REBALANCE_NS: Final = 400 * NS_PER_MS
_WANDER_CHANCE: Final = 0.3  # of an unpinned short loop, each time
_BUSY: Final = 0.9999

# What a loop's duty is off by in one second, in shares of a pCPU: a binomial with a standard
# deviation of 1.25 points. Few levels, so that the law's results are found in its cache.
_DUTY_NOISE: Final = tuple(
    0.0125 * step
    for step, times in ((-2, 1), (-1, 4), (0, 6), (1, 4), (2, 1))
    for _ in range(times)
)
_IDLE_LEVELS: Final = 13
# Touching pages one by one with a pause after each costs little CPU time.
_GROWTH_DUTY: Final = 0.05


class Pcpu:
    """One pCPU: who sits on it, and how long it was busy."""

    __slots__ = ("busy_ns", "dirty", "index", "residents", "wanted")

    def __init__(self, index: int) -> None:
        self.index = index
        self.residents: list[SimulatedVcpu] = []  # by their numbers
        self.busy_ns = 0
        self.wanted = 0.0  # sum of its residents' duties
        self.dirty = False

    def busy_now_ns(self) -> int:
        """Return how long it was busy, cumulative."""
        return self.busy_ns + sum(vcpu.live_ns() for vcpu in self.residents)


class CpuScheduler:
    """All pCPUs of a host, and the vCPUs on them."""

    def __init__(self, pcpus: int, queue: EventQueue, rng: Random) -> None:
        """Take the number of pCPUs, the host's events, and this scheduler's random stream."""
        self.pcpus = [Pcpu(index) for index in range(pcpus)]
        # Told when a vCPU that touches pages gets more or less of its pCPU, and when a batch ends.
        self.on_wait: Callable[[SimulatedVcpu], None] = lambda _vcpu: None
        self.on_batch_done: Callable[[SimulatedVcpu], None] = lambda _vcpu: None
        self.stopped = False  # a frozen host runs nothing
        self._queue = queue
        self._rng = rng
        self._vcpus: list[SimulatedVcpu] = []  # powered ones, by their numbers
        self._dirty: list[Pcpu] = []
        self._rebalancing = False
        self._noisy = False

    # What the guests do.

    def power_on(self, vcpus: Iterable[SimulatedVcpu]) -> None:
        """Let vCPUs run, each placed on the emptiest pCPU that its mask permits."""
        for vcpu in vcpus:
            vcpu.powered = True
            vcpu.settle(self._queue.now_ns)
            vcpu.pcpu = self._emptiest(vcpu.mask)
            self._vcpus.append(vcpu)
            vcpu.demand = self._drawn(vcpu)
            self._seat(vcpu)
        self._vcpus.sort(key=_key)
        if not self._noisy and self._vcpus:
            self._noisy = True
            self._queue.schedule(self._next_second(), Priority.NOISE, self._draw_noise)
        self.update()

    def power_off(self, vcpus: Iterable[SimulatedVcpu]) -> None:
        """Take vCPUs off their pCPUs; their loads are kept for a later resume."""
        gone = set()
        for vcpu in vcpus:
            if not vcpu.powered:
                continue  # its guest is paused
            gone.add(vcpu.key)
            self._unseat(vcpu)
            vcpu.powered = False
            vcpu.run_rate = vcpu.wait_rate = 0.0
            vcpu.halted = True
            self._queue.cancel(vcpu.batch_event)
            vcpu.batch_event = None
        self._vcpus = [vcpu for vcpu in self._vcpus if vcpu.key not in gone]
        self.update()

    def set_mask(self, vcpu: SimulatedVcpu, mask: frozenset[int]) -> bool:
        """Bind a vCPU to pCPUs at once; return whether that changed its mask."""
        if mask == vcpu.mask:
            return False
        vcpu.mask = mask
        if vcpu.powered:
            if vcpu.pcpu not in mask:
                self._move(vcpu, self._emptiest(mask))
            self._watch_balance(vcpu)
            self.update()
        elif vcpu.pcpu not in mask:
            vcpu.pcpu = min(mask)
        return True

    def set_load(self, vcpu: SimulatedVcpu, duty: float, *, batch_ns: int | None = None) -> None:
        """Start a load on a vCPU in place of the one before; duty 0 makes it idle."""
        self._touch(vcpu)
        vcpu.duty = duty
        vcpu.batch = batch_ns is not None
        vcpu.batch_left_ns = float(batch_ns or 0)
        vcpu.demand = self._drawn(vcpu)
        self._watch_balance(vcpu)

    def set_growing(self, vcpu: SimulatedVcpu, growing: bool) -> None:
        """Start or end the touching of pages on a vCPU."""
        self._touch(vcpu)
        vcpu.growing = growing
        vcpu.demand = self._drawn(vcpu)
        self.update()

    def set_weight(self, vcpu: SimulatedVcpu, weight: int) -> None:
        """Set a vCPU's scheduling weight; 1024 is ordinary."""
        self._touch(vcpu)
        vcpu.weight = weight
        self.update()

    def stop(self) -> None:
        """Freeze the host: nothing runs any more."""
        self.stopped = True
        for pcpu in self.pcpus:
            self._mark(pcpu)
        self.update()

    def update(self) -> None:
        """Set the rates of every pCPU on which something changed."""
        dirty, self._dirty = self._dirty, []
        for pcpu in dirty:
            pcpu.dirty = False
            self._share(pcpu)

    # Sharing.

    def _share(self, pcpu: Pcpu) -> None:
        now_ns = self._queue.now_ns
        residents = pcpu.residents
        pcpu.busy_ns += sum([vcpu.settle(now_ns) for vcpu in residents])
        if self.stopped:
            shares: Sequence[tuple[float, float]] = [(0.0, 0.0)] * len(residents)
        elif _equal_weights(residents):
            shares = sharing(tuple([vcpu.demand for vcpu in residents]))
        else:
            shares = weighted_sharing(
                [vcpu.demand for vcpu in residents], [vcpu.weight for vcpu in residents]
            )
        for vcpu, (run, wait) in zip(residents, shares, strict=True):
            vcpu.run_rate = run
            if vcpu.wait_rate != wait:
                vcpu.wait_rate = wait
                if vcpu.growing:
                    self.on_wait(vcpu)
            if vcpu.batch:
                self._time_batch(vcpu, now_ns)
            vcpu.halted = run + wait < 0.5  # what it was doing at a moment taken at random

    def _time_batch(self, vcpu: SimulatedVcpu, now_ns: int) -> None:
        self._queue.cancel(vcpu.batch_event)
        vcpu.batch_event = None
        if vcpu.run_rate > 0.0:
            left_ns = max(int(vcpu.batch_left_ns / vcpu.run_rate), 0)
            vcpu.batch_event = self._queue.schedule(
                now_ns + left_ns, Priority.CPU, lambda _now: self.on_batch_done(vcpu)
            )

    # Placing.

    def _emptiest(self, mask: Iterable[int]) -> int:
        pcpus = self.pcpus
        return min(sorted(mask), key=lambda p: (pcpus[p].wanted, len(pcpus[p].residents), p))

    def _seat(self, vcpu: SimulatedVcpu) -> None:
        pcpu = self.pcpus[vcpu.pcpu]
        self._mark(pcpu)
        pcpu.residents.append(vcpu)
        pcpu.residents.sort(key=_key)
        pcpu.wanted += vcpu.duty
        self._watch_balance(vcpu)

    def _unseat(self, vcpu: SimulatedVcpu) -> None:
        pcpu = self.pcpus[vcpu.pcpu]
        self._mark(pcpu)
        pcpu.busy_ns += vcpu.settle(self._queue.now_ns)
        pcpu.residents.remove(vcpu)
        pcpu.wanted = sum(other.duty for other in pcpu.residents)

    def _move(self, vcpu: SimulatedVcpu, target: int) -> None:
        self._unseat(vcpu)
        vcpu.run_rate = vcpu.wait_rate = 0.0
        vcpu.pcpu = target
        vcpu.moved_ns = self._queue.now_ns
        if vcpu.batch:
            vcpu.batch_left_ns += MOVE_COST_NS  # work that is done again with a cold cache
        self._seat(vcpu)

    def _mark(self, pcpu: Pcpu) -> None:
        if not pcpu.dirty:
            pcpu.dirty = True
            self._dirty.append(pcpu)

    def _touch(self, vcpu: SimulatedVcpu) -> None:
        if vcpu.powered:
            self._mark(self.pcpus[vcpu.pcpu])

    # Rebalancing of unpinned vCPUs.

    def _watch_balance(self, vcpu: SimulatedVcpu) -> None:
        pcpu = self.pcpus[vcpu.pcpu]
        pcpu.wanted = sum(other.duty for other in pcpu.residents)
        if not self._rebalancing and vcpu.powered and vcpu.duty > 0.0 and len(vcpu.mask) > 1:
            self._rebalancing = True
            at_ns = (self._queue.now_ns // _REBALANCE_NS + 1) * _REBALANCE_NS
            self._queue.schedule(at_ns, Priority.CPU, self._rebalance)

    def _rebalance(self, now_ns: int) -> None:
        free = [v for v in self._vcpus if v.duty > 0.0 and len(v.mask) > 1]
        self._rebalancing = bool(free)
        if not free or self.stopped:
            return
        self._even_out(free)
        for vcpu in free:
            if vcpu.duty < _BUSY and self._rng.random() < _WANDER_CHANCE:
                others = sorted(vcpu.mask - {vcpu.pcpu})
                target = others[self._rng.randrange(len(others))]
                # The kernel looks for an idle pCPU, so it rarely picks a much fuller one.
                full = self.pcpus[target].wanted - self.pcpus[vcpu.pcpu].wanted
                if full < vcpu.duty:
                    self._move(vcpu, target)
        self.update()
        self._queue.schedule(now_ns + _REBALANCE_NS, Priority.CPU, self._rebalance)

    def _even_out(self, free: Sequence[SimulatedVcpu]) -> None:
        """Move vCPUs off overfull pCPUs; where nothing gets better, let them take turns."""
        for _ in range(len(self.pcpus)):
            fullest = max(self.pcpus, key=lambda p: (p.wanted, -p.index))
            if fullest.wanted <= 1.0:
                return
            best: tuple[int, int, SimulatedVcpu, int] | None = None
            for vcpu in free:
                if vcpu.pcpu != fullest.index:
                    continue
                target = self._emptiest(vcpu.mask)
                gap = fullest.wanted - self.pcpus[target].wanted
                if target != vcpu.pcpu and vcpu.duty <= gap + 1e-9:
                    choice = (vcpu.moved_ns, vcpu.key, vcpu, target)
                    if best is None or choice[:2] < best[:2]:
                        best = choice
            if best is None:
                return
            _, _, vcpu, target = best
            gap = fullest.wanted - self.pcpus[target].wanted
            self._move(vcpu, target)
            if vcpu.duty >= gap - 1e-9:
                return  # only a turn taken: more would be turns of the same two

    # Noise.

    def _drawn(self, vcpu: SimulatedVcpu) -> float:
        """Return what a vCPU wants in this second."""
        duty = vcpu.duty
        if duty <= 0.0:
            duty = vcpu.noise_max * int(vcpu.noise.random() * _IDLE_LEVELS) / (_IDLE_LEVELS - 1)
        elif duty < _BUSY:
            duty += _DUTY_NOISE[int(vcpu.noise.random() * 16)]
            duty = min(max(duty, 0.001), _BUSY)
        if vcpu.growing:
            duty = min(duty + _GROWTH_DUTY, 1.0)
        return duty

    def _draw_noise(self, now_ns: int) -> None:
        if not self._vcpus:
            self._noisy = False
            return
        for vcpu in self._vcpus:
            if vcpu.duty < _BUSY:
                demand = self._drawn(vcpu)
                if demand != vcpu.demand:
                    vcpu.demand = demand
                    self._mark(self.pcpus[vcpu.pcpu])
        self.update()
        self._queue.schedule(now_ns + NS_PER_S, Priority.NOISE, self._draw_noise)

    def _next_second(self) -> int:
        return (self._queue.now_ns // NS_PER_S + 1) * NS_PER_S


def _key(vcpu: SimulatedVcpu) -> int:
    return vcpu.key


def _equal_weights(vcpus: Sequence[SimulatedVcpu]) -> bool:
    first = vcpus[0].weight if vcpus else 0
    return all(vcpu.weight == first for vcpu in vcpus)
