"""What loads want and get on a host, noted at each look of a policy.

The timeline tells where vCPUs ran and for how long; what they wanted, and how much work a second
of theirs was worth, only the simulator knows. All is read and nothing changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum, inf

from virtlab.model.snapshot import VcpuKey
from virtlab.model.topology import FULL_CAPACITY
from virtlab.model.units import NS_PER_S
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["CpuLook", "CpuMeter", "Wish", "entitled"]


@dataclass(frozen=True, slots=True)
class Wish:
    """One vCPU with a load: what it wants and where it sits."""

    vcpu: VcpuKey
    demand: float  # share of a full pCPU that it takes when alone, its quota counted
    weight: float  # against other vCPUs
    pcpu: int


@dataclass(frozen=True, slots=True)
class CpuLook:
    """One moment."""

    time_ns: int
    wishes: tuple[Wish, ...]


@dataclass(slots=True)
class CpuMeter:
    """Gathers looks at one run; give its `look` to `run_scheduler`."""

    looks: list[CpuLook] = field(default_factory=list)
    work_s: float = 0.0
    run_ns: dict[VcpuKey, int] = field(default_factory=dict)  # while it had a load
    due_ns: dict[VcpuKey, float] = field(default_factory=dict)  # what a fair host would have let
    _last: dict[VcpuKey, tuple[int, float]] = field(default_factory=dict)
    _speeds: tuple[float, ...] = ()

    def look(self, host: SimulatedHost) -> None:
        """Take note of a host now."""
        if not self._speeds:
            self._speeds = tuple(c / FULL_CAPACITY for c in host.spec.layout.capacity)
        loaded = [
            (VcpuKey(guest.name, vcpu.index), vcpu, len([v for v in guest.vcpus if v.loaded]))
            for _, guest in sorted(host.guests.items())
            if guest.id >= 0
            for vcpu in guest.vcpus
            if vcpu.loaded
        ]
        self._count(host, {key for key, _, _ in loaded})
        wishes = tuple(
            Wish(key, _demand(vcpu, loads), vcpu.weight / loads, vcpu.pcpu)
            for key, vcpu, loads in loaded
        )
        self.looks.append(CpuLook(host.now_ns, wishes))
        self._last = {key: (vcpu.run_ns(), vcpu.speed) for key, vcpu, _ in loaded}

    def _count(self, host: SimulatedHost, loaded: set[VcpuKey]) -> None:
        """Count what ran since the last look of those that had a load then."""
        if not self.looks:
            return
        span_ns = host.now_ns - self.looks[-1].time_ns
        due = entitled(self.looks[-1].wishes, self._speeds)
        for wish, share in zip(self.looks[-1].wishes, due, strict=True):
            key = wish.vcpu
            vcpu = host.declared[key.guest].vcpus[key.number]
            before_ns, speed = self._last[key]
            ran_ns = vcpu.run_ns() - before_ns
            # A move in between may change the speed: the mean of both ends is taken.
            self.work_s += ran_ns / NS_PER_S * 0.5 * (speed + vcpu.speed)
            if vcpu.pcpu != wish.pcpu:  # and what it has in the caches is lost
                self.work_s -= vcpu.move_cost_ns / NS_PER_S
            if key in loaded:  # otherwise its load ended meanwhile, nobody knows when
                self.run_ns[key] = self.run_ns.get(key, 0) + ran_ns
                self.due_ns[key] = self.due_ns.get(key, 0.0) + share * span_ns


def entitled(wishes: Sequence[Wish], speeds: Sequence[float]) -> list[float]:
    """Return what is due to each: by weight, as far as it wants it; what is left to the others.

    The host counts as one pool of all its pCPUs, of which nobody takes more than one at a time.
    """
    due = [0.0] * len(wishes)
    room = fsum(speeds)
    rest = sorted(range(len(wishes)), key=lambda n: wishes[n].demand / wishes[n].weight)
    weights = fsum(wish.weight for wish in wishes)
    for n in rest:  # least wanted for its weight first: who is content leaves its rest to others
        wish = wishes[n]
        due[n] = min(wish.demand, room * wish.weight / weights)
        room -= due[n]
        weights -= wish.weight
    return due


def _demand(vcpu: SimulatedVcpu, loads: int) -> float:
    pool = inf if vcpu.pool is None else vcpu.pool.quota / loads
    return min(vcpu.duty, vcpu.quota, pool)
