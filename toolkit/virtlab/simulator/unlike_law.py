"""How loops that are not alike share one pCPU: as Linux lets them in, played through.

`cpu_law` is for loops that meet at random, `queue_law` for short ones of one period. Both are far
off where who runs depends on who is let in at a wake-up: a loop of short work and a busy vCPU
alone with one another, loops of short work and different periods, short loops of unequal weights,
and short loops beside busy vCPUs of their own guest. Such sets are played through once (`eevdf`);
what each load runs in it, over what the other laws give it there, is its gain. From second to
second the other laws follow the noise, and gains are put on top:

    run = run by the other laws * gain, at most what is wanted,

and busy vCPUs have what is left. Without busy ones all are scaled down to the pCPU's time if they
came to more. wait = 1 - run / d, so that a demand is read back exactly.

Range: pCPUs with two to eight loads of known period that are bound, one at least with work within
a slice, on hosts whose pCPUs are alike and that have fewer than 256 vCPUs; elsewhere the other
laws stay, and where a quota is used up. One short period beside busy vCPUs is left to `cpu_law`,
which has it within 3 points, unless they are just two. A play takes some milliseconds, up to two
tenths of a second with loops of 50 ms among short ones, and is kept for the next set alike.

Held against Linux 6.18 (docs/explanation/linux.md), 16 sets of this kind: 10 are within 3 points of
delay, where the other laws have 3, and 11 within 2 of share, where they have 5. What a loop of half
the CPU gets beside one busy thread differs from run to run there: it waited 3, 13 and 22 % of the
time in three measurements, as its period is an eighth of the tick's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from virtlab.simulator.cpu_law import BUSY, Shares, added
from virtlab.simulator.eevdf import PERIOD_MAX_NS, Loop, played
from virtlab.simulator.weight_law import weighed_together

if TYPE_CHECKING:
    from virtlab.simulator.pcpu import Pcpu
    from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["gains_of", "with_gains"]

_LOADS_MAX: Final = 8


def gains_of(pcpu: Pcpu, slice_ns: int) -> tuple[float, ...]:
    """Return the gain of each resident, 1 for idle ones; empty where the other laws hold."""
    places = [n for n, vcpu in enumerate(pcpu.residents) if vcpu.loads]
    loads = [pcpu.residents[n] for n in places]
    if not _unlike(pcpu, loads):
        return ()
    loops = _loops(loads)
    order = sorted(range(len(loops)), key=lambda n: _sorting(loops[n]))
    shares = _played(_renumbered([loops[n] for n in order]), slice_ns)
    runs = dict(zip(order, [run for run, _ in shares], strict=True))
    nominal = [0.0] * len(pcpu.residents)
    for place, load in zip(places, loads, strict=True):
        nominal[place] = load.duty
    law = pcpu.plain_law(nominal)
    gains = [1.0] * len(law)
    for n, place in enumerate(places):
        if law[place][0] > 0.0:
            gains[place] = runs[n] / law[place][0]
    return tuple(gains)


def with_gains(law: Shares, demands: Sequence[float], gains: Sequence[float]) -> Shares:
    """Return the law's shares with what loads gain or lose by being unlike."""
    runs = [
        min(run * gain, demand) if gain != 1.0 else run
        for (run, _), demand, gain in zip(law, demands, gains, strict=True)
    ]
    busy = [n for n, demand in enumerate(demands) if demand >= BUSY]
    moved = [n for n, gain in enumerate(gains) if gain != 1.0 and demands[n] < BUSY]
    rest = added([run for n, run in enumerate(runs) if n not in busy])
    over = rest - 1.0
    if over > 0.0:
        gained = added([runs[n] for n in moved])
        for n in moved:
            runs[n] -= runs[n] / gained * over
    if busy:
        theirs = added([runs[n] for n in busy])
        left = max(-over, 0.0)
        for n in busy:
            runs[n] *= left / theirs
    changed = {*busy, *moved}
    return tuple(
        [
            (runs[n], max(1.0 - runs[n] / demands[n], 0.0)) if n in changed else share
            for n, share in enumerate(law)
        ]
    )


def _unlike(pcpu: Pcpu, loads: Sequence[SimulatedVcpu]) -> bool:
    """Tell whether neither of the other laws holds for the loads of a pCPU."""
    sleepers = [vcpu for vcpu in loads if vcpu.duty < BUSY]
    if not sleepers or not 2 <= len(loads) <= _LOADS_MAX:
        return False
    periods_ns = {vcpu.period_ns for vcpu in sleepers}
    if 0 in periods_ns or any(vcpu.roams for vcpu in sleepers):
        return False
    if not any(vcpu.beat_ns > 0 for vcpu in sleepers):
        return False
    if pcpu.are_weighed():
        return True
    if len(sleepers) == len(loads):
        return len(periods_ns) > 1
    return len(periods_ns) > 1 or len(loads) == 2 or pcpu.has_kin()


def _loops(loads: Sequence[SimulatedVcpu]) -> list[Loop]:
    """Return loads as loops that are played; where guests have several, each guest is a group."""
    here: dict[int, list[int]] = {}
    for vcpu in loads:
        here.setdefault(vcpu.family, []).append(weighed_together(vcpu.wanted_ppm))
    grouped = len(here) < len(loads)
    loops = []
    for vcpu in loads:
        others_ppm = sum(here[vcpu.family]) - weighed_together(vcpu.wanted_ppm)
        elsewhere = max(vcpu.company_ppm - others_ppm, 0) / 1e6
        period_ns = 0 if vcpu.duty >= BUSY else min(vcpu.period_ns, PERIOD_MAX_NS)
        work_ns, sleep_ns = vcpu.duty * period_ns, (1.0 - vcpu.duty) * period_ns
        if grouped:
            loops.append(Loop(work_ns, sleep_ns, vcpu.weight, vcpu.family, elsewhere))
        else:
            loops.append(Loop(work_ns, sleep_ns, vcpu.weight / (1.0 + elsewhere)))
    return loops


def _sorting(loop: Loop) -> tuple[float, ...]:
    guest = -1 if loop.guest is None else loop.guest
    return (guest, loop.work_ns, loop.sleep_ns, loop.weight, loop.elsewhere)


def _renumbered(loops: Sequence[Loop]) -> tuple[Loop, ...]:
    """Return loops with guests numbered from 0, so that sets are found again."""
    numbers: dict[int, int] = {}
    again = []
    for loop in loops:
        guest = loop.guest
        if guest is not None:
            guest = numbers.setdefault(guest, len(numbers))
        again.append(Loop(loop.work_ns, loop.sleep_ns, loop.weight, guest, loop.elsewhere))
    return tuple(again)


@lru_cache(maxsize=4096)
def _played(loops: tuple[Loop, ...], slice_ns: int) -> Shares:
    """Return what each gets; loops that are alike get the same."""
    shares = played(loops, slice_ns)
    alike: dict[Loop, list[int]] = {}
    for n, loop in enumerate(loops):
        alike.setdefault(loop, []).append(n)
    return tuple(
        [
            (
                added([shares[n][0] for n in alike[loop]]) / len(alike[loop]),
                added([shares[n][1] for n in alike[loop]]) / len(alike[loop]),
            )
            for loop in loops
        ]
    )
