"""How vCPUs share one pCPU: processor sharing with finite sources.

A vCPU with duty d is a closed loop: it works for d of a period and sleeps for the rest, and a
contended pCPU stretches its cycle. With rho = d / (1 - d) and the states n in {0,1}^m of who is
present, the stationary law is pi(n) ~ |n|! * product of rho_i^n_i. Present vCPUs share the pCPU
equally, so that with the elementary symmetric polynomials e_k

    G        = sum_k k! e_k(rho)
    run_i    = rho_i * sum_k k! e_k(rho without i) / G
    present_i= rho_i * sum_k (k+1)! e_k(rho without i) / G
    wait_i   = present_i - run_i            and in all       sum_i run_i = 1 - 1/G.

A vCPU that never sleeps (d = 1) is the limit rho -> infinity: with b of them only states that hold
all b count, and (b + k)! takes the place of k!.

Held against Linux (6.18, one CPU of two) where work is longer than the scheduler's slice, or some
loops never sleep: shares within 3.5 points, delays mostly within 5, at worst 10, as long loops that
lock in phase wait more or less from one window to the next. Loops that all have short work do
better (`queue_law`). Where short work meets work of another length it is far off: see `unlike_law`.

Unequal weights have no closed form: see `weight_law`.

The sums are worked out as integrals. k! is the integral of t^k e^-t, and with each factor 1 + rho t
divided by 1 + rho, which cancels,

    G     ~ integral of e^-t F(t)  with F = product of f_i  and f_i = 1 - d_i + d_i t
    run_i = d_i * integral of e^-t F / f_i  / G
    wait_i= d_i * integral of t e^-t (F / f_i)  sum of d_j / f_j over the others  / G

(the last by integrating (t - 1) e^-t by parts). A vCPU that never sleeps is no case of its own:
f = t. All of these are polynomials, so that quadrature with half as many nodes as there are vCPUs
is exact (`quadrature`), and as nothing is negative, nothing is lost. Operations and their order are
those of `crowd_law`, which takes the same steps for many pCPUs at once. Results are kept by the
sorted duties. Sums are taken one by one, since the built-in `sum` of floats differs between
versions of Python.

More vCPUs on one pCPU than `SEATS_MAX` would take the integrals out of a float's range: `full_law`
has them.

Source: F. P. Kelly, Reversibility and Stochastic Networks (1979), chapter 4, for the law of closed
processor-sharing queues; the figures of Linux are this project's own measurements (docs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from operator import add, mul

from virtlab.simulator.full_law import shared_by_many
from virtlab.simulator.quadrature import laguerre

__all__ = [
    "BUSY",
    "EQUAL_WEIGHT",
    "SEATS_MAX",
    "Shares",
    "added",
    "nodes_for",
    "sharing",
]

EQUAL_WEIGHT = 1024
BUSY = 0.9999  # from here on a loop is taken to never sleep; its rho would be above 10,000
SEATS_MAX = 64  # vCPUs on one pCPU, above which there is another way
_KEPT_MAX = 16  # vCPUs on one pCPU; sets of more are too many to be met again, and too large
_NODES_STEP = 8  # vCPUs; so that pCPUs of about as many are worked out together

Shares = tuple[tuple[float, float], ...]


def added(terms: Sequence[float]) -> float:
    """Return a sum, added one by one from the first term on."""
    return reduce(add, terms, 0.0)


def sharing(duties: Sequence[float]) -> Shares:
    """Return (run share, wait share) of each duty, all of equal weight, on one pCPU."""
    wanted = tuple(sorted(duties))
    known = (_kept if len(wanted) <= _KEPT_MAX else _sharing_of)(wanted)
    return tuple([known[duty] for duty in duties])


@lru_cache(maxsize=16_384)
def _kept(duties: tuple[float, ...]) -> Mapping[float, tuple[float, float]]:
    return _sharing_of(duties)


def _sharing_of(duties: tuple[float, ...]) -> Mapping[float, tuple[float, float]]:
    """Return the shares by duty; the order of vCPUs does not matter, so sets are found again."""
    shares = dict.fromkeys(duties, (0.0, 0.0))
    some = [duty if duty < BUSY else 1.0 for duty in duties if duty > 0.0]
    if not some:
        return shares
    # Where the result is plain it is exact: 1 / n of busy loops, and all that a lone one wants.
    if some[0] == 1.0:
        each = 1.0 / len(some)
        return shares | {duty: (each, 1.0 - each) for duty in duties if duty > 0.0}
    if len(some) == 1:
        return shares | {duties[-1]: (some[0], 0.0)}
    if len(duties) <= SEATS_MAX:
        return _integrated(duties)
    many = shared_by_many(Counter(some))
    return shares | {duty: many[duty if duty < BUSY else 1.0] for duty in shares if duty > 0.0}


def nodes_for(vcpus: int) -> int:
    """Return with how many nodes so many vCPUs are worked out: more than half as many."""
    return -(-vcpus // _NODES_STEP) * _NODES_STEP // 2 + 1


def _integrated(duties: tuple[float, ...]) -> Mapping[float, tuple[float, float]]:
    """Return the shares by duty, by quadrature; duties are sorted."""
    wanted = [duty if duty < BUSY else 1.0 for duty in duties]
    firsts = [n for n, duty in enumerate(duties) if n == 0 or duties[n - 1] != duty]
    runs, waits, total = [0.0] * len(firsts), [0.0] * len(firsts), 0.0
    for node, weight in laguerre(nodes_for(len(duties))):
        factors = [1.0 - duty + duty * node for duty in wanted]
        parts = [duty / factor for duty, factor in zip(wanted, factors, strict=True)]
        whole = reduce(mul, factors) * weight
        every = added(parts)
        total += whole
        for at, first in enumerate(firsts):
            taken = whole * parts[first]
            runs[at] += taken
            waits[at] += taken * (every - parts[first]) * node
    return {
        duties[first]: (run / total, wait / total)
        for first, run, wait in zip(firsts, runs, waits, strict=True)
    }
