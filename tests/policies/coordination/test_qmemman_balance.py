"""Exact values of upstream's own unit tests (QubesOS/qubes-core-admin), and worked examples."""

from typing import Final

import pytest

from virtlab.policies.coordination.qmemman_balance import (
    MIB,
    Domain,
    balance,
    freed_for,
    preferred,
    worth_it,
)

UPSTREAM: Final = -1
MEANT: Final = 1


def domain(name: str, used: int, most: int, actual: int, *, dom0: bool = False) -> Domain:
    return Domain(name, used * MIB, most * MIB, actual * MIB, actual * MIB, dom0)


def vector(*, first_mib: int = 1736, second_used_mib: int = 1024) -> list[Domain]:
    """Return upstream's guests; guest 3 reports nothing and takes no part."""
    return [
        domain("0", 1024, 4096, first_mib, dom0=True),
        domain("1", second_used_mib, 4096, 1536),
        domain("2", 4096, 4096, 4096),
        domain("4", 1536, 4096, 1536),
        domain("5", 512, 1024, 768),
    ]


@pytest.mark.parametrize(
    ("one", "mib"),
    [
        (domain("0", 1024, 4096, 0, dom0=True), 1681.2),
        (domain("1", 1024, 4096, 0), 1331.2),
        (domain("1", 5000, 4096, 0), 4096),
        (domain("1", 10, 4096, 0), 200),
    ],
)
def test_a_guest_would_like_what_it_uses_and_three_tenths(one: Domain, mib: float) -> None:
    assert preferred(one) == int(mib * MIB)


def test_with_enough_all_get_in_proportion_and_what_one_cannot_take_goes_to_others() -> None:
    domains = vector()
    free = 4096 * MIB + sum(one.need for one in domains)

    assert dict(balance(domains, free, UPSTREAM)) == {
        "0": 3068708976,
        "1": 2548378128,
        "2": 4294967296,
        "4": 3537898734,
        "5": 1073741824,
    }


def test_with_too_little_donors_alone_are_asked_first() -> None:
    assert balance(vector(first_mib=768), 50 * MIB, UPSTREAM) == [
        ("1", 1395864371),
        ("5", 697932185),
    ]


def test_memory_for_a_new_guest_is_asked_of_those_that_could_give() -> None:
    assert freed_for(vector()[:3], 400 * MIB) is None
    assert freed_for(vector(second_used_mib=512)[:3], 400 * MIB) == [
        ("0", 1794242737),
        ("1", 1196296014),
    ]


def mib_of(targets: list[tuple[str, int]]) -> dict[str, float]:
    return {name: round(size / MIB, 2) for name, size in targets}


def test_example_with_enough() -> None:
    domains = [domain("A", 400, 2048, 1000), domain("B", 800, 2048, 1000)]

    targets = balance(domains, (550 - 50) * MIB, UPSTREAM)

    assert list(mib_of(targets).items()) == [("A", 832.50), ("B", 1665.00)]
    assert worth_it(domains, targets, 550 * MIB)


LOW = [
    domain("A", 450, 2048, 600),
    domain("B", 900, 2048, 1000),
    domain("C", 600, 2048, 700),
]


def test_example_with_too_little_where_what_is_freed_lowers_what_is_given() -> None:
    assert mib_of(balance(LOW, 200 * MIB, UPSTREAM)) == {"A": 585.00, "B": 1109.89, "C": 773.23}


def test_the_variant_that_is_meant_hands_out_what_is_freed() -> None:
    targets = mib_of(balance(LOW, 200 * MIB, MEANT))

    # 200 + 15 in proportion to 1170 and 780, where upstream hands out 200 - 15.
    assert targets["A"] == 585.00
    assert targets["B"] == pytest.approx(0.999 * (1000 + 215 * 1170 / 1950), abs=0.01)
    assert targets["C"] == pytest.approx(0.999 * (700 + 215 * 780 / 1950), abs=0.01)


def test_example_with_caps() -> None:
    domains = [
        domain("A", 100, 512, 400),
        domain("B", 600, 1024, 900),
        domain("C", 200, 2048, 300),
    ]

    targets = balance(domains, 800 * MIB, UPSTREAM)

    assert mib_of(targets) == {"B": 1024.0, "A": 512.0, "C": 861.00}


def test_small_changes_are_not_worth_their_calls() -> None:
    domains = [domain("A", 400, 2048, 1000), domain("B", 400, 2048, 1000)]
    near = [("A", 1040 * MIB), ("B", 960 * MIB)]

    assert not worth_it(domains, near, 50 * MIB)
    assert worth_it(domains, [("A", 1100 * MIB), ("B", 900 * MIB)], 50 * MIB)
    assert worth_it(domains, near, 34 * MIB)  # too little is left free


def test_one_below_what_it_would_like_is_worth_a_call_sooner() -> None:
    domains = [domain("A", 1000, 2048, 1000)]

    assert not worth_it(domains, [("A", 1015 * MIB)], 50 * MIB)
    assert worth_it(domains, [("A", 1016 * MIB)], 50 * MIB)
