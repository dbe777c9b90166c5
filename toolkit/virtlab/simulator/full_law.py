"""The law of `cpu_law` for more vCPUs on one pCPU than quadrature with fixed nodes can have.

With hundreds of vCPUs e^-t F(t) is a single peak far from 0, and its values are beyond a float's
range. It is worked out around its peak, over the range outside of which it is below 2^-64 of the
peak, by a Gauss-Legendre rule of 64 nodes. vCPUs that want the same are taken together, as a
power, so that the cost follows how many different demands there are and not how many vCPUs.

e^-t F(t) has its peak where the slope of its logarithm, sum of d_i / f_i(t) - 1, is 0; that falls
with t, so that the peak is found by halving, as are the ends of the range. Where the slope is
negative from 0 on (the pCPU has time for all), the peak is at 0.

Numbers are kept as a fraction and a power of two. Only the four basic operations are used, so that
results are the same bits on every machine. Against the sums of the law in exact fractions the
results were within 1e-12 (`test_cpu_law_exactly`).

Source: the formulas of `cpu_law`; Abramowitz and Stegun, 25.4.30, for the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import frexp, ldexp
from typing import Final, NamedTuple

from virtlab.simulator.quadrature import legendre

__all__ = ["shared_by_many"]

_NODES: Final = 64
_HALVINGS: Final = 60
_FAR: Final = -64  # exponent of two, from which on the integrand no longer counts
_E: Final = 2.718281828459045
_TERMS: Final = 20  # of the series of e^x for |x| < 1


class _Scaled(NamedTuple):
    """A positive number: fraction * 2 ** exponent, the fraction from 0.5 up to 1."""

    fraction: float
    exponent: int

    def times(self, other: _Scaled) -> _Scaled:
        fraction, more = frexp(self.fraction * other.fraction)
        return _Scaled(fraction, self.exponent + other.exponent + more)


_ONE: Final = _Scaled(0.5, 1)


def shared_by_many(counts: Mapping[float, int]) -> dict[float, tuple[float, float]]:
    """Return (run share, wait share) of each duty that is above 0, and of how many vCPUs."""
    kinds = list(counts.items())
    peak = _peak(kinds)
    low, high = _range(kinds, peak)
    runs, waits, total = dict.fromkeys(counts, 0.0), dict.fromkeys(counts, 0.0), 0.0
    half = (high - low) / 2.0
    for node, weight in legendre(_NODES):
        t = low + half * (1.0 + node)
        value = _over_peak(kinds, peak, t)
        whole = weight * ldexp(value.fraction, max(value.exponent, 2 * _FAR))
        parts = [duty / (1.0 - duty + duty * t) for duty, _ in kinds]
        every = 0.0
        for part, (_, count) in zip(parts, kinds, strict=True):
            every += part * count
        total += whole
        for part, (duty, _) in zip(parts, kinds, strict=True):
            taken = whole * part
            runs[duty] += taken
            waits[duty] += taken * (every - part) * t
    return {duty: (runs[duty] / total, waits[duty] / total) for duty in counts}


def _peak(kinds: Sequence[tuple[float, int]]) -> float:
    """Return where e^-t F(t) is largest."""

    def rises(t: float) -> bool:
        slope = -1.0
        for duty, count in kinds:
            slope += count * duty / (1.0 - duty + duty * t)
        return slope > 0.0

    # Each of n vCPUs adds 1 / t to the slope at most.
    low, high = 0.0, 1.0 * sum(count for _, count in kinds)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if rises(middle):
            low = middle
        else:
            high = middle
    return high


def _range(kinds: Sequence[tuple[float, int]], peak: float) -> tuple[float, float]:
    """Return between which two points the integrand counts."""

    def counts(t: float) -> bool:
        return t > 0.0 and _over_peak(kinds, peak, t).exponent > _FAR

    low, inside = 0.0, peak
    for _ in range(_HALVINGS):
        middle = (low + inside) / 2.0
        if counts(middle):
            inside = middle
        else:
            low = middle
    step = 1.0
    while counts(peak + step):
        step *= 2.0
    inside, high = peak, peak + step
    for _ in range(_HALVINGS):
        middle = (inside + high) / 2.0
        if counts(middle):
            inside = middle
        else:
            high = middle
    return low, high


def _over_peak(kinds: Sequence[tuple[float, int]], peak: float, t: float) -> _Scaled:
    """Return the integrand over its value at the peak."""
    value = _exponential(peak - t)
    for duty, count in kinds:
        ratio = (1.0 - duty + duty * t) / (1.0 - duty + duty * peak)
        value = value.times(_power(ratio, count))
    return value


def _power(base: float, exponent: int) -> _Scaled:
    """Return a positive number to a whole power."""
    result, factor = _ONE, _Scaled(*frexp(base))
    while exponent:
        if exponent & 1:
            result = result.times(factor)
        exponent >>= 1
        if exponent:
            factor = factor.times(factor)
    return result


def _exponential(x: float) -> _Scaled:
    """Return e^x."""
    whole = int(x)
    rest, term = 1.0, 1.0
    for n in range(1, _TERMS):
        term *= (x - whole) / n
        rest += term
    return _power(_E if whole >= 0 else 1.0 / _E, abs(whole)).times(_Scaled(*frexp(rest)))
