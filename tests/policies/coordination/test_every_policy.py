"""What every coordination policy keeps to, whatever it sees."""

import pytest
from memory_hosts import snapshot, view

from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.units import mib
from virtlab.policies.registry import BUILT_IN, find_policy

NAMES = sorted(name for name, (kind, _) in BUILT_IN.items() if kind == "coordination")

# One of each kind: pressed, idle, silent, without a driver, migrating, full, stuck, all in swap.
GUESTS = (
    view("a", 512, 10),
    view("b", 2048, 1800, max_mib=4096),
    view("c", 512, None, report_age_ns=None, available_kib=None),
    view("d", 512, 400, has_balloon=False),
    view("e", 512, 10, movable=False),
    view("f", 2048, 100),
    view("g", 1024, 900, target_kib=mib(300)),
    view("h", 512, 0, swap_out_kib=mib(900), swap_in_kib=0, major_faults=10**6),
)


def looks(names: str = "abcdefgh") -> list[MemorySnapshot]:
    guests = [one for one in GUESTS if one.guest in names]
    return [
        snapshot(*guests, time_s=time_s, free_mib=free_mib, reserve_mib=200)
        for time_s, free_mib in [(0, 4000), (5, 4000), (10, 300), (30, 100), (31, 0), (60, 2000)]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_plans_are_for_guests_there_are_and_for_sizes_they_may_have(name: str) -> None:
    policy = find_policy(name, "coordination")()

    for look in [*looks(), *looks("bdf"), *looks("")]:
        seen = {guest.guest: guest for guest in look.guests}
        for resize in policy.decide(look).actions:
            guest = seen[resize.guest]
            assert guest.floor_kib <= resize.memory_kib <= guest.max_kib
            assert guest.has_balloon and guest.movable
            assert resize.reason


@pytest.mark.parametrize("name", NAMES)
def test_two_of_a_kind_see_the_same_and_decide_the_same(name: str) -> None:
    one, other = (find_policy(name, "coordination")() for _ in range(2))

    assert [one.decide(look) for look in looks()] == [other.decide(look) for look in looks()]


@pytest.mark.parametrize("name", NAMES)
def test_a_host_without_guests_is_no_trouble(name: str) -> None:
    policy = find_policy(name, "coordination")()

    assert [policy.decide(look).actions for look in looks("")] == [()] * 6
