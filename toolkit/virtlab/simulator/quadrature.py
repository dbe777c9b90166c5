"""Gauss-Laguerre quadrature: integrals of e^-t times a polynomial, as a sum over a few nodes.

With n nodes it is exact up to degree 2n - 1, and as all nodes and weights are positive, a positive
polynomial is summed without any difference of large numbers. Nodes and weights are found with the
four basic operations alone, so that they are the same bits on every machine.

Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 25.4.45 (nodes are the zeros of
the Laguerre polynomial L_n, weights 1 / (t L_n'(t)^2)) and 22.7.12 (its recurrence); the first
guesses are A. H. Stroud and D. Secrest, Gaussian Quadrature Formulas (1966), as W. H. Press and
others print them in Numerical Recipes, 4.5.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["laguerre"]

_STEPS: Final = 30  # of Newton's method, at most; it takes four to six
_CLOSE: Final = 1e-15  # relative change of a node that ends them


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
