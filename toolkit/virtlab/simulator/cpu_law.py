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

Held against Linux (EEVDF and CFS, one CPU) in 24 sets of 1 to 8 loops of 20 to 100 %: shares within
2.2 points in all sets but one (two long 50 % loops lock in phase), delays mostly within 4 points.
Loops whose period is long against the scheduler's slice do a little better than the law says.

Unequal weights have no closed form. Each vCPU is then taken to meet the others at their mean
presence, weight against weight, and the whole is scaled so that equal weights give the exact law.
Always-busy vCPUs share by weight exactly, as Linux has them do.

Source: F. P. Kelly, Reversibility and Stochastic Networks (1979), chapter 4, for the law of closed
processor-sharing queues; the figures of Linux are this project's own measurements (docs).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

__all__ = ["EQUAL_WEIGHT", "sharing", "weighted_sharing"]

EQUAL_WEIGHT = 1024
_BUSY = 0.9999  # from here on a loop is taken to never sleep; its rho would be above 10,000
_ROUNDS = 60  # of the fixed point for unequal weights; it halves its error in each
_SCALE_ABOVE = 1e100  # keeps the polynomials within a float for hundreds of vCPUs

Shares = tuple[tuple[float, float], ...]


@lru_cache(maxsize=65_536)
def sharing(duties: tuple[float, ...]) -> Shares:
    """Return (run share, wait share) of each duty, all of equal weight, on one pCPU."""
    busy = sum(duty >= _BUSY for duty in duties)
    finite = [duty / (1.0 - duty) for duty in duties if 0.0 < duty < _BUSY]
    if not busy and not finite:
        return ((0.0, 0.0),) * len(duties)
    whole, whole_scaled = _terms(finite, busy)
    total = sum(whole)
    known: dict[float, tuple[float, float]] = {0.0: (0.0, 0.0)}
    for duty in duties:
        if duty in known:
            continue
        if duty >= _BUSY:
            # sum_k (b - 1 + k)! e_k, as each of the b shares with b - 1 + k others.
            run = sum(term / (busy + k) for k, term in enumerate(whole)) / total
            known[duty] = (run, 1.0 - run)
            continue
        rho = duty / (1.0 - duty)
        others = list(finite)
        others.remove(rho)
        terms, scaled = _terms(others, busy)
        ratio = rho / total * _SCALE_ABOVE ** (scaled - whole_scaled)
        run = ratio * sum(terms)
        present = ratio * sum(term * (busy + k + 1) for k, term in enumerate(terms))
        known[duty] = (run, present - run)
    return tuple(known[duty] for duty in duties)


def weighted_sharing(duties: Sequence[float], weights: Sequence[int]) -> Shares:
    """Return (run share, wait share) of each duty under scheduling weights on one pCPU."""
    exact = sharing(tuple(duties))
    if len(set(weights)) <= 1:
        return exact
    mean = [EQUAL_WEIGHT] * len(duties)
    plain, weighted = _mean_field(duties, mean), _mean_field(duties, weights)
    total_plain = sum(run for run, _ in plain)
    scale = sum(run for run, _ in exact) / total_plain if total_plain > 0.0 else 1.0
    shares = []
    for duty, (run, wait) in zip(duties, weighted, strict=True):
        scaled = min(run * scale, duty)
        # A loop that runs a share r and waits w wants r / (1 - w): the demand is what it is.
        shares.append((scaled, 1.0 - scaled / duty if scaled > 0.0 else wait))
    surplus = sum(run for run, _ in shares)
    if surplus > 1.0:
        shares = [(run / surplus, wait) for run, wait in shares]
    return tuple(shares)


def _terms(rhos: Sequence[float], busy: int) -> tuple[list[float], int]:
    """Return (b + k)! / b! * e_k(rhos) for k from 0, and how often all of it was scaled down."""
    terms, scaled = [1.0], 0
    for rho in rhos:
        terms.append(0.0)
        for k in range(len(terms) - 1, 0, -1):
            terms[k] += rho * (busy + k) * terms[k - 1]
        if max(terms) > _SCALE_ABOVE:
            terms = [term / _SCALE_ABOVE for term in terms]
            scaled += 1
    return terms, scaled


def _mean_field(duties: Sequence[float], weights: Sequence[int]) -> list[tuple[float, float]]:
    """Return the shares if each vCPU met the others at their mean presence."""
    present = [duty if duty < _BUSY else 1.0 for duty in duties]
    rates = [1.0] * len(duties)
    for _ in range(_ROUNDS):
        load = sum(w * p for w, p in zip(weights, present, strict=True))
        for i, (duty, weight) in enumerate(zip(duties, weights, strict=True)):
            if duty <= 0.0:
                continue
            rates[i] = weight / (weight + load - weight * present[i])
            stretched = duty / rates[i]
            wanted = 1.0 if duty >= _BUSY else stretched / (stretched + 1.0 - duty)
            present[i] = (present[i] + wanted) / 2.0
    return [
        (p * rate, p * (1.0 - rate)) if duty > 0.0 else (0.0, 0.0)
        for duty, p, rate in zip(duties, present, rates, strict=True)
    ]
