"""Through libvirt's protocol a policy sees the same, does the same, and gets the same."""

from dataclasses import replace

import pytest

from virtlab.league.corpus import chosen_families, drawn_scenario
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.memory_run import run_coordinator
from virtlab.model.faults import GuestFault
from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot, VcpuKey
from virtlab.model.timeline import Timeline
from virtlab.model.units import seconds
from virtlab.policies.registry import find_policy


def scenario(name: str) -> Scenario:
    (family,) = chosen_families([name])
    return drawn_scenario(family, 7)


def without_calls(timeline: Timeline) -> Timeline:
    """Return a timeline without the log of libvirt's calls, which only the wire has."""
    return replace(timeline, calls=(), calls_total=0)


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ("even", "arrivals-and-departures"),
        ("even", "mixed-weights"),
        ("even", "numa"),
        ("at-random", "general-6-guests-come-and-go"),
    ],
)
def test_a_scheduler_has_the_same_timeline_and_snapshots(policy: str, name: str) -> None:
    seen: list[list[CpuSnapshot]] = [[], []]

    direct, wired = (
        run_scheduler(
            scenario(name),
            find_policy(policy, "scheduling")(),
            wire=wire,
            on_tick=lambda host, _, wire=wire: seen[wire].append(host),  # type: ignore[misc]
        )
        for wire in (False, True)
    )

    assert seen[1] == seen[0]
    assert without_calls(wired) == direct
    assert wired.calls_total > len(direct.pins)


@pytest.mark.parametrize(
    ("policy", "name"),
    [("steady", "late-guests"), ("qmemman", "stale-statistics"), ("course", "memory-3-two-stop")],
)
def test_a_coordinator_has_the_same_timeline_and_snapshots(policy: str, name: str) -> None:
    seen: list[list[MemorySnapshot]] = [[], []]

    direct, wired = (
        run_coordinator(
            scenario(name),
            find_policy(policy, "coordination")(),
            wire=wire,
            on_tick=lambda host, _, wire=wire: seen[wire].append(host),  # type: ignore[misc]
        )
        for wire in (False, True)
    )

    assert seen[1] == seen[0]
    assert without_calls(wired) == direct
    assert len(direct.memory_calls) > 0


def test_a_guest_whose_lock_is_held_is_passed_over_in_both() -> None:
    plain = scenario("one-hot")
    locked = replace(
        plain, events=(GuestFault(seconds(20), "g1", "blocked", seconds(60)), *plain.events)
    )
    locked = replace(locked, events=tuple(sorted(locked.events, key=lambda one: one.time_ns)))

    direct, wired = (
        run_coordinator(locked, find_policy("steady", "coordination")(), wire=wire)
        for wire in (False, True)
    )

    assert without_calls(wired) == direct


def test_what_the_host_refuses_changes_nothing() -> None:
    class Mistaken:
        def decide(self, host: CpuSnapshot) -> CpuPlan:
            return CpuPlan((Pin(VcpuKey("aos_vm1", 9), frozenset({1})),))

    wired = run_scheduler(scenario("cpu-1-all-on-one"), Mistaken(), wire=True)

    assert wired.pins == ()
    assert any(call.error for call in wired.calls)
