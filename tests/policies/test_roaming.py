"""Whether vCPUs had better roam, seen from how bound ones wait."""

import pytest

from virtlab.league.cpu_run import run_scheduler
from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.timeline import Timeline
from virtlab.model.topology import Topology, flat
from virtlab.model.units import NS_PER_S
from virtlab.policies.scheduling.even_wide import EvenWide
from virtlab.scenario import find_scenario

BOTH = frozenset({0, 1})


def host(
    waits: float,
    wants: float = 0.3,
    allowed: frozenset[int] | None = None,
    topology: Topology | None = None,
) -> CpuSnapshot:
    """Two vCPUs bound to each of two pCPUs, that want and wait so much."""
    ran = wants * (1.0 - waits)
    vcpus = [
        VcpuView(VcpuKey(f"vm{n}", 0), frozenset({n % 2}), n % 2, ran, waits, allowed=allowed)
        for n in range(4)
    ]
    return CpuSnapshot(NS_PER_S, NS_PER_S, topology or flat(2, 1024), tuple(vcpus))


def test_who_waits_as_if_all_met_at_random_is_let_loose() -> None:
    plan = EvenWide().decide(host(0.1))  # by the law it is 0.10

    assert {pin.pcpus for pin in plan.actions} == {BOTH}
    assert len(plan.actions) == 4


def test_who_avoids_the_others_stays_bound() -> None:
    assert EvenWide().decide(host(0.015)).actions == ()


def test_on_a_full_host_all_stay_bound() -> None:
    assert EvenWide().decide(host(0.3, wants=0.95)).actions == ()


def test_a_course_asks_for_single_pcpus_and_zero_never_lets_loose() -> None:
    assert EvenWide(wide_max=0.0).decide(host(0.1)).actions == ()


def test_nobody_roams_where_the_administrator_does_not_let_it_run() -> None:
    plan = EvenWide().decide(host(0.1, allowed=frozenset({0, 1, 5})))

    assert {pin.pcpus for pin in plan.actions} == {BOTH}
    assert EvenWide().decide(host(0.1, allowed=frozenset({0}))).actions[0].pcpus == {0}


def test_siblings_are_left_to_who_knows_of_them() -> None:
    one_core = Topology(flat(2, 1024).cells, ((0, 1),), (1024, 1024))

    assert all(
        len(pin.pcpus) == 1 for pin in EvenWide().decide(host(0.1, topology=one_core)).actions
    )


def _masks(timeline: Timeline) -> set[int]:
    """Return how many pCPUs each guest's last mask has."""
    return {len(pcpus) for pcpus in {pin.guest: pin.pcpus for pin in timeline.pins}.values()}


@pytest.mark.parametrize(
    ("scenario", "pcpus"),
    [
        ("cpu-4-unpinned", 1),  # short work: bound loops avoid one another
        ("cpu-5-heavy-and-light", 1),
        ("cpu-4-unpinned-2pcpu", 2),  # longer than a slice: they meet at random
        ("cpu-1-all-on-one-2pcpu", 2),
    ],
)
def test_short_work_is_bound_and_long_work_roams(scenario: str, pcpus: int) -> None:
    assert _masks(run_scheduler(find_scenario(scenario), EvenWide())) == {pcpus}


def test_once_they_roam_all_keep_still() -> None:
    timeline = run_scheduler(find_scenario("cpu-4-unpinned-2pcpu"), EvenWide())

    assert max(pin.time_ns for pin in timeline.pins) < 4 * NS_PER_S
