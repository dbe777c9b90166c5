"""Where vCPUs should sit: as even as can be had, and no move that is not worth its price.

What is made small is unevenness plus price,

    sum over pCPUs of L^2 / s  +  2 g * sum over cores of L L' / s  +  price of all moves,

with L the load of a pCPU, s its speed, and L' that of its core's other thread; g is what a busy
sibling takes (`docs/explanation/laws.md`: 1 - yield / 2). Squares, as the busiest counts most, and
for a given sum they are least where all is even. Unevenness and price are in squares of a pCPU: a
price of 0.02^2 means that nothing is moved for less than two points.

Steps: (1) pCPUs that are too full give up as few vCPUs as that takes, and of these sets the one
that leaves them fullest; (2) what was given up, and what is bound to nothing, is dealt out, the
largest first and each to where it costs least; (3) the fullest pCPU trades with the emptiest, one
for none or one for one, as long as that gains more than it costs: who has left home goes anywhere
at no further price; (4) who gains less than its price by being away goes home. On small hosts the
same is tried without the first step, and with everybody dealt out anew (those with masks first, in
another try), and the cheapest is taken. On large ones of like pCPUs (1) and (2) are those of
`filling`, which makes hardly more moves than anybody would have to.

Among n loads on m pCPUs (1) and (2) take n log n steps; (3) a few hundred trades at most, each
looked for in the fullest pCPU and `_PARTNERS` others.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, inf, sqrt

from virtlab.policies.filling import filled

__all__ = ["Ground", "Items", "Packing", "pack"]

_PARTNERS = 4  # pCPUs with which the fullest tries to trade, where there are many
_CROWDED = 4  # vCPUs for each pCPU, from which on nobody has a core for itself
_NOISY = 0.05  # of the even level: what seems to fit is chance where noise is larger
_MASKED = 0.1  # part of all that may have masks where many are filled up
_TRADES_MAX = 600
_SMALL = 4096  # vCPUs times pCPUs, up to which everything is tried
_EXACT = 5e-4  # a pCPU above the even level by less than this part of it is left alone
_FILL = 8e-4  # of the even level: so much more is allowed where many are filled up exactly
_STEP = 1e-12  # of unevenness: less is rounding


@dataclass(frozen=True, slots=True)
class Items:
    """The vCPUs that may be placed, in columns: a row is one of them."""

    loads: Sequence[float]  # at full speed, in its own cell
    homes: Sequence[int | None]  # where it sits now; None: not known
    bound: Sequence[bool]  # to its home; who is not will be bound in any case
    permitted: Sequence[frozenset[int] | None] = ()  # None: anywhere; empty: everybody anywhere
    far: Sequence[tuple[float, ...] | None] = ()  # by cell: how many times its load it is there

    def __len__(self) -> int:
        return len(self.loads)

    def may(self, number: int, pcpu: int) -> bool:
        """Tell whether an item may sit on a pCPU."""
        mask = self.permitted[number] if self.permitted else None
        return mask is None or pcpu in mask


@dataclass(frozen=True, slots=True)
class Ground:
    """The pCPUs, and what they carry in any case."""

    fixed: Sequence[float]
    speeds: Sequence[float]
    siblings: Mapping[int, tuple[int, ...]]
    cells: Sequence[int]  # of each pCPU
    sibling_cost: float  # g above
    level: float  # how full all are if all is even
    slack: Sequence[float]  # above the level, that is not worth a look: noise

    @property
    def enough(self) -> float:
        """Return how full pCPUs may be where there are many: even, but for noise."""
        return self.level + max(self.noise, _FILL * self.level)

    @property
    def noise(self) -> float:
        """Return what is not worth a look, of a typical pCPU."""
        return sqrt(fsum([one * one for one in self.slack]) / len(self.slack))

    def pressures(self, loads: Sequence[float]) -> list[float]:
        """Return how full each pCPU is, with what its siblings add to that."""
        return [self.pressure(loads, pcpu) for pcpu in range(len(loads))]

    def pressure(self, loads: Sequence[float], pcpu: int) -> float:
        """Return half of what a little more load on a pCPU adds to the unevenness."""
        load = loads[pcpu]
        for other in self.siblings.get(pcpu, ()):
            load += self.sibling_cost * loads[other]
        return load / self.speeds[pcpu]


@dataclass(slots=True)
class Packing:
    """Items on pCPUs, and the search for better places."""

    ground: Ground
    items: Items
    price: float
    seats: list[int] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    _here: list[list[tuple[float, int]]] = field(default_factory=list)  # by load, of each pCPU
    _indexed: bool = True  # `_here` is up to date
    _alike: bool = field(init=False)  # nobody's load depends on where it is
    _dearest: float = field(init=False)  # price of any move

    def __post_init__(self) -> None:
        self._alike = all(far is None for far in self.items.far)
        self._dearest = self.price * (1.0 if len(set(self.ground.cells)) < 2 else 2.0)

    @property
    def fills(self) -> list[float]:
        """Return how full each pCPU is."""
        return [load / s for load, s in zip(self.loads, self.ground.speeds, strict=True)]

    # --- what is made small

    def load_at(self, number: int, pcpu: int) -> float:
        """Return what an item asks of a pCPU."""
        load = self.items.loads[number]
        far = self.items.far[number] if self.items.far else None
        return load if far is None else load * far[self.ground.cells[pcpu]]

    def price_at(self, number: int, pcpu: int) -> float:
        """Return the price of an item's seat: what its way there from home costs."""
        home = self.items.homes[number]
        if home is None or pcpu == home:
            return 0.0
        ground = self.ground
        near = pcpu in ground.siblings.get(home, ())  # its caches are the same ones
        way = 0.5 if near else 1.0 if ground.cells[home] == ground.cells[pcpu] else 2.0
        # Who has to be bound somewhere costs a call anyway; only its caches are at stake.
        return self.price * (way if self.items.bound[number] else 0.25 * way)

    def total(self) -> float:
        """Return unevenness plus price."""
        ground = self.ground
        squares = [load * load / s for load, s in zip(self.loads, ground.speeds, strict=True)]
        crossed = [
            ground.sibling_cost * self.loads[pcpu] * self.loads[other] / ground.speeds[pcpu]
            for pcpu, others in ground.siblings.items()
            for other in others
        ]
        prices = [self.price_at(i, seat) for i, seat in enumerate(self.seats)]
        return fsum(squares) + fsum(crossed) + fsum(prices)

    def _curve(self, one: int, other: int) -> float:
        """Return what the square of a load adds that goes from one pCPU to another."""
        ground = self.ground
        curve = 1.0 / ground.speeds[one] + 1.0 / ground.speeds[other]
        if other in ground.siblings.get(one, ()):
            curve -= 2.0 * ground.sibling_cost / ground.speeds[one]
        return curve

    # --- steps

    def seat_at_home(self) -> None:
        """Seat everybody where it is; who is nowhere, on the emptiest pCPU that it may use."""
        self._clear()
        nowhere = []
        for number, home in enumerate(self.items.homes):
            if home is None or not self.items.may(number, home):
                nowhere.append(number)
            else:
                self._sit(number, home)
        self.deal(nowhere)

    def give_and_deal(self) -> None:
        """Seat everybody at home, but who has to leave, or is bound to nothing, anew."""
        self.seat_at_home()
        loose = [number for number, bound in enumerate(self.items.bound) if not bound]
        for number in loose:
            self._leave(number)
        self.deal([*self.shed(), *loose])

    def deal_anew(self, *, masked_first: bool = False) -> None:
        """Seat everybody as if nobody had a home; those with masks first, if that is wanted."""
        self._clear()
        everybody, permitted = range(len(self.items)), self.items.permitted
        if masked_first:
            self.deal([number for number in everybody if permitted[number] is not None])
        self.deal([number for number in everybody if self.seats[number] < 0])

    def can_be_filled(self) -> bool:
        """Tell whether pCPUs are alike for nearly every load, and these are known well.

        Where several share each pCPU no sibling is idle, and cores are as good as even pCPUs are.
        Where loads are not known well, what seems to fit exactly is chance.
        """
        count, siblings = len(self.items), self.ground.siblings
        masked = sum([mask is not None for mask in self.items.permitted])
        crowded = count >= _CROWDED * len(self.ground.speeds)
        known = self.ground.noise <= _NOISY * self.ground.level
        return known and self._alike and (crowded or not siblings) and masked <= _MASKED * count

    def fill(self) -> None:
        """Seat everybody at home, but who has to leave where it fits (`filling`)."""
        ground, items = self.ground, self.items
        self._clear()
        self._indexed = False
        homes, loads, seats = items.homes, items.loads, self.seats
        here: list[list[int]] = [[] for _ in self.loads]  # who may leave
        there: list[list[float]] = [[load] for load in ground.fixed]
        homeless: list[int] = []
        for number, home in enumerate(homes):
            if home is None or (items.permitted and not items.may(number, home)):
                homeless.append(number)
                continue
            seats[number] = home
            there[home].append(loads[number])
            if not items.permitted or items.permitted[number] is None:
                here[home].append(number)
        self.loads = [fsum(each) for each in there]
        enough = ground.enough
        limits = [enough * speed for speed in ground.speeds]
        free = [n for n in homeless if not items.permitted or items.permitted[n] is None]
        for number, pcpu in filled(here, loads, self.loads, limits, free).items():
            if seats[number] >= 0:
                self.loads[seats[number]] -= loads[number]
            self._sit(number, pcpu)
        self.deal([number for number in homeless if seats[number] < 0])

    def _index(self) -> None:
        """Note who sits where, if that was not done yet."""
        if self._indexed:
            return
        self._indexed = True
        for row in sorted(zip(self.items.loads, range(len(self.seats)), strict=True)):
            self._here[self.seats[row[1]]].append(row)

    def deal(self, numbers: Sequence[int]) -> None:
        """Seat items that have no seat, the largest first, each where it costs least."""
        items = self.items
        falling = sorted(numbers, key=lambda i: (-items.loads[i], i))
        if self._plain(falling):
            self._deal_plain(falling)
            return
        for number in falling:
            mask = items.permitted[number] if items.permitted else None
            choice = range(len(self.loads)) if mask is None else sorted(mask)
            self._sit(number, min(choice, key=lambda pcpu: (self._seat_cost(number, pcpu), pcpu)))

    def _seat_cost(self, number: int, pcpu: int) -> float:
        load, ground = self.load_at(number, pcpu), self.ground
        slope = 2.0 * ground.pressure(self.loads, pcpu)
        return load * (slope + load / ground.speeds[pcpu]) + self.price_at(number, pcpu)

    def _plain(self, numbers: Sequence[int]) -> bool:
        """Tell whether any pCPU is as good as another for these items, but for its load."""
        ground = self.ground
        if ground.siblings or len(set(ground.speeds)) > 1:
            return False
        permitted = self.items.permitted
        return self._alike and not (permitted and any(permitted[i] is not None for i in numbers))

    def _deal_plain(self, falling: Sequence[int]) -> None:
        heap = [(load, pcpu) for pcpu, load in enumerate(self.loads)]
        heapq.heapify(heap)
        loads = self.loads
        for number in falling:
            while heap[0][0] != loads[heap[0][1]]:  # somebody sat down at home there
                heapq.heapreplace(heap, (loads[heap[0][1]], heap[0][1]))
            emptiest, pcpu = heap[0]
            home, load = self.items.homes[number], self.items.loads[number]
            if home is not None and home != pcpu:
                dearer = 2.0 * load * (loads[home] - emptiest)
                if dearer <= self.price_at(number, pcpu):
                    self._sit(number, home)
                    continue
            self._sit(number, pcpu)
            heapq.heapreplace(heap, (loads[pcpu], pcpu))

    def shed(self) -> list[int]:
        """Take off what too full pCPUs have to give; return it."""
        ground = self.ground
        taken = []
        for pcpu, here in enumerate(self._here):
            speed = ground.speeds[pcpu]
            excess = self.loads[pcpu] - ground.level * speed
            if excess > ground.slack[pcpu] * speed and excess > ground.level * _EXACT:
                taken += _cheapest_set(here, excess, self.price)
        for number in taken:
            self._leave(number)
        return taken

    def trade(self) -> None:
        """Let the fullest pCPUs trade with the emptiest while that gains."""
        if len(self.loads) < 2 or not self.items:
            return
        ground = self.ground
        few = len(self.loads) * len(self.items) <= _SMALL
        order = sorted((load / ground.speeds[p], p) for p, load in enumerate(self.loads))
        filled_up = not few and self.can_be_filled()
        least = (ground.enough if filled_up else ground.level * (1.0 + _EXACT)) + _STEP
        if order[-1][0] <= least:
            return
        self._index()
        stuck: set[int] = set()
        for _ in range(_TRADES_MAX):
            full = next((p for _, p in reversed(order) if p not in stuck), None)
            if full is None or self.loads[full] / ground.speeds[full] <= least:
                return
            partners = [p for _, p in (order if few else order[:_PARTNERS]) if p != full]
            best = self._best_trade(full, partners)
            if best is None:
                stuck.add(full)
                continue
            _, one, other, partner = best
            for pcpu in (full, partner):
                del order[bisect_left(order, (self.loads[pcpu] / ground.speeds[pcpu], pcpu))]
            self.move(one, partner)
            if other is not None:
                self.move(other, full)
            for pcpu in (full, partner):
                insort(order, (self.loads[pcpu] / ground.speeds[pcpu], pcpu))
            stuck.discard(partner)

    def _best_trade(
        self, full: int, partners: Sequence[int]
    ) -> tuple[float, int, int | None, int] | None:
        """Return the best of all trades that gain anything: its sum, both items, the partner."""
        best: tuple[float, int, int | None, int] | None = None
        bar = -_STEP  # a sum has to be below this
        # Whoever goes home gives a price back, so that a worse trade may cost less in the end.
        back = 2.0 * self._dearest
        ground, loads, mine = self.ground, self.loads, self._here[full]
        pressure = ground.pressure(loads, full)
        for partner in partners:
            slope = 2.0 * (ground.pressure(loads, partner) - pressure)
            if slope >= 0.0:
                continue
            curve = self._curve(full, partner)
            wanted = -slope / (2.0 * curve)  # the best load to go over, for the squares alone
            theirs = self._here[partner]
            for load, one in mine:
                place = bisect_left(theirs, (load - wanted, -1))
                # Alone, or for one of those two whose loads are the nearest to what should come.
                for at in (-1, *range(max(place - 1, 0), min(place + 1, len(theirs)))):
                    other = None if at < 0 else theirs[at][1]
                    if self._alike:
                        x = load if other is None else load - theirs[at][0]
                        sum_ = x * (slope + curve * x)
                        if sum_ - back >= bar:
                            continue
                    else:
                        sum_ = self._gain(one, other, full, partner, slope, curve)
                    sum_ += self._more_price(one, other, full, partner)
                    if sum_ < bar:
                        bar, best = sum_, (sum_, one, other, partner)
        return best

    def _more_price(self, one: int, other: int | None, full: int, partner: int) -> float:
        """Return what a trade adds to the prices; infinite where it is not permitted."""
        if not self.items.may(one, partner):
            return inf
        more = self.price_at(one, partner) - self.price_at(one, full)
        if other is None:
            return more
        if not self.items.may(other, full):
            return inf
        return more + self.price_at(other, full) - self.price_at(other, partner)

    def _gain(
        self, one: int, other: int | None, full: int, partner: int, slope: float, curve: float
    ) -> float:
        """Return what a trade adds to the unevenness: below 0 where it evens out."""
        if self._alike:
            loads = self.items.loads
            x = loads[one] - (0.0 if other is None else loads[other])
            return x * (slope + curve * x)
        gone = self.load_at(one, full) - (0.0 if other is None else self.load_at(other, full))
        come = self.load_at(one, partner)
        come -= 0.0 if other is None else self.load_at(other, partner)
        ground, loads = self.ground, self.loads
        added = come * ground.pressure(loads, partner) - gone * ground.pressure(loads, full)
        added *= 2.0
        added += gone * gone / ground.speeds[full] + come * come / ground.speeds[partner]
        if partner in ground.siblings.get(full, ()):
            added -= 2.0 * ground.sibling_cost * gone * come / ground.speeds[full]
        return added

    def send_home(self) -> None:
        """Send home whoever gains less than its price by being away."""
        away = [
            (number, home)
            for number, (home, seat) in enumerate(zip(self.items.homes, self.seats, strict=True))
            if home is not None and seat != home
        ]
        for number, home in away:
            if not self.items.may(number, home):
                continue
            seat = self.seats[number]
            ground, loads = self.ground, self.loads
            slope = 2.0 * (ground.pressure(loads, home) - ground.pressure(loads, seat))
            added = self._gain(number, None, seat, home, slope, self._curve(seat, home))
            if added - self.price_at(number, seat) < -_STEP:
                self.move(number, home)

    # --- keeping the books

    def _clear(self) -> None:
        self._indexed = True
        self.loads = list(self.ground.fixed)
        self.seats = [-1] * len(self.items)
        self._here = [[] for _ in self.loads]

    def _sit(self, number: int, pcpu: int) -> None:
        self.seats[number] = pcpu
        self.loads[pcpu] += self.load_at(number, pcpu)
        if self._indexed:
            insort(self._here[pcpu], (self.items.loads[number], number))

    def _leave(self, number: int) -> None:
        pcpu = self.seats[number]
        here = self._here[pcpu]
        del here[bisect_left(here, (self.items.loads[number], number))]
        self.seats[number] = -1
        # Added up anew, so that what was here before leaves no rounding behind.
        self.loads[pcpu] = self.ground.fixed[pcpu] + fsum(
            [self.load_at(other, pcpu) for _, other in here]
        )

    def move(self, number: int, pcpu: int) -> None:
        """Seat an item elsewhere."""
        self._index()
        self._leave(number)
        self._sit(number, pcpu)


def pack(ground: Ground, items: Items, price: float) -> Packing:
    """Return the best packing that was found."""
    packing = Packing(ground, items, price)
    if len(items) * len(ground.speeds) > _SMALL:
        if packing.can_be_filled():
            packing.fill()
        else:
            packing.give_and_deal()
        packing.trade()
        packing.send_home()
        return packing
    packing.give_and_deal()
    found = [packing, *(Packing(ground, items, price) for _ in range(3 if items.permitted else 2))]
    found[1].seat_at_home()
    found[2].deal_anew()
    if items.permitted:
        found[3].deal_anew(masked_first=True)
    for one in found:
        one.trade()
        one.send_home()
    return min(found, key=Packing.total)


def _cheapest_set(here: Sequence[tuple[float, int]], excess: float, price: float) -> list[int]:
    """Return the fewest items whose loads make up for an excess, and of these sets a light one.

    All but the last two are the largest there are; those two are the lightest pair that does. One
    in their place does, unless it is so large that the hole it leaves is dearer than a move.
    """
    taken: list[int] = []
    rest = list(here)
    left = excess
    while len(rest) > 1 and rest[-1][0] + rest[-2][0] < left:
        load, number = rest.pop()
        taken.append(number)
        left -= load
    place = bisect_left(rest, (left, -1))
    single = rest[place] if place < len(rest) else None
    if single is not None and (single[0] - left) ** 2 <= price:
        return [*taken, single[1]]
    pair = _lightest_pair(rest, left)
    if single is not None and (
        pair is None or (single[0] - left) ** 2 - (pair[0] - left) ** 2 <= price
    ):
        return [*taken, single[1]]
    return taken if pair is None else [*taken, pair[1], pair[2]]


def _lightest_pair(
    rest: Sequence[tuple[float, int]], least: float
) -> tuple[float, int, int] | None:
    """Return the lightest two items, by load, that make up for a load together, and their sum."""
    low, high = 0, len(rest) - 1
    best: tuple[float, int, int] | None = None
    while low < high:
        both = rest[low][0] + rest[high][0]
        if both >= least:
            if best is None or both < best[0]:
                best = (both, rest[low][1], rest[high][1])
            high -= 1
        else:
            low += 1
    return best
