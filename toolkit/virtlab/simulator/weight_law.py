"""How unequal weights share a pCPU, and how Linux weighs the vCPUs of one guest together.

libvirt makes a control group of each guest, with `cpu_shares` as its weight, and in it a group of
usual weight for each vCPU. On each CPU the guest's group competes as one entity, of a weight that
follows from how much of the guest is there (`calc_group_shares` in kernel/sched/fair.c):

    weight there = shares * load there / load of the whole guest

so that four busy vCPUs on one pCPU have together what a guest of one has, and a guest whose vCPUs
are busy on two pCPUs has half of its shares on each. n vCPUs of a guest that are there beside
others of it that count for q elsewhere have a weight of

    w(n) = shares * n / (n + q)         and each of them runs w(n) / (w(n) + others') / n.

Each vCPU meets the vCPUs of its own guest in all numbers, as likely as their presence makes each,
and the other guests' weight by its mean and variance, or nobody. With what it runs while it is
there, r, it goes round 1 / (d / r + 1 - d) as often as alone, which makes it be there more; some
rounds of that agree to 0.03 points. The whole is scaled to what the pCPU is used for where weights
are equal, which is known exactly; what somebody cannot take of that is for the others. Against the
Markov chain of loops with exponential rounds that is within 2 points in all sets of the tests, and
within 2.5 where weights differ by ten and a hundred times.

A sibling elsewhere counts for 1.4 times the duty of its load, for 1 at most. By the formula alone
it would be 1.0 times the share of time that it runs or waits. Two things were seen to add to that
on Linux 6.18 (in /sys/kernel/debug/sched/debug): a sleeping CPU's load average stays at its last
value until it is looked at again (0.63 for a loop of 50 ms that was there for 0.52), and a group
whose weight changes gets less than its weight (a share of 0.36 for mean weights of 0.617 and 1).

Where all loads on a pCPU have the same weight, siblings counted, the exact laws hold (`cpu_law`,
`queue_law`): guests that are alike share as ever. Idle vCPUs wake up too rarely to be weighed.

Held against Linux 6.18 (docs/explanation/linux.md): always-busy vCPUs, grouped or not, and loops of
50 ms are within 2 points, phases that lock left out. Short loops are off by up to 15 points of
delay where they are beside busy ones of their own guest, by 6 otherwise; `unlike_law` puts that
right on small hosts. A sibling that waits on an overfull pCPU counts for more than its duty; that
is not followed. Kernels before 6.6 (CFS) were not measured.

One set is far off as measured: two short loops of a guest that compete with another guest's busy
vCPU while a third vCPU of theirs is busy elsewhere. Linux gave them 0.47 each and the busy one
0.06, where their weights say 0.18 and 0.63. Their group's weight changes whenever one of them comes
or goes, and by commit 6d71a9c61604 of Linux a group that runs is placed anew then, counting it
twice in V. Played by that rule (`benchmarks.reweighed`) they get 0.41 each and the busy one 0.17;
with load averages, 0.46 and 0.08. Linux took the rule back in 2026 (commit 101f3498b4bd); as it is
since, the play gives 0.19 and 0.63. So the weights stay.

Source: Linux, kernel/sched/fair.c (`calc_group_shares`, `update_cfs_group`), admin-guide/cgroup-v2
(`cpu.weight`), scheduler/sched-design-CFS (group scheduling); libvirt, cgroups (layout of a guest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from virtlab.simulator.cpu_law import BUSY, Shares, added
from virtlab.simulator.crowd_law import added_rows

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from virtlab.simulator.vcpu import SimulatedVcpu

    Floats = NDArray[float64]

__all__ = ["Group", "table_by_weight", "weighed_together", "weighted_sharing"]

_ROUNDS: Final = 6  # which left 300 random sets within 3e-4 of many rounds
_COUNTED_MAX: Final = 16  # vCPUs of one guest on a pCPU; of more their mean number is enough
_LEFT: Final = 1e-12  # of a pCPU: less is a matter of rounding
_PRESENT_PPM: Final = 1_000_000


@dataclass(slots=True, eq=False)
class Group:
    """The vCPUs of one guest, which Linux weighs together."""

    vcpus: list[SimulatedVcpu] = field(default_factory=list)

    def company_ppm(self) -> list[int]:
        """Return for what the others of the guest count beside each vCPU, in millionths."""
        each = [weighed_together(v.wanted_ppm) if v.powered else 0 for v in self.vcpus]
        total = sum(each)
        return [total - own for own in each]


def weighed_together(wanted_ppm: int) -> int:
    """Return for what a vCPU that wants so much of a pCPU counts in its guest, in millionths."""
    return min(wanted_ppm * 7 // 5, _PRESENT_PPM)


def weighted_sharing(
    duties: Sequence[float],
    weights: Sequence[int],
    elsewhere: Sequence[float],
    guests: Sequence[int],
    total: float,
) -> Shares:
    """Return (run share, wait share) of each duty on one pCPU where weights differ.

    Args:
        duties: what each wants, as a share of the pCPU.
        weights: of its guest.
        elsewhere: for how many the vCPUs of its guest on other pCPUs count.
        guests: the same number for vCPUs of one guest.
        total: what share of the pCPU would be used if all weights were equal.
    """
    wanted = [duty if duty < BUSY else 1.0 for duty in duties]
    members: dict[int, list[int]] = {}
    for place, guest in enumerate(guests):
        members.setdefault(guest, []).append(place)
    kin = [_Kin(own, weights[own[0]], elsewhere[own[0]]) for own in members.values()]
    present, rates = wanted, [1.0] * len(wanted)
    for _ in range(_ROUNDS):
        there = [own.presence([present[n] for n in own.places]) for own in kin]
        for own, others in zip(kin, _others(there), strict=True):
            own_rates = own.rates([present[n] for n in own.places], others)
            for place, rate in zip(own.places, own_rates, strict=True):
                rates[place] = rate
        works = [duty / rate for duty, rate in zip(wanted, rates, strict=True)]
        present = [work / (work + (1.0 - duty)) for work, duty in zip(works, wanted, strict=True)]
    runs = [duty / (duty / rate + (1.0 - duty)) for duty, rate in zip(wanted, rates, strict=True)]
    return tuple(
        # A loop that runs a share r and waits w wants r / (1 - w): the demand is what it is.
        (kept, 1.0 - kept / duty if duty > 0.0 else 0.0)
        for duty, kept in zip(wanted, _used_up(runs, wanted, total), strict=True)
    )


def _used_up(runs: Sequence[float], wanted: Sequence[float], total: float) -> list[float]:
    """Return runs scaled to a total, none above what it wants."""
    used = added(runs)
    scale = total / used if used > 0.0 else 0.0
    kept = [min(run * scale, duty) for run, duty in zip(runs, wanted, strict=True)]
    while (left := total - added(kept)) > _LEFT:
        open_ = added([k if k < duty else 0.0 for k, duty in zip(kept, wanted, strict=True)])
        if open_ <= 0.0:
            break
        more = 1.0 + left / open_
        kept = [min(k * more, duty) for k, duty in zip(kept, wanted, strict=True)]
    return kept


class _Presence(NamedTuple):
    """How much weight of some groups is on a pCPU."""

    absent: float  # the chance that none of them is there
    mean: float
    variance: float


class _Kin(NamedTuple):
    """The vCPUs of one guest on a pCPU."""

    places: Sequence[int]
    weight: int
    elsewhere: float

    def _weighs(self, number: float) -> float:
        """Return the guest's weight with so many of them there."""
        return self.weight * number / (number + self.elsewhere)

    def presence(self, present: Sequence[float]) -> _Presence:
        """Return the weight of those who are there for some shares of the time."""
        if len(present) > _COUNTED_MAX:
            none = reduce(mul, [1.0 - share for share in present])
            some = 1.0 - none  # nothing where all are next to never there
            own = self._weighs(added(present) / some if some > 0.0 else 1.0)
            mean = (1.0 - none) * own
            return _Presence(none, mean, mean * own - mean * mean)
        if len(present) == 1:
            own = self._weighs(1)
            mean = present[0] * own
            return _Presence(1.0 - present[0], mean, present[0] * (own * own) - mean * mean)
        none, *chances = _chances(present)
        weights = [self._weighs(number) for number in range(1, len(present) + 1)]
        mean = added([chance * own for chance, own in zip(chances, weights, strict=True)])
        squared = added(
            [chance * (own * own) for chance, own in zip(chances, weights, strict=True)]
        )
        return _Presence(none, mean, squared - mean * mean)

    def rates(self, present: Sequence[float], others: _Presence) -> list[float]:
        """Return what each of them runs while it is there, beside other guests."""
        if len(present) == 1:
            return [_part(self._weighs(1), others)]
        if len(present) > _COUNTED_MAX:
            total = added(present)
            numbers = [1.0 + (total - share) for share in present]
            return [_part(self._weighs(number), others) / number for number in numbers]
        parts = [_part(self._weighs(n), others) / n for n in range(1, len(present) + 1)]
        rates = []
        for place in range(len(present)):
            beside = _chances([*present[:place], *present[place + 1 :]])
            rates.append(added([chance * part for chance, part in zip(beside, parts, strict=True)]))
        return rates


def _others(groups: Sequence[_Presence]) -> list[_Presence]:
    """Return, for each group, the others together."""
    mean, variance = added([g.mean for g in groups]), added([g.variance for g in groups])
    absent = [group.absent for group in groups]
    before = accumulate(absent[:-1], mul, initial=1.0)
    after = list(accumulate(absent[:0:-1], mul, initial=1.0))
    return [
        _Presence(one * other, max(mean - g.mean, 0.0), max(variance - g.variance, 0.0))
        for g, one, other in zip(groups, before, reversed(after), strict=True)
    ]


def _part(own: float, others: _Presence) -> float:
    """Return the mean of own / (own + others), to the second order in what the others vary by."""
    there = 1.0 - others.absent
    if there <= 0.0:
        return 1.0
    mean = others.mean / there
    variance = max((others.variance + others.mean * others.mean) / there - mean * mean, 0.0)
    every = own + mean
    part = own / every * (1.0 + variance / (every * every + variance))
    return others.absent + there * min(part, 1.0)


def _chances(present: Sequence[float]) -> list[float]:
    """Return how likely it is that none, one, two ... of some are there."""
    chances = [1.0]
    for share in present:
        absent = 1.0 - share
        more = [chance * share for chance in chances]
        chances = [*[chance * absent for chance in chances], 0.0]
        for n, chance in enumerate(more, 1):
            chances[n] += chance
    return chances


def table_by_weight(
    np: Any, duties: Floats, weights: Any, elsewhere: Floats, total: Floats
) -> tuple[Floats, Floats]:
    """Return the same for many pCPUs at once, to the same bits.

    Args:
        np: numpy.
        duties: one column a pCPU, filled up with zeros; no two vCPUs of a guest in one.
        weights: of their guests, positive ones to fill up with.
        elsewhere: for how many the vCPUs of their guests on other pCPUs count.
        total: what share of each pCPU would be used if all weights were equal.
    """
    wanted = np.where(duties < BUSY, duties, 1.0)
    sleeps = 1.0 - wanted
    own = weights / (1 + elsewhere)
    squares = own * own
    present = wanted
    before, after = np.ones_like(wanted), np.ones_like(wanted)
    for _ in range(_ROUNDS):
        absent = 1.0 - present
        np.multiply.accumulate(absent[:-1], axis=0, out=before[1:])
        np.multiply.accumulate(absent[:0:-1], axis=0, out=after[1:])
        nobody = before * after[::-1]
        there = 1.0 - nobody
        some = there > 0.0
        there = np.where(some, there, 1.0)
        means = present * own
        spreads = present * squares - means * means
        met = np.maximum(added_rows(np, means) - means, 0.0)
        mean = met / there
        varied = np.maximum(added_rows(np, spreads) - spreads, 0.0)
        varied = np.maximum((varied + met * met) / there - mean * mean, 0.0)
        every = own + mean
        part = own / every * (1.0 + varied / (every * every + varied))
        rates = np.where(some, nobody + there * np.minimum(part, 1.0), 1.0)
        works = wanted / rates
        present = works / (works + sleeps)
    runs = wanted / (wanted / rates + sleeps)
    kept = _used_up_table(np, runs, wanted, total)
    waits = np.where(wanted > 0.0, 1.0 - kept / np.where(wanted > 0.0, wanted, 1.0), 0.0)
    return kept, waits


def _used_up_table(np: Any, runs: Floats, wanted: Floats, total: Floats) -> Floats:
    """Return runs scaled to the total of their column, none above what it wants."""
    used = added_rows(np, runs)
    scale = np.where(used > 0.0, total / np.where(used > 0.0, used, 1.0), 0.0)
    kept: Floats = np.minimum(runs * scale, wanted)
    while True:
        left = total - added_rows(np, kept)
        open_ = added_rows(np, np.where(kept < wanted, kept, 0.0))
        going = (left > _LEFT) & (open_ > 0.0)
        if not going.any():
            return kept
        more = np.where(going, 1.0 + left / np.where(going, open_, 1.0), 1.0)
        kept = np.minimum(kept * more, wanted)
