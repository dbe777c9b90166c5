"""The law of `cpu_law` for many pCPUs at once, where numpy is installed.

Each second's noise gives every pCPU of a host another set of duties. Where there are hundreds of
them the same steps are taken for all together, one array operation each: the n-th vCPU of each
pCPU stands in one row. Operations and their order are those of `cpu_law`, so that the results are
the same to the last bit, with numpy or without.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from virtlab.simulator.cpu_law import BUSY, nodes_for
from virtlab.simulator.quadrature import laguerre

if TYPE_CHECKING:
    from types import ModuleType

    from numpy import float64, int64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

__all__ = ["CROWD_MIN", "numpy_or_none", "sharing_of_table"]

# From so many pCPUs on one operation on all of them costs less than a loop over them.
CROWD_MIN: Final = 12
_ROW_MIN: Final = 2  # numpy adds up a single column in another order


@lru_cache(maxsize=1)
def numpy_or_none() -> ModuleType | None:
    """Return numpy, which only large hosts ever load, or None where it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def sharing_of_table(
    np: Any, duties: Floats, counts: NDArray[int64]
) -> tuple[Floats, Floats, Floats]:
    """Return the run and wait shares of equal weights, and what share of each pCPU is used.

    Args:
        np: numpy.
        duties: one column a pCPU, filled up with zeros.
        counts: how many vCPUs sit on each, `SEATS_MAX` at most.
    """
    nodes = np.array([nodes_for(n) for n in range(len(duties) + 1)])[counts]
    run, wait = np.zeros_like(duties), np.zeros_like(duties)
    for number in np.unique(nodes).tolist():
        these = np.flatnonzero(nodes == number)
        part = duties[: counts[these].max(), these]
        if len(these) < _ROW_MIN:
            part = np.repeat(part, _ROW_MIN, axis=1)
        runs, waits = _integrated(np, part, number)
        run[: len(part), these] = runs[:, : len(these)]
        wait[: len(part), these] = waits[:, : len(these)]
    used = np.zeros(duties.shape[1])
    for row in run:  # one by one, as `added` does
        used += row
    return run, wait, used


def _integrated(np: Any, duties: Floats, nodes: int) -> tuple[Floats, Floats]:
    """Return the run and wait shares; see `cpu_law`."""
    order = np.argsort(duties, axis=0)
    wanted = np.take_along_axis(duties, order, axis=0)
    busy = wanted >= BUSY
    wanted[busy] = 1.0
    sleeps = 1.0 - wanted
    runs, waits, total = np.zeros_like(wanted), np.zeros_like(wanted), np.zeros(wanted.shape[1])
    factors, parts = np.empty_like(wanted), np.empty_like(wanted)
    for node, weight in laguerre(nodes):
        np.multiply(wanted, node, out=factors)
        np.add(sleeps, factors, out=factors)
        np.divide(wanted, factors, out=parts)
        # Along the first axis numpy goes one by one.
        whole = np.multiply.reduce(factors, axis=0) * weight
        every = np.add.reduce(parts, axis=0)
        others = np.subtract(every, parts, out=factors)
        taken = np.multiply(whole, parts, out=parts)
        total += whole
        runs += taken
        waits += np.multiply(np.multiply(taken, others, out=others), node, out=others)
    runs /= total
    waits /= total
    _set_plain_cases(np, wanted, busy, runs, waits)
    run, wait = np.empty_like(runs), np.empty_like(waits)
    np.put_along_axis(run, order, runs, axis=0)
    np.put_along_axis(wait, order, waits, axis=0)
    return run, wait


def _set_plain_cases(np: Any, wanted: Floats, busy: Any, runs: Floats, waits: Floats) -> None:
    """Set what is exact: 1 / n of busy loops, and all that a lone one wants."""
    some = (wanted > 0.0).sum(axis=0)
    if (alone := some == 1).any():
        runs[:, alone] = wanted[:, alone]
        waits[:, alone] = 0.0
    if (full := (busy.sum(axis=0) == some) & (some > 0)).any():
        each = 1.0 / some[full]
        runs[:, full] = np.where(busy[:, full], each, 0.0)
        waits[:, full] = np.where(busy[:, full], 1.0 - each, 0.0)
