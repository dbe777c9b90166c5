"""The host's CPU scheduler: keeps vCPUs on their pCPUs and the rates at which they run.

Whatever changes at one instant (eight pins, a second's noise) is gathered, and the rates of the
pCPUs concerned are set once, at the end of that instant: until time moves, rates make no
difference. `pcpu` shares one pCPU by the law, `placement` moves those that are not bound, `noise`
draws what they want from second to second. A pin takes effect at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from math import fsum
from random import Random

from virtlab.model.topology import Topology
from virtlab.model.units import NS_PER_S
from virtlab.simulator.columns import ColumnVcpu, VcpuColumns
from virtlab.simulator.cpu_law import EQUAL_WEIGHT, SEATS_MAX, Shares
from virtlab.simulator.crowd_law import CROWD_MIN, numpy_or_none, sharing_of_table
from virtlab.simulator.engine import EventQueue, Priority
from virtlab.simulator.machine import Machine
from virtlab.simulator.noise import draw, drawn_anew
from virtlab.simulator.pcpu import Pcpu, by_key
from virtlab.simulator.placement import (
    REBALANCE_NS,
    emptiest,
    even_out,
    idle_chance,
    spread_over_cores,
    wander,
)
from virtlab.simulator.speeds import Speeds
from virtlab.simulator.vcpu import MOVE_COST_NS, SimulatedVcpu, in_order

__all__ = ["CpuScheduler"]


# From so many vCPUs on, work on all of them each second costs less in columns.
_COLUMNS_MIN = 256


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
        self._vcpus: list[SimulatedVcpu] = []  # powered ones, by their numbers
        self._dirty: list[Pcpu] = []
        self._rebalancing = False
        self._noisy = False
        self._free: dict[int, SimulatedVcpu] = {}  # powered loops that may run in several places
        self.columns: VcpuColumns | None = None
        numpy = numpy_or_none() if vcpus >= _COLUMNS_MIN else None
        if numpy is not None:
            self.columns = VcpuColumns(numpy, len(self.pcpus))
        self._alike = True  # nobody was ever given another weight

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
            rates = (self.columns["run_rate"] + self.columns["wait_rate"]).tolist()
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
            self._free.pop(vcpu.key, None)
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

    def set_load(self, vcpu: SimulatedVcpu, duty: float, *, batch_ns: int | None = None) -> None:
        """Start a load on a vCPU in place of the one before; duty 0 makes it idle."""
        self._queue.cancel(vcpu.batch_event)
        vcpu.batch_event = None
        wanted_ppm = round(duty * 1_000_000)
        if vcpu.powered:
            pcpu = self.pcpus[vcpu.pcpu]
            pcpu.settle(self._queue.now_ns)  # what ran so far was the old load's
            pcpu.want(wanted_ppm - vcpu.wanted_ppm)
        vcpu.duty, vcpu.wanted_ppm = duty, wanted_ppm
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
        self._alike = self._alike and weight == EQUAL_WEIGHT
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
        if self._speeds is not None:
            self._dirty = self._speeds.with_siblings(self._dirty)
            for pcpu in self._dirty:
                pcpu.dirty = True
        # A roaming loop looks for idle pCPUs elsewhere, so a change there concerns its own too.
        concerned = [pcpu for pcpu in self.pcpus if pcpu.dirty or pcpu.roamed]
        dirty, self._dirty = self._dirty, []
        many = len(dirty) >= CROWD_MIN and self._alike and not self.stopped
        columns = self.columns if many else None
        few = []
        if columns is not None:
            few = [p for p in concerned if p.dirty and (not p.altered or self._seat_in(columns, p))]
        if self._speeds is not None and not self.stopped:
            self._speeds.settle(dirty, few, columns, now_ns)
        if columns is not None and len(few) >= CROWD_MIN:
            concerned = self._share_many(columns, concerned, few, now_ns)
        for pcpu in concerned:
            pcpu.settle(now_ns)
            if pcpu.dirty:
                pcpu.dirty = False
                pcpu.apply_law(stopped=self.stopped)
        for pcpu in concerned:
            self._share(pcpu, now_ns)

    def _share_many(
        self, columns: VcpuColumns, concerned: list[Pcpu], few: list[Pcpu], now_ns: int
    ) -> list[Pcpu]:
        """Set the rates of the plain ones among many pCPUs; return the others.

        Of the others the law is worked out, but for those with too many vCPUs.
        """
        counts = columns.np.array([len(pcpu.residents) for pcpu in few])
        seats = columns.seats([pcpu.index for pcpu in few], int(counts.max()))
        run, wait, used = sharing_of_table(columns.np, columns["demand"][seats], counts)
        plain = columns.np.array([pcpu.plain for pcpu in few])
        columns.take_rates(seats[:, plain], run[:, plain], wait[:, plain], now_ns)
        for place, (pcpu, share) in enumerate(zip(few, used.tolist(), strict=True)):
            pcpu.dirty = False
            pcpu.used = share
            if not pcpu.plain:
                pcpu.take_law(run[:, place].tolist(), wait[:, place].tolist())
        return [pcpu for pcpu in concerned if pcpu.dirty or not pcpu.plain]

    def _seat_in(self, columns: VcpuColumns, pcpu: Pcpu) -> bool:
        """Note who sits on a pCPU; tell whether they are few enough for the columns."""
        pcpu.look()
        rows = [vcpu.row for vcpu in pcpu.residents if isinstance(vcpu, ColumnVcpu)]
        if len(rows) > SEATS_MAX:
            return False
        columns.seat(pcpu.index, rows)
        pcpu.altered = False
        return True

    def _share(self, pcpu: Pcpu, now_ns: int) -> None:
        shares = self._roaming_shares(pcpu) if pcpu.roamed else pcpu.law
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

    def _roaming_shares(self, pcpu: Pcpu) -> Shares:
        """Return the law's shares, with less waiting for those that may wake up elsewhere."""
        chances: dict[int, float] = {}  # by the identity of a mask's tuple, which is shared
        saved = []
        for vcpu, (_, wait) in zip(pcpu.residents, pcpu.law, strict=True):
            if not vcpu.roams or wait <= 0.0:
                saved.append(0.0)
                continue
            mask = vcpu.permitted
            chance = chances.get(id(mask))
            if chance is None:
                chance = chances[id(mask)] = idle_chance(
                    self.pcpus, self.machine.near(mask, pcpu.index), pcpu.index
                )
            saved.append(vcpu.demand * wait * chance)
        wanted = sum(saved)
        if wanted <= 0.0:
            return pcpu.law
        # What was not waited for is booked on the own pCPU, as far as that has time left.
        scale = min(max(1.0 - pcpu.used, 0.0) / wanted, 1.0)
        return tuple(
            [
                # A loop that runs a share r and waits a share w wants r / (1 - w).
                (run + more * scale, max(1.0 - (run + more * scale) / vcpu.demand, 0.0))
                if more > 0.0
                else (run, wait)
                for vcpu, (run, wait), more in zip(pcpu.residents, pcpu.law, saved, strict=True)
            ]
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
        self._watch_balance(vcpu)

    def _unseat(self, vcpu: SimulatedVcpu) -> None:
        pcpu = self.pcpus[vcpu.pcpu]
        pcpu.remove(vcpu, self._queue.now_ns)
        self._mark(pcpu)

    def _move(self, vcpu: SimulatedVcpu, target: int) -> None:
        self._unseat(vcpu)
        vcpu.pcpu = target
        vcpu.moved_ns = self._queue.now_ns
        if vcpu.batch:
            vcpu.batch_left_ns += MOVE_COST_NS
        self._seat(vcpu)

    # What comes again and again.

    def _watch_balance(self, vcpu: SimulatedVcpu) -> None:
        if not (vcpu.powered and _is_free(vcpu)):
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

    def _demand_anew(self, vcpu: SimulatedVcpu) -> None:
        draw(vcpu)
        if vcpu.powered:
            self._mark(self.pcpus[vcpu.pcpu])

    def _each_second(self, now_ns: int) -> None:
        self._noisy = bool(self._vcpus) and not self.stopped
        if not self._noisy:
            return
        # At the same instant, so that rates are set once for both.
        free = [self._free[key] for key in sorted(self._free)]
        wander(self.pcpus, free, self._rng, self._move, self.machine.near)
        if self.columns is not None:
            for index in self.columns.draw_all():
                self._mark(self.pcpus[index], altered=False)
        else:
            for vcpu in drawn_anew(self._vcpus):
                pcpu = self.pcpus[vcpu.pcpu]
                if not pcpu.dirty:
                    self._mark(pcpu, altered=False)
        self._queue.schedule(now_ns + NS_PER_S, Priority.NOISE, self._each_second)


def _is_free(vcpu: SimulatedVcpu) -> bool:
    return vcpu.duty > 0.0 and len(vcpu.permitted) > 1
