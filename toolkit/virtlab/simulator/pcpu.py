"""One pCPU: who sits on it, and how its time is shared among them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from operator import attrgetter

from virtlab.model.topology import FULL_CAPACITY
from virtlab.simulator.cpu_law import Shares, added, sharing
from virtlab.simulator.queue_law import served_in_turn
from virtlab.simulator.unlike_law import with_gains
from virtlab.simulator.vcpu import SimulatedVcpu
from virtlab.simulator.weight_law import weighed_together, weighted_sharing

__all__ = ["Pcpu", "by_key"]


by_key = attrgetter("key")  # the number by which vCPUs are ordered everywhere


class Pcpu:
    """One pCPU; its residents are kept in the order of their numbers."""

    __slots__ = (
        "_busy_ns",
        "altered",
        "brief",
        "capacity",
        "dirty",
        "even",
        "fill_ppm",
        "gains",
        "index",
        "law",
        "residents",
        "roamed",
        "sibling",
        "used",
        "wanted_ppm",
        "weighed",
    )

    def __init__(self, index: int, capacity: int = FULL_CAPACITY) -> None:
        self.index = index
        self.capacity = capacity
        self.sibling: Pcpu | None = None  # the other thread of its core
        self.residents: list[SimulatedVcpu] = []
        self.altered = True  # who sits here, or what is asked of them, is not what it was
        self.wanted_ppm = 0  # sum of its residents' duties
        self.fill_ppm = 0  # the same in millionths of what it can do
        self.dirty = False
        self.law: Shares = ()  # of its residents, before any of them wakes up elsewhere
        self.gains: tuple[float, ...] = ()  # of unlike loads, over what other laws give them
        self.brief = False  # its loops are served in turn
        self.weighed = False  # its loads differ in weight
        self.even = False  # all that has to be done is done for many at once: see `crowd`
        self.used = 0.0  # share of its time that the law uses
        self.roamed = False  # some resident may wake up elsewhere
        self._busy_ns = 0

    @property
    def core_ppm(self) -> int:
        """Return what the residents of its core want together."""
        sibling = self.sibling
        return self.wanted_ppm if sibling is None else self.wanted_ppm + sibling.wanted_ppm

    @property
    def rank(self) -> tuple[int, ...]:
        """Return by what the emptiest pCPU is found; it ends in the number.

        Least wanted first, then the fastest, on the emptiest core, with the fewest vCPUs: Linux
        looks for an idle core before an idle thread, and for the largest capacity where they
        differ (`select_idle_core`, `select_idle_capacity` in kernel/sched/fair.c).
        """
        sibling, residents = self.sibling, len(self.residents)
        if sibling is None:
            return (self.fill_ppm, -self.capacity, 0, residents, 0, self.index)
        core = (sibling.wanted_ppm, residents, len(sibling.residents))
        return (self.fill_ppm, -self.capacity, *core, self.index)

    @property
    def left_ns(self) -> int:
        """Return what those ran here who have left since."""
        return self._busy_ns

    @property
    def limited(self) -> bool:
        """Tell whether some resident has a quota."""
        return any(vcpu.limited for vcpu in self.residents)

    def busy_ns(self) -> int:
        """Return how long it was busy, cumulative."""
        return self._busy_ns + sum([vcpu.here_ns() for vcpu in self.residents])

    def add(self, vcpu: SimulatedVcpu) -> None:
        """Seat a vCPU here."""
        insort(self.residents, vcpu, key=by_key)
        self.want(vcpu.wanted_ppm)

    def remove(self, vcpu: SimulatedVcpu, now_ns: int) -> None:
        """Take a vCPU off, and keep the time that it ran here."""
        self.residents.remove(vcpu)
        self.let_go(vcpu.wanted_ppm, vcpu.leave(now_ns))

    def let_go(self, wanted_ppm: int, ran_ns: int) -> None:
        """Take note that a vCPU has left that wanted so much, and ran so long here."""
        self._busy_ns += ran_ns
        self.want(-wanted_ppm)

    def want(self, more_ppm: int) -> None:
        """Take note that its residents want more of it, or less."""
        self.wanted_ppm += more_ppm
        self.fill_ppm = self.wanted_ppm * FULL_CAPACITY // self.capacity

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
        else:
            self.law = self.plain_law(demands)
            if self.gains:
                self.law = with_gains(self.law, demands, self.gains)
        self.used = added([run for run, _ in self.law])
        self.roamed = not stopped and any(vcpu.roams for vcpu in residents)

    def plain_law(self, demands: Sequence[float]) -> Shares:
        """Return the shares of residents that want so much, as if loads were alike."""
        if not self.are_brief():
            return self.shared(demands)
        law = served_in_turn(demands, [vcpu.beat_ns > 0 for vcpu in self.residents])
        return self._by_weight(demands, law)

    def are_brief(self) -> bool:
        """Tell whether loops sit here, all bound, of one period, with work within a slice."""
        beats_ns = {0 if v.roams else v.beat_ns for v in self.residents if v.loads}
        return len(beats_ns) == 1 and 0 not in beats_ns

    def shared(self, demands: Sequence[float]) -> Shares:
        """Return the shares of residents that want so much and take turns."""
        return self._by_weight(demands, sharing(demands))

    def are_weighed(self) -> bool:
        """Tell whether loads of different weight sit here."""
        return len({vcpu.pull for vcpu in self.residents if vcpu.loads}) > 1

    def has_kin(self) -> bool:
        """Tell whether several loads of one guest sit here."""
        families = [vcpu.family for vcpu in self.residents if vcpu.loads]
        return len(set(families)) < len(families)

    def _by_weight(self, demands: Sequence[float], law: Shares) -> Shares:
        """Return the shares of those who want so much, from those of equal weights."""
        if not self.are_weighed():
            return law
        places = [n for n, vcpu in enumerate(self.residents) if vcpu.loads]
        loaded = [self.residents[n] for n in places]
        here: dict[int, int] = {}
        for vcpu in loaded:
            here[vcpu.family] = here.get(vcpu.family, 0) + weighed_together(vcpu.wanted_ppm)
        elsewhere_ppm = [
            vcpu.company_ppm - (here[vcpu.family] - weighed_together(vcpu.wanted_ppm))
            for vcpu in loaded
        ]
        weighed = weighted_sharing(
            [demands[n] for n in places],
            [vcpu.weight for vcpu in loaded],
            [ppm / 1e6 for ppm in elsewhere_ppm],
            [vcpu.family for vcpu in loaded],
            added([law[n][0] for n in places]),
        )
        shares = list(law)
        for n, share in zip(places, weighed, strict=True):
            shares[n] = share
        return tuple(shares)

    def take_shares(self, shares: Shares) -> None:
        """Take on the residents' shares from elsewhere; nobody wakes up on another pCPU."""
        self.law = shares
        self.used = added([run for run, _ in shares])
        self.roamed = False

    def take_law(self, runs: Sequence[float], waits: Sequence[float]) -> None:
        """Take on the law's shares, which may be followed by zeros, from elsewhere."""
        self.law = tuple(zip(runs, waits, strict=True))[: len(self.residents)]
