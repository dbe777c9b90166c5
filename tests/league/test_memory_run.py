"""A coordination policy in process sees what libvirt shows, and is judged as any program."""

import dataclasses
import json

import pytest

from virtlab.league.memory_run import COURSE_LIMITS, run_coordinator
from virtlab.league.memory_sensor import MemorySensor
from virtlab.model.faults import GuestFault, HostFault
from virtlab.model.plan import MemoryPlan, Resize
from virtlab.model.scenario import GuestSpec, HostSpec, Scenario, StartGuest, StopGuest
from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.units import mib, seconds
from virtlab.policies.coordination.course import Course
from virtlab.policies.coordination.static import Static
from virtlab.scenario import find_scenario
from virtlab.simulator.host import SimulatedHost


def guest(name: str, **changes: object) -> GuestSpec:
    return GuestSpec(
        **{
            "name": name,
            "vcpus": 1,
            "memory_kib": mib(512),
            "max_memory_kib": mib(2048),
            "affinity": (None,),
            "kernel_kib": mib(64),
            "processes_kib": mib(88),
            "cache_kib": mib(170),
            **changes,
        }  # type: ignore[arg-type]
    )


def scenario(*guests: GuestSpec, events: tuple[object, ...] = (), seconds_: int = 60) -> Scenario:
    host = HostSpec(4, mib(8192), mib(1024))
    return Scenario(
        "s", "t", "w", "memory_coordinator", 1, host, guests,
        events,  # type: ignore[arg-type]
        2, seconds_, (),
    )  # fmt: skip


class Once:
    """Asks for one size at its nth look."""

    def __init__(self, resize: Resize, look: int = 0) -> None:
        self.resize, self.left = resize, look

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        self.left -= 1
        return MemoryPlan((self.resize,) if self.left == -1 else ())


def looks_of(wanted: Scenario, policy: object) -> list[MemorySnapshot]:
    seen: list[MemorySnapshot] = []
    run_coordinator(wanted, policy, on_tick=lambda look, _: seen.append(look))  # type: ignore[arg-type]
    return seen


def test_the_first_look_has_a_fresh_report_as_a_period_was_just_set() -> None:
    first = looks_of(scenario(guest("a")), Static())[0]

    (seen,) = first.guests
    assert first.interval_ns == 0
    assert seen.fresh
    assert seen.report_age_ns == 0
    assert seen.unused_kib == mib(512 - 64 - 88 - 170)
    assert seen.usable_kib == seen.unused_kib + mib(150)
    assert seen.target_kib is None


def test_a_size_follows_the_balloon_a_second_late_and_what_was_asked_is_remembered() -> None:
    host = SimulatedHost(scenario(guest("a")))
    sensor = MemorySensor(host, COURSE_LIMITS, period_s=1)
    sensor.look()

    host.guests["a"].set_memory(mib(700))
    sensor.asked(host.guests["a"], mib(700))
    host.advance(seconds(0.5))
    early = sensor.look().guests[0]
    host.advance(seconds(2))
    late = sensor.look().guests[0]

    assert (early.actual_kib, early.asked_kib, early.fresh) == (mib(512), mib(700), False)
    assert late.actual_kib == mib(700)


def test_given_memory_that_is_not_touched_is_promised_and_not_spare() -> None:
    looks = looks_of(scenario(guest("a")), Once(Resize("a", mib(1024))))

    before, after = looks[0], looks[-1]
    assert after.host_free_kib == before.host_free_kib
    assert before.spare_kib - after.spare_kib == mib(512)


def test_reports_that_are_not_renewed_grow_old_and_missing_figures_are_none() -> None:
    faults = (
        GuestFault(seconds(5), "a", "statistics-stale"),
        GuestFault(seconds(5), "b", "statistics-missing", fields=("unused", "usable")),
        GuestFault(seconds(5), "c", "statistics-missing"),
        GuestFault(seconds(5), "d", "blocked"),
    )
    looks = looks_of(scenario(*map(guest, "abcd"), events=faults), Static())

    stale, partly, silent, blocked = looks[10].guests
    assert stale.report_age_ns == seconds(15)
    assert (partly.unused_kib, partly.usable_kib) == (None, None)
    assert partly.available_kib is not None
    assert (silent.report_age_ns, silent.unused_kib) == (None, None)
    assert (blocked.report_age_ns, blocked.rss_kib) == (None, None)


def test_a_clock_that_jumps_makes_a_report_look_old_until_the_next() -> None:
    step = (HostFault(seconds(3.5), "clock-step", step_ns=seconds(3600)),)

    looks = looks_of(scenario(guest("a"), events=step), Static())

    assert [look.guests[0].report_age_ns for look in looks[1:4]] == [0, 0, 0]


def test_a_guest_that_starts_again_is_fresh_and_nothing_was_asked_of_it() -> None:
    events = (StopGuest(seconds(10), "a"), StartGuest(seconds(20), "a"))
    looks = looks_of(scenario(guest("a"), guest("b"), events=events), Once(Resize("a", mib(600))))

    names = [[one.guest for one in look.guests] for look in looks]
    assert names[5] == ["a", "b"]
    assert names[8] == ["b"]
    again = looks[10].guests[0]
    assert (again.guest, again.fresh, again.target_kib) == ("a", True, None)
    assert again.report_age_ns == 0  # it was given a period, too
    assert not looks[11].guests[0].fresh


def test_a_plan_for_a_guest_that_has_gone_does_nothing() -> None:
    events = (StopGuest(seconds(1), "a"),)

    run = run_coordinator(scenario(guest("a"), events=events), Once(Resize("a", mib(600)), look=2))

    assert run.memory_calls == ()


def test_each_call_takes_its_time() -> None:
    names = [f"g{n}" for n in range(4)]

    class AllAtOnce:
        def decide(self, host: MemorySnapshot) -> MemoryPlan:
            return MemoryPlan(
                tuple(Resize(one.guest, mib(600)) for one in host.guests if one.fresh)
            )

    run = run_coordinator(scenario(*map(guest, names)), AllAtOnce())

    assert [call.time_ns for call in run.memory_calls] == [
        100_000 + 8_000_000 * (n + 1) for n in range(4)
    ]


def test_the_same_run_gives_the_same_bytes() -> None:
    wanted = dataclasses.replace(find_scenario("memory-3-two-stop"), duration_s=60)

    runs = [run_coordinator(wanted, Course(), seed=3).to_json() for _ in range(2)]

    assert runs[0] == runs[1]
    assert json.loads(runs[0])["seed"] == 3


@pytest.mark.parametrize("name", ["a", "b"])
def test_floors_and_shares_of_single_guests_reach_the_policy(name: str) -> None:
    limits = dataclasses.replace(COURSE_LIMITS, floors_kib={"a": mib(4096)}, shares={"b": 250})
    seen: list[MemorySnapshot] = []

    run_coordinator(
        scenario(guest("a"), guest("b"), seconds_=2), Static(), limits=limits,
        on_tick=lambda look, _: seen.append(look),
    )  # fmt: skip

    one = next(one for one in seen[0].guests if one.guest == name)
    # A floor is never above what the guest may have.
    assert (one.floor_kib, one.shares) == {"a": (mib(2048), 1000), "b": (mib(200), 250)}[name]
