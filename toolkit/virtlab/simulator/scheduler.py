"""The host's CPU scheduler: keeps vCPUs on their pCPUs and the rates at which they run.

Whatever changes at one instant (eight pins, a second's noise) is gathered, and the rates of the
pCPUs concerned are set once, at the end of that instant: until time moves, rates make no
difference. `pcpu` shares one pCPU by the law, `placement` moves those that are not bound, `noise`
draws what they want from second to second. A pin takes effect at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from math import fsum, inf
from random import Random

from virtlab.model.topology import Topology
from virtlab.model.units import NS_PER_S
from virtlab.simulator.columns import ColumnVcpu, VcpuColumns
from virtlab.simulator.cpu_law import BUSY, Shares
from virtlab.simulator.crowd import Crowd
from virtlab.simulator.crowd_law import numpy_or_none
from virtlab.simulator.engine import EventQueue, Priority
from virtlab.simulator.machine import Machine
from virtlab.simulator.noise import draw, drawn_anew
from virtlab.simulator.pcpu import Pcpu, by_key
from virtlab.simulator.placement import (
    REBALANCE_NS,
    emptiest,
    even_out,
    spread_over_cores,
    wander,
)
from virtlab.simulator.queue_law import slice_ns
from virtlab.simulator.quota_law import Pool, share_within_quotas
from virtlab.simulator.roaming import idle_chances, woken_elsewhere
from virtlab.simulator.speeds import Speeds
from virtlab.simulator.unlike_law import gains_of
from virtlab.simulator.vcpu import ASIDE, SimulatedVcpu, in_order
from virtlab.simulator.weight_law import Group

__all__ = ["CpuScheduler"]


# From so many vCPUs on, work on all of them each second costs less in columns.
_COLUMNS_MIN = 256
# From so many on, moving them at once costs less than one by one.
_MOVES_MIN = 32


class CpuScheduler:
    """All pCPUs of a host, and the vCPUs on them."""

    def __init__(self, topology: Topology, queue: EventQueue, rng: Random, vcpus: int = 0) -> None:
        """Take the host's layout and events, and this scheduler's random stream.

        Args:
            topology: the pCPUs, and what makes a difference between them.
            queue: the host's events.
            rng: a random stream of its own.
            vcpus: about how many there will be; many are kept in columns where numpy is there.
        """
        self.machine = Machine(topology)
        self.pcpus = [Pcpu(index, capacity) for index, capacity in enumerate(topology.capacity)]
        for index, sibling in self.machine.siblings.items():
            self.pcpus[index].sibling = self.pcpus[sibling]
        self._speeds = None if self.machine.alike else Speeds(self.machine, self.pcpus)
        # Told when a vCPU that touches pages gets more or less of its pCPU, and when a batch ends.
        self.on_wait: Callable[[SimulatedVcpu], None] = lambda _vcpu: None
        self.on_batch_done: Callable[[SimulatedVcpu], None] = lambda _vcpu: None
        self.stopped = False  # a frozen host runs nothing
        self._queue = queue
        self._rng = rng
        self._slice_ns = slice_ns(len(self.pcpus))
        self._vcpus: list[SimulatedVcpu] = []  # powered ones, by their numbers
        self._dirty: list[Pcpu] = []
        self._rebalancing = False
        self._noisy = False
        self._free: dict[int, SimulatedVcpu] = {}  # powered loops that may run in several places
        self._loops: list[SimulatedVcpu] | None = []  # those that roam, in order; None: unknown
        self.columns: VcpuColumns | None = None
        self._crowd: Crowd | None = None
        numpy = numpy_or_none() if vcpus >= _COLUMNS_MIN else None
        if numpy is not None:
            self.columns = VcpuColumns(numpy, len(self.pcpus))
            self._crowd = Crowd(self.columns, self.pcpus, roams=self.machine.alike)
        self._regrouped: dict[Group, None] = {}  # guests whose vCPUs count otherwise than before
        self._limiting = False  # somebody was given a quota
        self._plays = vcpus < _COLUMNS_MIN and self.machine.alike  # unlike loads are played through

    def busy_ns(self) -> list[int]:
        """Return how long each pCPU was busy, cumulative."""
        if self.columns is None:
            return [pcpu.busy_ns() for pcpu in self.pcpus]
        here_ns = self.columns.busy_ns(self._queue.now_ns, len(self.pcpus))
        return [pcpu.left_ns + ns for pcpu, ns in zip(self.pcpus, here_ns, strict=True)]

    def runnable(self) -> float:
        """Return how many vCPUs run or wait for their turn, as an expected value."""
        if self.columns is None:
            rates = [vcpu.run_rate + vcpu.wait_rate for vcpu in self._vcpus]
        else:
            # Row 0 is nobody's, and holds whatever was last written to an empty seat.
            rates = (self.columns["run_rate"] + self.columns["wait_rate"])[1:].tolist()
        return fsum(rates)  # the same in any order

    def new_vcpu(
        self, name: str, index: int, number: int, mask: frozenset[int], noise: Random,
        noise_max: float,
    ) -> SimulatedVcpu:  # fmt: skip
        """Return a vCPU of this host, not powered; see `SimulatedVcpu`."""
        pcpus = len(self.pcpus)
        if self.columns is None:
            return SimulatedVcpu(name, index, number, mask, pcpus, self._queue, noise, noise_max)
        return ColumnVcpu(
            self.columns, name, index, number, mask, pcpus, self._queue, noise, noise_max
        )

    def release(self, vcpus: Iterable[SimulatedVcpu]) -> None:
        """Let vCPUs go for ever that are not powered; their counters stay as they are."""
        for vcpu in vcpus:
            if self.columns is not None and isinstance(vcpu, ColumnVcpu):
                self.columns.release(vcpu)

    # What the guests do.

    def power_on(self, vcpus: Iterable[SimulatedVcpu]) -> None:
        """Let vCPUs run, each placed on the emptiest pCPU that its mask permits."""
        for vcpu in vcpus:
            if vcpu.powered:
                continue
            vcpu.powered = True
            vcpu.settle(self._queue.now_ns)
            vcpu.pcpu = emptiest(self.pcpus, vcpu.permitted)
            insort(self._vcpus, vcpu, key=by_key)
            draw(vcpu)
            self._seat(vcpu)
            self._watch_balance(vcpu)
            self._regroup(vcpu)
        if not self._noisy and self._vcpus:
            self._noisy = True
            second = self._queue.now_ns // NS_PER_S + 1
            self._queue.schedule(second * NS_PER_S, Priority.NOISE, self._each_second)

    def power_off(self, vcpus: Iterable[SimulatedVcpu]) -> None:
        """Take vCPUs off their pCPUs; their loads are kept for a later resume."""
        for vcpu in vcpus:
            if not vcpu.powered:
                continue
            self._unseat(vcpu)
            vcpu.powered = False
            self._watch_balance(vcpu)
            self._regroup(vcpu)
            self._queue.cancel(vcpu.batch_event)
            vcpu.batch_event = None
            del self._vcpus[bisect_left(self._vcpus, vcpu.key, key=by_key)]

    def set_mask(self, vcpu: SimulatedVcpu, mask: frozenset[int]) -> bool:
        """Bind a vCPU to pCPUs at once; return whether that changed its mask."""
        if mask == vcpu.mask:
            return False
        vcpu.mask = mask
        vcpu.permitted = in_order(mask)
        vcpu.note_roaming()
        if not vcpu.powered:
            if vcpu.pcpu not in mask:
                vcpu.pcpu = vcpu.permitted[0]
            return True
        if vcpu.pcpu not in mask:
            self._move(vcpu, emptiest(self.pcpus, vcpu.permitted))
        self._mark(self.pcpus[vcpu.pcpu])
        self._watch_balance(vcpu)
        return True

    def set_load(
        self, vcpu: SimulatedVcpu, duty: float, *, period_ns: int = 0,
        batch_ns: int | None = None, aside: bool = False,
    ) -> None:  # fmt: skip
        """Start a load on a vCPU in place of the one before; duty 0 makes it idle.

        Args:
            vcpu: the vCPU.
            duty: share of a pCPU that it takes when alone.
            period_ns: of a loop; 0 for a load without a known one.
            batch_ns: the work after which it ends.
            aside: loops are served in turn beside it, as beside an idle vCPU.
        """
        self._queue.cancel(vcpu.batch_event)
        vcpu.batch_event = None
        wanted_ppm = round(duty * 1_000_000)
        if vcpu.powered:
            pcpu = self.pcpus[vcpu.pcpu]
            pcpu.settle(self._queue.now_ns)  # what ran so far was the old load's
            pcpu.want(wanted_ppm - vcpu.wanted_ppm)
        vcpu.duty, vcpu.wanted_ppm = duty, wanted_ppm
        self._regroup(vcpu)
        vcpu.period_ns = period_ns
        short = duty < BUSY and round(duty * period_ns) <= self._slice_ns
        vcpu.beat_ns = ASIDE if aside else period_ns if short else 0
        vcpu.note_roaming()
        vcpu.batch = batch_ns is not None
        vcpu.batch_left_ns = float(batch_ns or 0)
        self._demand_anew(vcpu)
        self._watch_balance(vcpu)

    def set_growing(self, vcpu: SimulatedVcpu, growing: bool) -> None:
        """Start or end the touching of pages on a vCPU."""
        vcpu.growing = growing
        self._demand_anew(vcpu)

    def set_weight(self, vcpu: SimulatedVcpu, weight: int) -> None:
        """Set a vCPU's scheduling weight; 1024 is ordinary."""
        vcpu.weight = weight
        if vcpu.powered:
            self._mark(self.pcpus[vcpu.pcpu])

    def set_quotas(
        self, limits: Sequence[tuple[SimulatedVcpu, float | None]], together: float | None
    ) -> None:
        """Limit what the threads of a guest may run, each and all together; None is no limit."""
        pool = None if together is None else Pool(together, [vcpu for vcpu, _ in limits])
        for vcpu, each in limits:
            quota = inf if each is None else each
            if vcpu.quota == quota and vcpu.pool is pool:
                continue
            self._limiting = True
            vcpu.quota, vcpu.pool = quota, pool
            vcpu.limited = quota < inf or pool is not None
            if vcpu.powered:
                self._mark(self.pcpus[vcpu.pcpu])

    def set_memory_speeds(self, vcpu: SimulatedVcpu, by_cell: tuple[float, ...]) -> None:
        """Say how fast a vCPU works in each cell, from where its memory lies."""
        vcpu.speed_by_cell = by_cell
        if vcpu.powered and self._speeds is not None:
            pcpu = self.pcpus[vcpu.pcpu]
            pcpu.settle(self._queue.now_ns)
            self._speeds.take_seat(vcpu)
            self._mark(pcpu)

    def stop(self) -> None:
        """Freeze the host: nothing runs any more."""
        self.stopped = True
        for pcpu in self.pcpus:
            self._mark(pcpu)

    # Rates.

    def _mark(self, pcpu: Pcpu, *, altered: bool = True) -> None:
        pcpu.altered = pcpu.altered or altered
        if pcpu.dirty:
            return
        if not self._dirty:
            self._queue.schedule(self._queue.now_ns, Priority.CPU, self._set_rates)
        pcpu.dirty = True
        self._dirty.append(pcpu)

    def _set_rates(self, now_ns: int) -> None:
        """Set the rates of every pCPU on which something changed."""
        self._count_company()
        self._mark_concerned()
        if self._plays and not self.stopped:
            for pcpu in self._dirty:
                if pcpu.altered:
                    pcpu.altered = False
                    pcpu.gains = gains_of(pcpu, self._slice_ns)
        # A roaming loop looks for idle pCPUs elsewhere, so a change there concerns its own too.
        concerned = [pcpu for pcpu in self.pcpus if pcpu.dirty or pcpu.roamed]
        within_quotas = [p for p in concerned if p.dirty and p.limited] if self._limiting else []
        dirty, self._dirty = self._dirty, []
        crowd = None if self.stopped else self._crowd
        few = [] if crowd is None else crowd.seated([pcpu for pcpu in concerned if pcpu.dirty])
        if self._speeds is not None and not self.stopped:
            self._speeds.settle(dirty, few, self.columns, now_ns)
        even: list[Pcpu] = []
        if crowd is not None:
            crowd.apply_law(few)
            even = [pcpu for pcpu in concerned if pcpu.even]
            concerned = [pcpu for pcpu in concerned if not pcpu.even]
        if within_quotas and not self.stopped:
            self._share_within_quotas(within_quotas, now_ns)
        for pcpu in concerned:
            pcpu.settle(now_ns)
            if pcpu.dirty:
                pcpu.dirty = False
                pcpu.apply_law(stopped=self.stopped)
        if crowd is not None:
            crowd.share(even, now_ns)
        chances: dict[tuple[int, ...], list[float]] = {}
        for pcpu in concerned:
            self._share(pcpu, chances, now_ns)

    def _regroup(self, vcpu: SimulatedVcpu) -> None:
        """Take note that a vCPU may count otherwise beside the others of its guest."""
        if vcpu.group is not None and len(vcpu.group.vcpus) > 1:
            self._regrouped[vcpu.group] = None

    def _count_company(self) -> None:
        """Tell the vCPUs of guests in which something changed how much the others count."""
        for group in self._regrouped:
            for vcpu, ppm in zip(group.vcpus, group.company_ppm(), strict=True):
                if vcpu.company_ppm == ppm:
                    continue
                vcpu.company_ppm = ppm
                if vcpu.powered:
                    self._mark(self.pcpus[vcpu.pcpu])
        self._regrouped.clear()

    def _mark_concerned(self) -> None:
        """Let a change concern all pCPUs that it reaches: by pools, by siblings, and so on."""
        counted = 0
        while counted < len(self._dirty):
            counted = len(self._dirty)
            if self._limiting:
                self._mark_pools()
            if self._speeds is not None:
                self._dirty = self._speeds.with_siblings(self._dirty)
                for pcpu in self._dirty:
                    pcpu.dirty = True

    def _mark_pools(self) -> None:
        """Let what changes concern all pCPUs with vCPUs of guests that share a quota there."""
        for pcpu in self._dirty:  # which grows meanwhile
            for pool in {id(v.pool): v.pool for v in pcpu.residents}.values():
                for vcpu in pool.vcpus if pool is not None else ():
                    if vcpu.powered:
                        self._mark(self.pcpus[vcpu.pcpu])

    def _share_within_quotas(self, pcpus: Sequence[Pcpu], now_ns: int) -> None:
        """Work out the law where somebody has a quota; nobody there wakes up elsewhere."""
        for pcpu in pcpus:
            pcpu.settle(now_ns)
            if pcpu.dirty:
                pcpu.dirty = False
                pcpu.apply_law(stopped=False)
        share_within_quotas(pcpus, self._crowd)

    def _share(self, pcpu: Pcpu, chances: dict[tuple[int, ...], list[float]], now_ns: int) -> None:
        shares = self._roaming_shares(pcpu, chances) if pcpu.roamed else pcpu.law
        for vcpu, (run, wait) in zip(pcpu.residents, shares, strict=True):
            vcpu.run_rate = run
            if vcpu.wait_rate != wait:
                vcpu.wait_rate = wait
                if vcpu.growing:
                    self.on_wait(vcpu)
            elif vcpu.growing and self._speeds is not None:
                self.on_wait(vcpu)  # it may have another speed
            if vcpu.batch:
                self._time_batch(vcpu, now_ns)

    def _roaming_shares(self, pcpu: Pcpu, chances: dict[tuple[int, ...], list[float]]) -> Shares:
        """Return the law's shares, with less waiting for those that may wake up elsewhere.

        `chances` keeps those of each mask for as long as no law is applied.
        """
        residents, index = pcpu.residents, pcpu.index
        own: dict[int, float] = {}  # by the identity of a mask, which vCPUs share
        for vcpu in residents:
            mask = vcpu.permitted
            if vcpu.roams and id(mask) not in own:
                near = self.machine.near(mask, index)
                known = chances.get(near)
                if known is None:
                    used = [self.pcpus[other].used for other in near]
                    known = chances[near] = idle_chances(used)
                own[id(mask)] = known[bisect_left(near, index)]
        return woken_elsewhere(
            pcpu.law,
            [vcpu.demand for vcpu in residents],
            [own[id(vcpu.permitted)] if vcpu.roams else 0.0 for vcpu in residents],
            pcpu.used,
        )

    def _time_batch(self, vcpu: SimulatedVcpu, now_ns: int) -> None:
        self._queue.cancel(vcpu.batch_event)
        vcpu.batch_event = None
        if vcpu.run_rate > 0.0:
            left_ns = max(int(vcpu.batch_left_ns / (vcpu.run_rate * vcpu.speed)), 0)
            vcpu.batch_event = self._queue.schedule(
                now_ns + left_ns, Priority.CPU, lambda _now: self.on_batch_done(vcpu)
            )

    # Seats.

    def _seat(self, vcpu: SimulatedVcpu) -> None:
        pcpu = self.pcpus[vcpu.pcpu]
        pcpu.add(vcpu)
        if self._speeds is not None:
            self._speeds.take_seat(vcpu)
        self._mark(pcpu)

    def _unseat(self, vcpu: SimulatedVcpu) -> None:
        pcpu = self.pcpus[vcpu.pcpu]
        pcpu.remove(vcpu, self._queue.now_ns)
        self._mark(pcpu)

    def _move(self, vcpu: SimulatedVcpu, target: int) -> None:
        self._unseat(vcpu)
        vcpu.pcpu = target
        vcpu.moved_ns = self._queue.now_ns
        if vcpu.batch:
            vcpu.batch_left_ns += vcpu.move_cost_ns
        self._seat(vcpu)

    # What comes again and again.

    def _watch_balance(self, vcpu: SimulatedVcpu) -> None:
        """Take note that a vCPU has another mask or load, or came; a move alone changes nothing."""
        self._loops = None
        if not (vcpu.powered and vcpu.free):
            self._free.pop(vcpu.key, None)
            return
        self._free[vcpu.key] = vcpu
        if not self._rebalancing:
            self._rebalancing = True
            at_ns = (self._queue.now_ns // REBALANCE_NS + 1) * REBALANCE_NS
            self._queue.schedule(at_ns, Priority.CPU, self._rebalance)

    def _rebalance(self, now_ns: int) -> None:
        self._rebalancing = not self.stopped and bool(self._free)
        if not self._rebalancing:
            return
        near = self.machine.near
        even_out(self.pcpus, self._move, near)
        if self.machine.siblings:
            spread_over_cores(self.pcpus, self._move, near)
        self._queue.schedule(now_ns + REBALANCE_NS, Priority.CPU, self._rebalance)

    def _wander(self, now_ns: int) -> None:
        if self._loops is None:
            free = [self._free[key] for key in sorted(self._free)]
            self._loops = [vcpu for vcpu in free if vcpu.roams]
        moves = wander(self.pcpus, self._loops, self._rng, self.machine.near)
        if self._crowd is not None and self.machine.alike and len(moves) >= _MOVES_MIN:
            for pcpu in self._crowd.move(moves, now_ns):
                self._mark(pcpu, altered=False)
            return
        for vcpu, target in moves:
            self._move(vcpu, target)

    def _demand_anew(self, vcpu: SimulatedVcpu) -> None:
        draw(vcpu)
        if vcpu.powered:
            self._mark(self.pcpus[vcpu.pcpu])

    def _each_second(self, now_ns: int) -> None:
        self._noisy = bool(self._vcpus) and not self.stopped
        if not self._noisy:
            return
        # At the same instant, so that rates are set once for both.
        self._wander(now_ns)
        if self.columns is not None:
            for index in self.columns.draw_all():
                self._mark(self.pcpus[index], altered=False)
        else:
            for vcpu in drawn_anew(self._vcpus):
                pcpu = self.pcpus[vcpu.pcpu]
                if not pcpu.dirty:
                    self._mark(pcpu, altered=False)
        self._queue.schedule(now_ns + NS_PER_S, Priority.NOISE, self._each_second)
