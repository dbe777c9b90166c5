"""What waking up elsewhere saves: an unpinned loop waits less than a bound one.

A loop that would wait on its own pCPU finds another permitted one idle with the chance that one is,
and then does not wait. The chance takes each pCPU to be busy for the share that the law uses of it,
apart from the others; it is worked out once for all loops of one mask, as the product of those
before a pCPU times the product of those after it. What was not waited for is booked on the own
pCPU, as far as that has time left.

The tables are for many pCPUs at once, by the same operations in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Any

from virtlab.simulator.cpu_law import Shares, added

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

__all__ = ["idle_chances", "idle_chances_row", "woken_elsewhere", "woken_table"]


def idle_chances(used: Sequence[float]) -> list[float]:
    """Return, for each of some pCPUs, how likely it is that another one of them is idle.

    `used` has the share of each that is used.
    """
    busy = [min(share, 1.0) for share in used]
    before = accumulate(busy[:-1], mul, initial=1.0)
    after = list(accumulate(busy[:0:-1], mul, initial=1.0))
    return [1.0 - one * other for one, other in zip(before, reversed(after), strict=True)]


def woken_elsewhere(
    law: Shares, demands: Sequence[float], chances: Sequence[float], used: float
) -> Shares:
    """Return the law's shares on one pCPU, with less waiting for those that wake up elsewhere.

    Args:
        law: run and wait share of each vCPU.
        demands: what each wants.
        chances: how likely each finds another pCPU idle, 0 for those that stay.
        used: what share of the pCPU the law uses.
    """
    shares = zip(law, demands, chances, strict=True)
    saved = [demand * wait * chance for (_, wait), demand, chance in shares]
    wanted = added(saved)
    if wanted <= 0.0:
        return law
    scale = min(max(1.0 - used, 0.0) / wanted, 1.0)
    return tuple(
        [
            # A loop that runs a share r and waits a share w wants r / (1 - w).
            (run + more * scale, max(1.0 - (run + more * scale) / demand, 0.0))
            if more > 0.0
            else (run, wait)
            for (run, wait), demand, more in zip(law, demands, saved, strict=True)
        ]
    )


def idle_chances_row(np: Any, used: Floats) -> Floats:
    """Return the same as `idle_chances`."""
    busy = np.minimum(used, 1.0)
    before, after = np.ones(len(busy)), np.ones(len(busy))
    np.multiply.accumulate(busy[:-1], out=before[1:])
    np.multiply.accumulate(busy[:0:-1], out=after[1:])
    chances: Floats = 1.0 - before * after[::-1]
    return chances


def woken_table(
    np: Any, run: Floats, wait: Floats, demands: Floats, chances: Floats, used: Floats
) -> tuple[Floats, Floats]:
    """Return the same as `woken_elsewhere`, of pCPUs that have a column each."""
    saved = demands * wait * chances
    wanted = np.zeros(saved.shape[1])
    for row in saved:
        wanted += row
    some = wanted > 0.0
    with np.errstate(over="ignore"):  # next to nothing is wanted, and it gets all of that
        scale = np.minimum(np.maximum(1.0 - used, 0.0) / np.where(some, wanted, 1.0), 1.0)
    woken = run + saved * scale
    leaves = saved > 0.0
    waits = np.maximum(1.0 - woken / np.where(leaves, demands, 1.0), 0.0)
    return np.where(leaves, woken, run), np.where(leaves, waits, wait)
