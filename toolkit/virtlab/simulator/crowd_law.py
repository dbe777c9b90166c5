"""The law of `cpu_law` for many pCPUs at once, where numpy is installed.

Each second's noise gives every pCPU of a host another set of duties. Where there are hundreds of
them the same steps are taken for all together, one array operation each: the k-th terms of all
polynomials stand in one row. Operations and their order are those of `cpu_law`, so that the results
are the same to the last bit, with numpy or without; a host of 512 pCPUs and 10,240 vCPUs is
worked out in about a tenth of the time.

Rows of very different lengths would waste memory, and sums beyond a float's range need the
scaling that `cpu_law` does: such pCPUs are left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from virtlab.simulator.cpu_law import BUSY, SCALE_ABOVE, added, sharing

if TYPE_CHECKING:
    from types import ModuleType

    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

__all__ = ["CROWD_MIN", "PcpuShares", "numpy_or_none", "sharing_of_many", "sharing_of_table"]

# From so many pCPUs on one operation on all of them costs less than a loop over them.
CROWD_MIN: Final = 12
_BLOCK: Final = 128  # pCPUs whose terms of the others fit into a processor's own cache
_LONG_ROW: Final = 64  # vCPUs on one pCPU, from which on it is left to `cpu_law`


class PcpuShares(NamedTuple):
    """What one pCPU's vCPUs get, in their order, and what share of it is used in all."""

    run: list[float]
    wait: list[float]
    used: float


@lru_cache(maxsize=1)
def numpy_or_none() -> ModuleType | None:
    """Return numpy, which only large hosts ever load, or None where it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def sharing_of_many(np: ModuleType, pcpus: Sequence[list[float]]) -> list[PcpuShares]:
    """Return the shares of each pCPU's duties, all of equal weight."""
    longest = max((len(row) for row in pcpus if len(row) <= _LONG_ROW), default=0)
    blank = [0.0] * longest
    padded = [row + blank[len(row) :] if len(row) <= _LONG_ROW else blank for row in pcpus]
    # One column a pCPU: a row holds the n-th vCPU of each.
    duties = np.array(padded).reshape(len(pcpus), longest).T.copy()
    run, wait, used, fits = sharing_of_table(np, duties)
    found = zip(run.T.tolist(), wait.T.tolist(), used.tolist(), fits.tolist(), strict=True)
    results = []
    for row, (runs, waits, share, fit) in zip(pcpus, found, strict=True):
        count = len(row)
        if not fit or count > _LONG_ROW:
            law = sharing(row)
            results.append(PcpuShares([r for r, _ in law], [w for _, w in law],
                                      added([r for r, _ in law])))  # fmt: skip
        elif count == longest:
            results.append(PcpuShares(runs, waits, share))
        else:
            results.append(PcpuShares(runs[:count], waits[:count], share))
    return results


def sharing_of_table(np: Any, duties: Floats) -> tuple[Floats, Floats, Floats, Any]:
    """Return run and wait shares, the used shares, and which pCPUs stayed within range.

    Each pCPU has a column of the table, filled up with zeros.
    """
    # Sums that leave the range are given up, and a term over 0 is never looked at.
    with np.errstate(all="ignore"):
        busy = duties >= BUSY
        sleeps = (duties > 0.0) & ~busy
        rho = np.where(sleeps, duties / (1.0 - np.where(sleeps, duties, 0.0)), 0.0)
        first = busy.sum(axis=0).astype(np.float64)
        # Sorted, as the recursion adds them in the order of their size.
        terms = _terms(np, np.sort(rho, axis=0), first)
        total = _added(np, terms)
        run, present = np.empty_like(rho), np.empty_like(rho)
        for at in range(0, rho.shape[1], _BLOCK):
            part = slice(at, at + _BLOCK)
            found = _each(np, terms[:, part], first[part], rho[:, part])
            run[:, part], present[:, part] = found
        run = rho * run / total
        wait = np.maximum(rho * present / total - run, 0.0)
        if busy.any():
            divisors = np.maximum(first + np.arange(len(terms))[:, None], 1.0)
            always = _added(np, terms / divisors) / total
            run = np.where(busy, always, run)
            wait = np.where(busy, 1.0 - always, wait)
        run = np.where(duties > 0.0, run, 0.0)
        wait = np.where(duties > 0.0, wait, 0.0)
        return run, wait, _added(np, run), terms.max(axis=0) <= SCALE_ABOVE


def _terms(np: Any, rhos: Floats, first: Floats) -> Floats:
    """Return the terms of all polynomials; see `cpu_law`."""
    count, pcpus = rhos.shape
    terms: Floats = np.zeros((count + 1, pcpus))
    terms[0] = 1.0
    factors = first + np.arange(count)[:, None]  # first + k - 1 for the k-th term, and then 1 more
    factors += 1.0
    live = np.flatnonzero(rhos.any(axis=1))
    for done, number in enumerate(live, 1):
        terms[1 : done + 1] += rhos[number] * factors[:done] * terms[:done]
    return terms


def _each(np: Any, terms: Floats, first: Floats, rho: Floats) -> tuple[Floats, Floats]:
    """Return, for each vCPU, the sums over the terms of the others; see `cpu_law`."""
    last = len(terms) - 1
    factors = np.empty((last + 1, *rho.shape))
    np.multiply(rho, (first + np.arange(last + 1)[:, None])[:, None, :], out=factors)
    # Downwards for all of them, and then upwards as far as that is the stable way.
    others = np.empty((last, *rho.shape))
    above: Any = 0.0
    for k in range(last, 0, -1):
        step = others[k - 1]
        np.subtract(terms[k], above, out=step)
        above = np.divide(step, factors[k], out=step)
    below, taken = np.zeros_like(rho), np.empty_like(rho)
    upwards = rho > 0.0
    for k in range(last):
        np.multiply(factors[k], below, out=taken)
        upwards &= taken <= terms[k] / 2.0
        if not upwards.any():
            break
        np.subtract(terms[k], taken, out=below)
        np.copyto(others[k], below, where=upwards)
    # Along the first axis numpy adds one by one, as `added` does.
    run = np.add.reduce(others, axis=0) if last else np.zeros_like(rho)
    others *= (first + np.arange(1, last + 1)[:, None])[:, None, :]
    return run, np.add.reduce(others, axis=0) if last else run


def _added(np: Any, rows: Floats) -> Floats:
    """Return the sums over the rows, added one by one from the first on."""
    total: Floats = np.zeros(rows.shape[1])
    for row in rows:
        total += row
    return total
