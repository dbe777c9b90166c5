"""What a real host cannot offer is found, and said, before anything is started."""

from dataclasses import replace

import pytest

from virtlab.hosts.real.requirements import HostFigures, lacks
from virtlab.model.scenario import Event, Scenario, StartWorkload, StopGuest
from virtlab.model.units import KIB_PER_MIB
from virtlab.model.workload import Trace
from virtlab.scenario import find_scenario

GIB = 1024 * KIB_PER_MIB
SMALL = HostFigures(pcpus=2, memory_kib=8 * GIB, free_kib=6 * GIB)
LARGE = HostFigures(pcpus=4, memory_kib=32 * GIB, free_kib=28 * GIB)


def test_a_scenario_that_fits_lacks_nothing() -> None:
    assert lacks(find_scenario("cpu-1-all-on-one-2pcpu"), SMALL) == []
    assert lacks(find_scenario("cpu-1-all-on-one"), LARGE) == []
    assert lacks(find_scenario("memory-1-one-consumes"), LARGE) == []


def test_other_numbers_of_pcpus_are_told_to_schedulers_only() -> None:
    assert lacks(find_scenario("cpu-1-all-on-one"), SMALL) == ["needs 4 pCPUs, and this host has 2"]
    assert lacks(find_scenario("cpu-1-all-on-one-2pcpu"), LARGE) == [
        "needs 2 pCPUs, and this host has 4"
    ]
    roomy = replace(LARGE, pcpus=2)
    assert lacks(find_scenario("memory-1-one-consumes"), roomy) == []


def test_too_little_memory_is_told_with_both_sizes() -> None:
    assert lacks(find_scenario("memory-1-one-consumes"), SMALL) == [
        "needs 8992 MiB for its guests, and this host has 6144 MiB free"
    ]


def test_scarcity_cannot_be_had_where_there_is_plenty() -> None:
    (why,) = lacks(find_scenario("memory-5-small-host"), LARGE)
    assert why.startswith("is about a host that cannot give its guests what they want")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (StopGuest(0, "aos_vm1"), "has the event StopGuest, which cannot be made"),
        (StartWorkload(0, "aos_vm1", Trace(())), "plays a trace"),
    ],
)
def test_events_that_cannot_be_made_there_are_told_once(event: Event, said: str) -> None:
    plain = find_scenario("cpu-1-all-on-one-2pcpu")
    scenario: Scenario = replace(plain, events=(*plain.events, event, event))
    (why,) = lacks(scenario, SMALL)
    assert why.startswith(said)


def test_guests_that_the_micro_guest_cannot_be_are_told_by_name() -> None:
    plain = find_scenario("cpu-1-all-on-one-2pcpu")
    first = replace(
        plain.guests[0], running=False, swap_kib=1024, tuning=(("cpu_shares", 512),),
        memory_kib=64 * KIB_PER_MIB,
    )  # fmt: skip
    found = lacks(replace(plain, guests=(first, *plain.guests[1:])), SMALL)
    assert len(found) == 4
    assert all(f"has {first.name} " in why for why in found)
