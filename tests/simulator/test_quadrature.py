from math import factorial

import pytest

from virtlab.simulator.quadrature import laguerre, legendre


@pytest.mark.parametrize("count", [1, 2, 5, 13, 33])
def test_powers_below_twice_the_number_of_nodes_are_integrated_exactly(count: int) -> None:
    for power in range(2 * count):
        integral = sum(weight * node**power for node, weight in laguerre(count))

        assert integral == pytest.approx(factorial(power), rel=1e-11)


def test_one_power_more_is_not() -> None:
    integral = sum(weight * node**6 for node, weight in laguerre(3))

    assert integral != pytest.approx(factorial(6), rel=0.01)


@pytest.mark.parametrize("count", range(1, 34))
def test_nodes_are_positive_and_in_order_and_weights_add_up_to_one(count: int) -> None:
    nodes, weights = zip(*laguerre(count), strict=True)

    assert len(nodes) == count
    assert list(nodes) == sorted(set(nodes))
    assert nodes[0] > 0.0
    assert min(weights) > 0.0
    assert sum(weights) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 5, 64])
def test_legendres_rule_is_exact_up_to_its_degree(count: int) -> None:
    rule = legendre(count)

    for degree in range(0, 2 * count, max(count // 4, 1)):
        integral = sum(weight * node**degree for node, weight in rule)
        assert integral == pytest.approx((1 + (-1) ** degree) / (degree + 1), abs=1e-14)
    assert all(weight > 0.0 for _, weight in rule)
