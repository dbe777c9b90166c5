"""Even: see what each vCPU wants, and make the fewest moves that even it out, if any is worth it.

Idea: a vCPU on a crowded pCPU shows what it got; what it *wants* is r / (1 - w), from the time r
that it ran and the time w that it waited. With that, one plan is enough, and a pCPU that looks full
and one that is too full can be told apart. Every demand comes with its standard error (`demand`),
so that noise is known by its size: nothing is done unless some pCPU stands out by more than
`tolerance` and by more than `confidence` standard errors. Then unevenness plus the price of moves
is made small (`packing`), where a move has to gain more than noise could feign; on large hosts of
like pCPUs too full ones give as few vCPUs as they can, in sets that fit elsewhere (`filling`).
Formula: load = demand at full speed in the own cell, at most the cap; where weights differ and the
host is overcommitted, the part that its weight entitles it to, min(d, c w) with c such that all of
them fill the host. A pCPU is as full as its load over its speed. Far memory makes a load larger by
m (L - 1), a busy sibling counts with 1 - yield / 2 of its load.
What keeps it still: standard errors; a price for each move; who was moved stays for `hold_ticks`; a
load that swings regularly, or within a few ticks, is known after a dozen swings by its mean and by
how far it swings, and moves nobody any more. A load that comes and goes at uneven times is
followed, each time.
Cost: n steps a tick while still; for a plan, a sort of what too full pCPUs carry as well.
Weak spot: it believes that the next ticks are like the last ones. Bound vCPUs whose work is long,
or rises and falls together, wait for each other where Linux would let them roam: `even-wide`, which
is this policy with `wide_max`, finds out and lets them. A load that is regular in periods of
minutes is followed for a dozen of them. libvirt does not tell who is memory-bound, so that m is a
guess (`memory_bound`), and used only where a guest's memory cells are known.
Source: the demand is this project's law (docs/explanation/laws.md); the lower bounds and the price
are in `bounds` and `packing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt

from virtlab.model.plan import CpuPlan, Pin, Rejected
from virtlab.model.snapshot import CpuSnapshot, VcpuKey
from virtlab.policies.bounds import even_level, fewest_moves, least_busiest
from virtlab.policies.demand import DemandBook, Demands
from virtlab.policies.packing import Ground, Items, Packing, pack
from virtlab.policies.parameters import tunable
from virtlab.policies.roaming import Roaming
from virtlab.policies.seats import permitted
from virtlab.policies.sight import Sight, carry, look

__all__ = ["Even"]


@dataclass(slots=True)
class Even:
    """Even out what vCPUs want over what pCPUs can do, in the fewest moves."""

    tolerance: float = tunable(
        0.05,
        unit="share of a pCPU",
        effect="how far a pCPU may be from the even level before anything is done",
        at_least=0,
    )
    confidence: float = tunable(
        5.0,
        unit="standard errors",
        effect="how far a pCPU has to stand out of the noise before anything is done",
        at_least=0,
    )
    gain_min: float = tunable(
        0.01,
        unit="share of a pCPU",
        effect="price of a move: one that evens out less is not made",
        at_least=0,
    )
    idle_max: float = tunable(
        0.05,
        unit="share of a pCPU",
        effect="who wants less is idle, and left to Linux",
        at_least=0,
        at_most=1,
    )
    hold_ticks: int = tunable(
        2, unit="ticks", effect="how long a vCPU stays after a move", at_least=1
    )
    memory_bound: float = tunable(
        0.3,
        unit="share of its time",
        effect="how much a vCPU is taken to wait for memory; more keeps it nearer to it",
        at_least=0,
        at_most=1,
    )
    wide_max: float = tunable(
        0.0,
        unit="share of the host",
        effect="up to how full a host vCPUs may roam that wait for one another when bound; "
        "0: never, as courses ask for single pCPUs",
        at_least=0,
    )
    _roaming: Roaming = field(default_factory=Roaming)
    _book: DemandBook = field(default_factory=DemandBook)
    _moved: dict[VcpuKey, int] = field(default_factory=dict)  # at which tick, the last time
    _tick: int = 0

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return the moves that are worth their price, or none and why."""
        self._tick += 1
        demands = self._book.learn(host)
        if not host.pcpus:
            return CpuPlan(because="the host shows no pCPU")
        demands = demands.with_newcomers()
        sight = look(host, demands, self.memory_bound)
        fills = sight.fills
        if self.wide_max > 0.0 and sight.is_plain:
            plan = self._loosened(host, demands, sight)
            if plan is not None:
                return plan
        numbers, bound = self._movable(host, demands)
        loose = not all(bound)
        if not loose and not self._standing_out(host, sight, fills):
            return CpuPlan(
                because=f"even: pCPUs spread by {_points(_spread(fills))}, of which noise is "
                f"{_points(_typical(sight.errors))}",
                expected=_expected(fills),
            )
        ground, items = self._placing(host, sight, numbers, bound)
        price = max(self.gain_min, 0.5 * self.confidence * _typical(sight.errors)) ** 2
        packing = pack(ground, items, price)
        moved = [
            place
            for place, (home, is_bound, seat) in enumerate(
                zip(items.homes, bound, packing.seats, strict=True)
            )
            if seat != home or not is_bound
        ]
        if not moved or not (loose or self._is_worth_it(sight, packing)):
            return _nothing_better(packing, fills, self.tolerance)
        keys = [host.vcpus[numbers[place]].key for place in moved]
        self._hold(keys)
        after = packing.fills
        return CpuPlan(
            tuple(_pins(keys, moved, numbers, demands, packing, fills, after)),
            _because(packing, fills, after),
            expected=_expected(after),
            rejected=(
                Rejected("leave all as it is", f"the spread stays {_points(_spread(fills))}"),
            ),
        )

    def _loosened(self, host: CpuSnapshot, demands: Demands, sight: Sight) -> CpuPlan | None:
        """Return the plan that lets vCPUs roam; None where they had better be bound."""
        if not self._roaming.decide(host, sight, self.wide_max):
            return None
        pins = []
        everywhere = frozenset(host.pcpus)
        for vcpu, mean in zip(host.vcpus, demands.means, strict=True):
            mask = everywhere if vcpu.allowed is None else permitted(vcpu, host)
            if not vcpu.movable or vcpu.pcpus == mask:
                continue
            if mean > self.idle_max or not vcpu.pcpus <= mask:
                pins.append(Pin(vcpu.key, mask, f"wants {mean:.2f}; roaming it waits less"))
        full = fsum(sight.carried) / fsum(sight.speeds)
        return CpuPlan(
            tuple(pins),
            f"bound vCPUs met at random, and the host is no more than {full:.2f} full: Linux finds "
            "idle pCPUs for them",
            expected=_expected(sight.fills),
        )

    # --- who and what

    def _movable(self, host: CpuSnapshot, demands: Demands) -> tuple[list[int], list[bool]]:
        """Return the numbers of vCPUs that may be placed, and which are bound as they should be.

        Idle ones are left to Linux, unless they are where the administrator does not let them, and
        so are those that have just come and are bound to nothing.
        """
        numbers, bounds = [], []
        idle_max, moved, known = self.idle_max, self._moved, demands.known
        for number, (vcpu, mean) in enumerate(zip(host.vcpus, demands.means, strict=True)):
            if (mean <= idle_max and vcpu.allowed is None) or not vcpu.movable:
                continue
            pcpus = vcpu.pcpus
            bound = len(pcpus) == 1
            if vcpu.allowed is not None:
                astray = not pcpus <= permitted(vcpu, host)
                if not astray and mean <= idle_max:
                    continue
                bound = bound and not astray
            if not known[number]:
                moved.pop(vcpu.key, None)  # what was of its name before is another vCPU
                if not bound:
                    continue
            if bound and moved and self._is_held(vcpu.key):
                continue
            numbers.append(number)
            bounds.append(bound)
        return numbers, bounds

    def _placing(
        self,
        host: CpuSnapshot,
        sight: Sight,
        numbers: Sequence[int],
        bound: Sequence[bool],
    ) -> tuple[Ground, Items]:
        """Return what is to be packed onto what."""
        fixed, vcpus = list(sight.carried), host.vcpus
        homes = [sight.seats[number] for number in numbers]
        loads = [sight.loads[number] for number in numbers]
        far = [sight.far[number] for number in numbers] if sight.far else ()
        for number, seat, load in zip(numbers, homes, loads, strict=True):
            if seat is None:
                carry(fixed, vcpus[number].pcpus, -load)
            else:
                fixed[seat] -= sight.load_at_seat(number) if far else load
        masked = any(vcpus[number].allowed is not None for number in numbers)
        items = Items(
            loads,
            homes,
            bound,
            [
                None if vcpus[number].allowed is None else permitted(vcpus[number], host)
                for number in numbers
            ]
            if masked
            else (),
            far,
        )
        fixed = [max(load, 0.0) for load in fixed]  # what rounding has left
        level = even_level(loads, fixed, sight.speeds)
        slack = [0.5 * self.confidence * error for error in sight.errors]
        ground = Ground(
            fixed, sight.speeds, sight.siblings, sight.cells, sight.sibling_cost, level, slack
        )
        return ground, items

    # --- whether it is worth anything

    def _standing_out(self, host: CpuSnapshot, sight: Sight, fills: Sequence[float]) -> bool:
        """Tell whether some pCPU is further from the even level than noise would have it."""
        fixed = [host.host_share.get(pcpu, 0.0) for pcpu in range(len(fills))]
        level = even_level(sight.loads, fixed, sight.speeds)
        tolerance, confidence = self.tolerance, self.confidence
        return any(
            abs(fill - level) > max(tolerance, confidence * error)
            for fill, error in zip(fills, sight.errors, strict=True)
        )

    def _is_worth_it(self, sight: Sight, packing: Packing) -> bool:
        """Tell whether pCPUs look different after a plan, whichever of them is which.

        Three vCPUs cannot be even on four pCPUs: one stands out for ever, and what the noise of
        each tick has to say about which one it should be is not worth a move.
        """
        pressures = packing.ground.pressures
        before, after = sorted(pressures(sight.carried)), sorted(pressures(packing.loads))
        most = max(abs(b - a) for b, a in zip(before, after, strict=True))
        return most > max(self.tolerance, self.confidence * _typical(sight.errors))

    # --- who was moved stays for a while

    def _is_held(self, key: VcpuKey) -> bool:
        moved = self._moved.get(key)
        return moved is not None and self._tick - moved <= self.hold_ticks

    def _hold(self, moved: Sequence[VcpuKey]) -> None:
        begin = self._tick - self.hold_ticks
        self._moved = {key: at for key, at in self._moved.items() if at >= begin}
        for key in moved:
            self._moved[key] = self._tick


def _pins(
    keys: Sequence[VcpuKey],
    moved: Sequence[int],
    numbers: Sequence[int],
    demands: Demands,
    packing: Packing,
    before: Sequence[float],
    after: Sequence[float],
) -> Iterator[Pin]:
    """Return the pins of those that were moved, each with what becomes of its load and pCPUs."""
    goes = [f"goes from {one:.2f} to {other:.2f}" for one, other in zip(before, after, strict=True)]
    for key, place in zip(keys, moved, strict=True):
        home, seat, number = packing.items.homes[place], packing.seats[place], numbers[place]
        way = f"pCPU {seat} {goes[seat]}"
        if home is not None and home != seat:
            way = f"pCPU {home} {goes[home]}, {way}"
        wants = f"wants {demands.means[number]:.2f} ± {sqrt(demands.variances[number]):.2f}"
        if not demands.known[number]:
            wants = f"has just come, and is taken for {demands.means[number]:.2f}"
        yield Pin(key, frozenset((seat,)), f"{wants}; {way}")


def _because(packing: Packing, before: Sequence[float], after: Sequence[float]) -> str:
    ground, items = packing.ground, packing.items
    limit = max(after)
    homes: dict[int, list[float]] = {pcpu: [] for pcpu, fill in enumerate(before) if fill > limit}
    for load, home, is_bound in zip(items.loads, items.homes, items.bound, strict=True):
        if home in homes and is_bound:
            homes[home].append(load / ground.speeds[home])
    rest = [ground.fixed[pcpu] / ground.speeds[pcpu] for pcpu in homes]
    least = fewest_moves(zip(homes.values(), rest, strict=True), limit)
    moves = sum(
        is_bound and seat != home
        for is_bound, home, seat in zip(items.bound, items.homes, packing.seats, strict=True)
    )
    loose = len(items) - sum(items.bound)
    first = f"{loose} were bound to no single pCPU; " if loose else ""
    spread = f"spread {_points(_spread(before))} to {_points(_spread(after))}"
    return (
        f"{first}busiest {max(before):.2f} to {max(after):.2f}, {spread}; bound vCPUs moved: "
        f"{moves}, and no fewer than {least} would do"
    )


def _nothing_better(packing: Packing, fills: Sequence[float], tolerance: float) -> CpuPlan:
    busiest, ground = max(fills), packing.ground
    floor = least_busiest(packing.items.loads, ground.fixed, ground.speeds)
    if busiest <= floor + tolerance:
        because = (
            f"nothing better was to be had: the busiest pCPU is at {busiest:.2f}, and wherever "
            f"those go that may be moved, it is not below {floor:.2f}"
        )
    else:
        because = (
            f"left alone: the busiest pCPU is at {busiest:.2f} and might be at {floor:.2f}, but no "
            f"moves were found that gain more than their price and than what is not yet certain"
        )
    return CpuPlan(because=because, expected=_expected(fills))


def _expected(fills: Sequence[float]) -> dict[str, float]:
    return {"busiest_share": max(fills), "spread_points": 100 * _spread(fills)}


def _spread(fills: Sequence[float]) -> float:
    """Return the standard deviation, as the course's criteria take it."""
    mean = fsum(fills) / len(fills)
    return sqrt(fsum([(fill - mean) ** 2 for fill in fills]) / len(fills))


def _typical(errors: Sequence[float]) -> float:
    return sqrt(fsum([e * e for e in errors]) / len(errors))


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
