"""How loops with short bursts share one pCPU: first come, first served.

Linux lets a thread that began to run go on for a slice before another one that has woken up takes
its place. Loops whose work fits into a slice are therefore served in the order of their waking,
each in one piece. They do not meet at random, as in `cpu_law`: loops of one period that collided
once come one after the other from then on, and wait the less for it.

With D the sum of the duties d_i, each cycle becomes longer by the same factor 1 + x,

    x (1 + x - D) = s      with  s = (sum d_i^2 - sum d_i^3 / D) / 16
    run_i = d_i / (1 + x)      wait_i = x / (1 + x)

Of a pCPU that has time for all (D < 1) that is a wait of about s / (1 - D), as of a queue whose
servings all take the same time, and far above 1 it is x = D - 1: the pCPU is never idle, and loops
share it as their duties. In all it is never used for more than 1; a lone loop never waits.

s is what a loop finds of the others' bursts when it wakes up, a loop being met as often as it
runs; half of it would be the mean rest of a burst, and 1/16 in place of 1/2 says how well loops
avoid one another. It was chosen by eye between what fits equal loops of 0.5 ms best (1/20) and what
fits other periods and unequal duties (1/10), so that no set was truly held out. Measured with
nothing else at work, 17 of 18 sets of two to eight loops have shares within 1.8 points and delays
within 4.3, where processor sharing is off by up to 12; two loops of 50 % and 2 ms waited 0.22
instead of 0.11 (0.12 beside other work). Work of 1.4 ms was still served so on two CPUs, 1.44 ms
no more.

It holds for loops of one period and equal weight that are bound to the pCPU, with work of a slice
at most; unbound ones wake up now here and now there, so that they meet at random (`placement`).
Idle vCPUs beside them wake up so rarely that loops only miss the time they take; they meet each
loop as often as it is there, as under `cpu_law`.

Source: the kernel's fair scheduler (RUN_TO_PARITY; base slice of 0.7 ms, times 1 + log2 of the
CPUs, eight at most); this project's measurements on Linux 6.18 (docs/explanation/linux.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import sqrt
from operator import not_
from typing import TYPE_CHECKING, Any, Final

from virtlab.simulator.cpu_law import Shares, added
from virtlab.simulator.crowd_law import added_rows, sharing_of_table

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

__all__ = ["law_of_table", "served_in_turn", "slice_ns", "table_served_in_turn"]

_BASE_SLICE_NS: Final = 700_000
_CPUS_MAX: Final = 8  # from which on slices grow no longer
_MET: Final = 1.0 / 16.0
# What idle vCPUs may take at most, however many there are: loops go on.
_IDLE_MAX: Final = 0.5


def slice_ns(pcpus: int) -> int:
    """Return for how long a host of so many pCPUs lets a thread run on."""
    return _BASE_SLICE_NS * min(pcpus, _CPUS_MAX).bit_length()


def served_in_turn(demands: Sequence[float], loops: Sequence[bool]) -> Shares:
    """Return (run share, wait share) of each vCPU on one pCPU.

    Args:
        demands: what each wants, as a share of the pCPU.
        loops: which of them are loops; the others are idle vCPUs.
    """
    rest = list(compress(demands, map(not_, loops)))
    idle = added(sorted(rest))
    room = 1.0 - min(idle, _IDLE_MAX)
    wanted = sorted([d / room for d in compress(demands, loops)])
    total = added(wanted)
    squares = added([d * d for d in wanted])
    cubes = added([d * d * d for d in wanted])
    met = max(squares - cubes / total, 0.0) * _MET if len(wanted) > 1 else 0.0
    over = total - 1.0
    longer = (over + sqrt(over * over + 4.0 * met)) / 2.0
    stretch = 1.0 + longer
    wait = longer / stretch
    there = total * room / stretch + len(wanted) * wait
    crowded = max(1.0, idle / _IDLE_MAX)
    # Noise has few levels: of hundreds of idle vCPUs a dozen differ.
    beside = {0.0: (0.0, 0.0)}
    for demand in set(rest) - {0.0}:
        own = (1.0 + demand * (there + idle - demand)) * crowded
        beside[demand] = (demand / own, (own - 1.0) / own)
    return tuple(
        [
            (demand / stretch, wait) if loop else beside[demand]
            for demand, loop in zip(demands, loops, strict=True)
        ]
    )


def law_of_table(
    np: Any, demands: Floats, counts: NDArray[int64], loops: Any, brief: Any
) -> tuple[Floats, Floats, Floats]:
    """Return run and wait shares of many pCPUs by the law that holds on each, and the used shares.

    Args:
        np: numpy.
        demands: one column a pCPU, filled up with zeros.
        counts: how many vCPUs sit on each.
        loops: where in the table loops are that may be served in turn.
        brief: on which pCPUs they are.
    """
    if not brief.any():
        return sharing_of_table(np, demands, counts)
    if brief.all():
        return table_served_in_turn(np, demands, loops)
    run, wait = np.zeros_like(demands), np.zeros_like(demands)
    used = np.zeros(len(brief))
    for these, found in (
        (~brief, sharing_of_table(np, demands[:, ~brief], counts[~brief])),
        (brief, table_served_in_turn(np, demands[:, brief], loops[:, brief])),
    ):
        run[:, these], wait[:, these], used[these] = found
    return run, wait, used


def table_served_in_turn(np: Any, demands: Floats, loops: Any) -> tuple[Floats, Floats, Floats]:
    """Return run and wait shares of many pCPUs at once, to the same bits, and the used shares.

    Args:
        np: numpy.
        demands: one column a pCPU, filled up with zeros.
        loops: where in it loops are, at least one in each column.
    """
    idle = added_rows(np, np.sort(np.where(loops, 0.0, demands), axis=0))
    room = 1.0 - np.minimum(idle, _IDLE_MAX)
    wanted = np.sort(np.where(loops, demands, 0.0) / room, axis=0)
    total = added_rows(np, wanted)
    squares = added_rows(np, wanted * wanted)
    cubes = added_rows(np, wanted * wanted * wanted)
    count = loops.sum(axis=0)
    met = np.where(count > 1, np.maximum(squares - cubes / total, 0.0) * _MET, 0.0)
    over = total - 1.0
    longer = (over + np.sqrt(over * over + 4.0 * met)) / 2.0
    stretch = 1.0 + longer
    wait = longer / stretch
    there = total * room / stretch + count * wait
    own = (1.0 + demands * (there + idle - demands)) * np.maximum(1.0, idle / _IDLE_MAX)
    runs = demands / np.where(loops, stretch, own)
    waits = np.where(loops, wait, np.where(demands > 0.0, (own - 1.0) / own, 0.0))
    return runs, waits, added_rows(np, runs)
