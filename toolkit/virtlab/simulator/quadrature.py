"""Gauss quadrature: integrals as a sum over a few nodes.

Laguerre's rule is for e^-t times a polynomial from 0 on, Legendre's for a polynomial from -1 to 1.
With n nodes both are exact up to degree 2n - 1, and as all weights are positive, a positive
integrand is summed without any difference of large numbers. Nodes and weights are found with the
four basic operations alone, so that they are the same bits on every machine.

Source: Abramowitz and Stegun, Handbook of Mathematical Functions: 25.4.45 (nodes are the zeros of
the Laguerre polynomial L_n, weights 1 / (t L_n'(t)^2)) and 22.7.12 (its recurrence); 25.4.29 (those
of the Legendre polynomial P_n, weights 2 / ((1 - x^2) P_n'(x)^2)) and 22.7.10. The first guesses
for L_n are A. H. Stroud and D. Secrest, Gaussian Quadrature Formulas (1966), as W. H. Press and
others print them in Numerical Recipes, 4.5, which also has those for P_n.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["laguerre", "legendre"]

_STEPS: Final = 30  # of Newton's method, at most; it takes four to six
_CLOSE: Final = 1e-15  # relative change of a node that ends them
_PI: Final = 3.141592653589793


@lru_cache(maxsize=64)
def laguerre(count: int) -> tuple[tuple[float, float], ...]:
    """Return that many nodes, smallest first, each with its weight."""
    nodes: list[float] = []
    rule = []
    for _ in range(count):
        node = _first_guess(count, nodes)
        for _ in range(_STEPS):
            value, slope = _polynomial(count, node)
            before, node = node, node - value / slope
            if abs(node - before) <= _CLOSE * node:
                break
        nodes.append(node)
        _, slope = _polynomial(count, node)
        rule.append((node, 1.0 / (node * slope * slope)))
    return tuple(rule)


@lru_cache(maxsize=4)
def legendre(count: int) -> tuple[tuple[float, float], ...]:
    """Return that many nodes, largest first, each with its weight."""
    rule = []
    for number in range(1, count + 1):
        node = _cosine(_PI * (number - 0.25) / (count + 0.5))
        for _ in range(_STEPS):
            value, slope = _legendre(count, node)
            before, node = node, node - value / slope
            if abs(node - before) <= _CLOSE:
                break
        _, slope = _legendre(count, node)
        rule.append((node, 2.0 / ((1.0 - node * node) * slope * slope)))
    return tuple(rule)


def _legendre(count: int, x: float) -> tuple[float, float]:
    """Return P_n(x) and its slope there."""
    value, before = 1.0, 0.0
    for k in range(count):
        value, before = ((2 * k + 1) * x * value - k * before) / (k + 1), value
    return value, count * (x * value - before) / (x * x - 1.0)


def _cosine(angle: float) -> float:
    """Return the cosine of an angle up to pi, near enough for a first guess."""
    total = term = 1.0
    for k in range(2, 32, 2):
        term *= -angle * angle / (k * (k - 1))
        total += term
    return total


def _first_guess(count: int, nodes: list[float]) -> float:
    """Return about where the next node lies."""
    number = len(nodes)
    if number == 0:
        return 3.0 / (1.0 + 2.4 * count)
    if number == 1:
        return nodes[0] + 15.0 / (1.0 + 2.5 * count)
    step = (1.0 + 2.55 * (number - 1)) / (1.9 * (number - 1))
    return nodes[-1] + step * (nodes[-1] - nodes[-2])


def _polynomial(count: int, t: float) -> tuple[float, float]:
    """Return L_n(t) and its slope there."""
    value, before = 1.0, 0.0
    for k in range(count):
        value, before = ((2 * k + 1 - t) * value - k * before) / (k + 1), value
    return value, count * (value - before) / t
