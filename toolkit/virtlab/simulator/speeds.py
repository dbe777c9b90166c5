"""At what speed each vCPU of a host with a topology works, and what it therefore wants.

Capacity and the way to its memory are settled when a vCPU takes its seat (`base_speed`). What its
sibling leaves it depends on how busy that is, which depends on its speed in turn: each core is
looked at again and again, from idle threads on, until both agree. More use never makes a sibling
faster, so that each round comes nearer from the same side. A round costs one look at the law of
each thread; five to eight were enough in all sets of the tests. Where quotas are used up, the same
is done once more with what they leave: a thread that is throttled leaves its core to its sibling.

Nothing here looks at how a pCPU is shared: it sets what each vCPU wants, and the law does the
rest. Plain pCPUs of large hosts are worked out in columns, by the same steps, to the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from virtlab.model.topology import FULL_CAPACITY
from virtlab.simulator.columns import VcpuColumns
from virtlab.simulator.machine import Machine
from virtlab.simulator.pcpu import Pcpu
from virtlab.simulator.queue_law import law_of_table
from virtlab.simulator.quota_law import share_within_quotas
from virtlab.simulator.smt_law import beside
from virtlab.simulator.speed_law import stretched, stretched_table
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["Speeds"]

_ROUNDS: Final = 32
_NEAR: Final = 1e-4  # of utilisation; the law itself is a hundred times as far from Linux


class Speeds:
    """The speeds of all vCPUs of one host."""

    def __init__(self, machine: Machine, pcpus: Sequence[Pcpu]) -> None:
        """Take the machine, and its pCPUs with those who sit there."""
        self._machine = machine
        self._pcpus = pcpus
        self._yield = machine.topology.smt_yield

    def take_seat(self, vcpu: SimulatedVcpu) -> None:
        """Settle what follows from where a vCPU sits."""
        capacity = self._machine.capacity[vcpu.pcpu]
        base = capacity / FULL_CAPACITY
        if vcpu.speed_by_cell:
            base *= vcpu.speed_by_cell[self._machine.cell_of[vcpu.pcpu]]
        vcpu.base_speed = base

    def with_siblings(self, pcpus: Iterable[Pcpu]) -> list[Pcpu]:
        """Return pCPUs and, after them, those of their siblings that are not among them."""
        known = {pcpu.index: pcpu for pcpu in pcpus}
        for index in list(known):
            sibling = self._machine.siblings.get(index)
            if sibling is not None and sibling not in known:
                known[sibling] = self._pcpus[sibling]
        return list(known.values())

    def settle(
        self, pcpus: Sequence[Pcpu], few: Sequence[Pcpu], columns: VcpuColumns | None, now_ns: int
    ) -> None:
        """Set what everybody wants on some pCPUs, whose siblings are all among them.

        Args:
            pcpus: all of them.
            few: those whose residents are seated in columns.
            columns: the host's columns, where it has any.
            now_ns: the present moment.
        """
        siblings = self._machine.siblings
        for pcpu in pcpus:
            if True in [vcpu.batch for vcpu in pcpu.residents]:
                pcpu.settle(now_ns)  # what it did so far, it did at the old speed
        # In the table all have one weight.
        plain = {pcpu.index for pcpu in few if not pcpu.weighed}
        whole = [p for p in few if p.index in plain and siblings.get(p.index, p.index) in plain]
        if columns is not None and whole:
            self._settle_table(columns, whole)
        settled = {pcpu.index for pcpu in whole}
        for pcpu in pcpus:
            if pcpu.index in settled:
                continue
            sibling = siblings.get(pcpu.index)
            if sibling is None:
                _ask(pcpu, 1.0)
            elif sibling > pcpu.index:
                self._settle_core(pcpu, self._pcpus[sibling])
        limited = [pcpu for pcpu in pcpus if pcpu.limited]
        if siblings and limited:
            self._give_back(limited)

    def _give_back(self, limited: Sequence[Pcpu]) -> None:
        """Let siblings of throttled vCPUs have what these leave of their cores.

        Args:
            limited: the pCPUs on which some have quotas, all of each pool among them.
        """
        cores = [pcpu for pcpu in self.with_siblings(limited) if pcpu.sibling is not None]
        for pcpu in {pcpu.index: pcpu for pcpu in [*limited, *cores]}.values():
            pcpu.apply_law(stopped=False)
        beside_whom = {pcpu.index: self._used_beside(pcpu) for pcpu in cores}
        for _ in range(_ROUNDS):
            share_within_quotas(limited)
            slower = {pcpu.index: self._used_beside(pcpu) for pcpu in cores}
            moved = [p for p in cores if abs(slower[p.index] - beside_whom[p.index]) > _NEAR]
            if not moved:
                break
            for pcpu in moved:
                beside_whom[pcpu.index] = slower[pcpu.index]
                _ask(pcpu, beside(slower[pcpu.index], self._yield))
            for pcpu in {pcpu.index: pcpu for pcpu in [*limited, *moved]}.values():
                pcpu.apply_law(stopped=False)

    def _used_beside(self, pcpu: Pcpu) -> float:
        """Return what share of the time the sibling of a pCPU is used."""
        return self._pcpus[self._machine.siblings[pcpu.index]].used

    def _settle_core(self, one: Pcpu, other: Pcpu) -> None:
        used = (0.0, 0.0)
        for _ in range(_ROUNDS):
            _ask(one, beside(used[1], self._yield))
            _ask(other, beside(used[0], self._yield))
            one.apply_law(stopped=False)
            other.apply_law(stopped=False)
            before, used = used, (one.used, other.used)
            if abs(used[0] - before[0]) <= _NEAR and abs(used[1] - before[1]) <= _NEAR:
                break

    def _settle_table(self, columns: VcpuColumns, pcpus: Sequence[Pcpu]) -> None:
        """Do the same for the cores of many pCPUs at once."""
        np = columns.np
        place = {pcpu.index: at for at, pcpu in enumerate(pcpus)}
        siblings = self._machine.siblings
        beside_at = np.array([place[siblings.get(p.index, p.index)] for p in pcpus])
        paired = np.array([p.index in siblings for p in pcpus])
        counts = np.array([len(p.residents) for p in pcpus])
        seats = columns.seats([p.index for p in pcpus], int(counts.max()))
        taken = seats > 0
        brief = np.array([p.brief for p in pcpus])
        loops = columns["beat_ns"][seats] > 0
        duties = columns["duty_now"][seats]
        bases = np.where(taken, columns["base_speed"][seats], 1.0)
        speeds, wanted = bases.copy(), duties.copy()
        used = np.zeros(len(pcpus))
        open_at = np.arange(len(pcpus))  # those whose core has not settled
        for _ in range(_ROUNDS):
            left = np.where(paired[open_at], beside(used[beside_at[open_at]], self._yield), 1.0)
            speeds[:, open_at] = bases[:, open_at] * left
            wanted[:, open_at] = stretched_table(np, duties[:, open_at], speeds[:, open_at])
            if not paired.any():
                break
            before, used = used, used.copy()
            law = law_of_table(
                np, wanted[:, open_at], counts[open_at], loops[:, open_at], brief[open_at]
            )
            used[open_at] = law[2]
            moved = np.abs(used - before) > _NEAR
            open_at = np.flatnonzero(paired & (moved | moved[beside_at]))
            if not open_at.size:
                break
        columns["speed"][seats[taken]] = speeds[taken]
        columns["demand"][seats[taken]] = wanted[taken]


def _ask(pcpu: Pcpu, left: float) -> None:
    """Set what the residents want, where their sibling leaves them a part of their speed."""
    for vcpu in pcpu.residents:
        vcpu.speed = vcpu.base_speed * left
        vcpu.demand = stretched(vcpu.duty_now, vcpu.speed)
