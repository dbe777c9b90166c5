"""The law of `cpu_law` for many pCPUs at once, where numpy is installed.

Each second's noise gives every pCPU of a host another set of duties. Where there are hundreds of
them the same steps are taken for all together, one array operation each: the n-th vCPU of each
pCPU stands in one row. Operations and their order are those of `cpu_law`, so that the results are
the same to the last bit, with numpy or without.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from virtlab.simulator.cpu_law import BUSY, SEATS_MAX, nodes_for
from virtlab.simulator.quadrature import laguerre

if TYPE_CHECKING:
    from types import ModuleType

    from numpy import float64, int64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

__all__ = ["added_rows", "numpy_or_none", "sharing_of_table"]

_COLUMNS_MIN: Final = 2  # numpy adds up a single column in another order
_BLOCK: Final = 256  # pCPUs at once, which is as fast as any number
_AT_ONCE: Final = 32_768  # values that fit into a processor's own cache


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
    nodes = _nodes_of(np)[counts]
    run, wait = np.zeros_like(duties), np.zeros_like(duties)
    for number in sorted(set(nodes.tolist())):
        alike = np.flatnonzero(nodes == number)
        for at in range(0, len(alike), _BLOCK):
            these = alike[at : at + _BLOCK]
            part = duties[: counts[these].max(), these]
            if len(these) < _COLUMNS_MIN:
                part = np.repeat(part, _COLUMNS_MIN, axis=1)
            runs, waits = _integrated(np, part, number)
            run[: len(part), these] = runs[:, : len(these)]
            wait[: len(part), these] = waits[:, : len(these)]
    return run, wait, added_rows(np, run)


def added_rows(np: Any, rows: Floats) -> Floats:
    """Return the sums over the rows, added one by one from the first on, as `added` does."""
    if rows.shape[1] >= _COLUMNS_MIN:
        # Along an axis that lies in one piece numpy would add up in another order.
        total: Floats = np.add.reduce(np.ascontiguousarray(rows), axis=0)
        return total
    total = np.zeros(rows.shape[1])
    for row in rows:
        total += row
    return total


@lru_cache(maxsize=1)
def _nodes_of(np: Any) -> Any:
    """Return how many nodes it takes, by the number of vCPUs."""
    return np.array([nodes_for(vcpus) for vcpus in range(SEATS_MAX + 1)])


@lru_cache(maxsize=SEATS_MAX)
def _rule(np: Any, count: int) -> tuple[Floats, Floats]:
    """Return nodes and weights, one row each."""
    rule: Floats = np.array(laguerre(count))
    return rule[:, :1].copy(), rule[:, 1:].copy()


def _integrated(np: Any, duties: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the run and wait shares, worked out with so many nodes; see `cpu_law`."""
    order, columns = np.argsort(duties, axis=0), np.arange(duties.shape[1])
    wanted = duties[order, columns]
    busy = wanted >= BUSY
    wanted[busy] = 1.0
    sleeps = 1.0 - wanted
    nodes, weights = _rule(np, count)
    # Of few pCPUs all nodes at once, which saves operations; of many one by one, in a cache.
    step = count if wanted.size * count <= _AT_ONCE else 1
    runs, waits, total = np.zeros_like(wanted), np.zeros_like(wanted), np.zeros(len(columns))
    factors = np.empty((len(wanted), step, len(columns)))
    parts = np.empty_like(factors)
    for at in range(0, count, step):
        node = nodes[at : at + step]
        np.multiply(wanted[:, None], node, out=factors)
        factors += sleeps[:, None]
        np.divide(wanted[:, None], factors, out=parts)
        # Along an axis that is not the last one numpy goes one by one.
        whole = np.multiply.reduce(factors, axis=0) * weights[at : at + step]
        every = np.add.reduce(parts, axis=0)
        others = np.subtract(every, parts, out=factors)
        taken = np.multiply(parts, whole, out=parts)
        others *= taken
        others *= node
        total += np.add.reduce(whole, axis=0)
        runs += taken[:, 0] if step == 1 else np.add.reduce(taken, axis=1)
        waits += others[:, 0] if step == 1 else np.add.reduce(others, axis=1)
    runs /= total
    waits /= total
    _set_plain_cases(np, wanted, busy, runs, waits)
    run, wait = np.empty_like(runs), np.empty_like(waits)
    run[order, columns] = runs
    wait[order, columns] = waits
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
