"""One pCPU: who sits on it, and how its time is shared among them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from virtlab.simulator.cpu_law import Shares, added, sharing, weighted_sharing
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["Pcpu", "by_key"]


def by_key(vcpu: SimulatedVcpu) -> int:
    """Return the number by which vCPUs are ordered everywhere."""
    return vcpu.key


class Pcpu:
    """One pCPU; its residents are kept in the order of their numbers."""

    __slots__ = (
        "_busy_ns",
        "altered",
        "dirty",
        "index",
        "law",
        "plain",
        "residents",
        "roamed",
        "used",
        "wanted_ppm",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.residents: list[SimulatedVcpu] = []
        self.altered = True  # who sits here, or what is asked of them, is not what it was
        self.wanted_ppm = 0  # sum of its residents' duties
        self.dirty = False
        self.law: Shares = ()  # of its residents, before any of them wakes up elsewhere
        self.plain = True  # rates follow from the law, and nobody needs to be told of them
        self.used = 0.0  # share of its time that the law uses
        self.roamed = False  # some resident may wake up elsewhere
        self._busy_ns = 0

    @property
    def left_ns(self) -> int:
        """Return what those ran here who have left since."""
        return self._busy_ns

    def busy_ns(self) -> int:
        """Return how long it was busy, cumulative."""
        return self._busy_ns + sum([vcpu.here_ns() for vcpu in self.residents])

    def add(self, vcpu: SimulatedVcpu) -> None:
        """Seat a vCPU here."""
        insort(self.residents, vcpu, key=by_key)
        self.wanted_ppm += vcpu.wanted_ppm

    def remove(self, vcpu: SimulatedVcpu, now_ns: int) -> None:
        """Take a vCPU off, and keep the time that it ran here."""
        self._busy_ns += vcpu.leave(now_ns)
        self.residents.remove(vcpu)
        self.wanted_ppm -= vcpu.wanted_ppm

    def settle(self, now_ns: int) -> None:
        """Write down the time that everybody ran."""
        for vcpu in self.residents:
            vcpu.settle(now_ns)

    def apply_law(self, *, stopped: bool) -> None:
        """Work out the residents' shares; a frozen host gives none."""
        residents = self.residents
        demands = [vcpu.demand for vcpu in residents]
        if stopped:
            self.law = ((0.0, 0.0),) * len(residents)
        elif _equal_weights(residents):
            self.law = sharing(demands)
        else:
            self.law = weighted_sharing(demands, [vcpu.weight for vcpu in residents])
        self.used = added([run for run, _ in self.law])
        self.roamed = not stopped and any(vcpu.roams for vcpu in residents)

    def look(self) -> None:
        """Work out `roamed` and `plain`."""
        residents = self.residents
        self.roamed = True in [vcpu.roams for vcpu in residents]
        self.plain = not (self.roamed or True in [v.growing or v.batch for v in residents])

    def take_law(self, runs: Sequence[float], waits: Sequence[float]) -> None:
        """Take on the law's shares, which may be followed by zeros, from elsewhere."""
        self.law = tuple(zip(runs, waits, strict=True))[: len(self.residents)]


def _equal_weights(vcpus: Sequence[SimulatedVcpu]) -> bool:
    return len({vcpu.weight for vcpu in vcpus}) <= 1
