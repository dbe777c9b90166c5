"""The daemons on a served host: what they do, and what they leave alone when things go wrong."""

from __future__ import annotations

import dataclasses
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from virtlab.agent.change_log import ChangeLog
from virtlab.agent.deciding import GIVEN_UP
from virtlab.agent.guest_notes import NOTES
from virtlab.agent.memory_limit import resident_kib
from virtlab.grading.criteria import judge_all
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.simulated.driver import job_lock
from virtlab.libvirt_rpc.errors import ErrorDomain, operation_timeout
from virtlab.model.faults import GuestFault, HostFault
from virtlab.model.plan import CpuPlan, MemoryPlan, Pin, Rejected, Resize
from virtlab.model.scenario import Event, LoseGuest, PinVcpu, Scenario, StartGuest, StopGuest
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot, VcpuKey
from virtlab.model.units import mib, seconds
from virtlab.policies.scheduling.back_and_forth import BackAndForth
from virtlab.scenario import find_scenario

MakeRig = Callable[..., Any]


class Odd:
    """Do what the test says, and count how often it was made."""

    made = 0
    does: Callable[[CpuSnapshot], Any] = staticmethod(lambda _host: CpuPlan())

    def __init__(self) -> None:
        type(self).made += 1

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        plan: CpuPlan = type(self).does(host)
        return plan


def with_events(name: str, *events: Event) -> Scenario:
    """Return a shipped scenario in which more happens."""
    found = find_scenario(name)
    every = sorted([*found.events, *events], key=lambda event: event.time_ns)
    return dataclasses.replace(found, events=tuple(every))


def masks(rig: Any) -> dict[str, set[int]]:
    return {name: set(guest.vcpus[0].mask) for name, guest in rig.host.guests.items()}


def pinned(rig: Any) -> set[str]:
    return {change.guest for change in rig.changes() if change.what == "pin"}


@pytest.mark.parametrize("name", ["cpu-1-all-on-one", "cpu-7-load-changes", "memory-3-two-stop"])
def test_a_daemon_meets_the_criteria_of_the_course(rig: MakeRig, name: str) -> None:
    one = rig(name)

    one.run(one.scenario.duration_s)

    results = judge_all(one.timeline())
    assert [(r.name, r.reason) for r in results if r.status != "passed"] == []


def test_once_settled_a_tick_is_one_call(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    one.run(15)
    one.calls.clear()

    one.run(20.5)

    every_tenth = ["NODE_GET_CPU_STATS"] * 4  # one of each pCPU
    bulk = ["CONNECT_GET_ALL_DOMAIN_STATS"]
    assert one.calls == [*bulk * 4, *every_tenth, *bulk]


def test_a_host_that_does_nothing_but_run_guests_has_no_load_of_its_own(rig: MakeRig) -> None:
    one = rig(dataclasses.replace(find_scenario("cpu-1-all-on-one"), duration_s=90))

    one.run(80)

    assert {str(tick.parts["snapshot"]["host_share"]) for tick in one.ticks()} == {"{}"}


def test_a_plan_is_what_the_policy_alone_makes_of_the_journalled_snapshots(rig: MakeRig) -> None:
    from virtlab.agent.recorded import snapshot_of
    from virtlab.policies.scheduling.even import Even

    one = rig("cpu-5-heavy-and-light")
    one.run(20)

    policy, ticks = Even(), one.ticks()
    again = [policy.decide(snapshot_of(tick)).because for tick in ticks]
    assert again == [tick.parts["plan"]["because"] for tick in ticks]
    assert any(tick.parts["plan"]["actions"] for tick in ticks)


def test_a_dry_run_changes_nothing_and_journals_what_it_would_do(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", dry_run=True)
    before = masks(one)

    one.run(5)

    assert masks(one) == before
    assert any("dry run" in tick.parts["held"].values() for tick in one.ticks())
    assert not one.log.exists()


def test_no_more_is_changed_in_an_hour_than_was_allowed(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", changes_per_hour=2)

    one.run(30)

    assert len(one.changes()) == 2
    held = {why for tick in one.ticks() for why in tick.parts["held"].values()}
    assert held == {"2 changes may be made in an hour"}


@pytest.mark.parametrize(("allowed", "made"), [(1, 0), (2, 2)])
def test_two_that_change_places_do_so_together_or_stay(
    rig: MakeRig, allowed: int, made: int
) -> None:
    def swap(host: CpuSnapshot) -> CpuPlan:
        one = host.vcpus[0]
        other = next(vcpu for vcpu in host.vcpus if vcpu.pcpus != one.pcpus)
        return CpuPlan((Pin(one.key, other.pcpus), Pin(other.key, one.pcpus)))

    policy = type("Policy", (Odd,), {"does": staticmethod(swap)})
    daemon = rig("cpu-2-half-and-half", policy=policy, changes_per_hour=allowed)

    daemon.run(0.9)

    assert len(daemon.changes()) == made
    if not made:
        words = f"{allowed} changes may be made in an hour, and 2 belong together"
        assert set(daemon.ticks()[0].parts["held"].values()) == {words}


def test_the_affinity_of_a_description_is_kept_unless_it_may_be_changed(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", override_pins=False)

    one.run(20)

    assert one.changes() == []


def test_what_is_changed_is_on_the_disk_before_it_is_changed(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    seen: list[bool] = []
    pin = one.recorder.pinned

    def noting(guest: str, vcpu: int, pcpus: frozenset[int], effective: bool) -> None:
        seen.append(any(c.guest == guest and set(c.after) == pcpus for c in one.changes()))
        pin(guest, vcpu, pcpus, effective)

    one.recorder.pinned = noting
    one.run(10)

    assert seen and all(seen)


def test_nothing_is_changed_while_that_cannot_be_written_down(
    rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    one = rig("cpu-1-all-on-one")
    one.daemon.changes.close()
    (one.folder / "full").symlink_to("/dev/full")
    one.daemon.changes = ChangeLog(one.folder / "full")
    before = masks(one)

    with caplog.at_level(logging.WARNING, "virtlab.agent"):
        one.run(6)

    assert masks(one) == before
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "nothing is changed, since how it was could not be written down: "
        "No space left on device"
    ]  # fmt: skip


def test_a_guest_whose_lock_is_held_keeps_no_other_waiting(rig: MakeRig) -> None:
    fault = GuestFault(0, "aos_vm3", "blocked", seconds(20))
    one = rig(with_events("cpu-1-all-on-one", fault))

    one.run(6)

    moved = {name for name, mask in masks(one).items() if mask != {0}}
    assert len(moved) >= 5 and "aos_vm3" not in moved


class Once:
    """Bind one guest's vCPU to pCPU 2 at the first tick, and want nothing more."""

    def __init__(self) -> None:
        self.ticks = 0

    def decide(self, _host: CpuSnapshot) -> CpuPlan:
        self.ticks += 1
        pin = Pin(VcpuKey("aos_vm3", 0), frozenset({2}))
        return CpuPlan((pin,) if self.ticks == 1 else ())


def test_a_plan_is_not_carried_out_after_its_tick(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = job_lock._READS_WITH_JOB | {"DOMAIN_GET_JOB_INFO"}
    monkeypatch.setattr(job_lock, "_READS_WITH_JOB", waits)
    fault = GuestFault(0, "aos_vm3", "blocked", seconds(4))
    one = rig(with_events("cpu-1-all-on-one", fault), policy=Once)

    one.run(8)

    assert masks(one)["aos_vm3"] == {0}
    came = {why for tick in one.ticks() for why in tick.parts["came"].values()}
    assert came == {"libvirtd answered too late whether a job runs on it"}


def test_a_plan_that_took_long_is_carried_out_before_the_next_is_made(rig: MakeRig) -> None:
    class Slow(Once):
        def decide(self, host: CpuSnapshot) -> CpuPlan:
            one.clock.now_ns += seconds(1.3)  # of ticks that come each second
            return super().decide(host)

    one = rig("cpu-1-all-on-one", policy=Slow)

    one.run(4)

    assert masks(one)["aos_vm3"] == {2}
    assert [tick.parts["wall_s"] % 60 for tick in one.ticks()][:2] == [0, 2]


def test_without_an_answer_whether_a_job_runs_nothing_is_changed(rig: MakeRig) -> None:
    def refuse(_dom: Any) -> NoReturn:
        raise operation_timeout("cannot acquire state change lock", ErrorDomain.NONE)

    one = rig("cpu-1-all-on-one", policy=Once)
    one.driver.handlers = {**one.driver.handlers, "DOMAIN_GET_JOB_INFO": refuse}

    one.run(3)

    assert masks(one)["aos_vm3"] == {0}
    (came,) = {why for tick in one.ticks() for why in tick.parts["came"].values()}
    assert came.startswith("it is not known whether a job runs on it: ")


def test_a_link_that_breaks_as_a_look_begins_is_made_anew(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    one.run(3.5)
    link = one.daemon.watch._link
    link._socket.shutdown(socket.SHUT_WR)  # libvirtd died, and nobody has read that yet
    while one.daemon.watch.outages == 0:
        one.clock.now_ns += seconds(0.1)
        one.daemon.turn()  # the host is looked at before anything is read
    before = one.daemon.ticks

    one.run(12)

    assert one.daemon.watch.connected
    assert one.daemon.ticks >= before + 3


def test_a_daemon_outlives_a_restart_of_libvirtd(rig: MakeRig) -> None:
    fault = HostFault(seconds(1.5), "libvirtd-restart", seconds(4))
    one = rig(with_events("cpu-1-all-on-one", fault))

    one.run(20)

    assert one.daemon.watch.outages == 1 and one.daemon.missed >= 3
    assert len({min(mask) for mask in masks(one).values()}) == 4


def test_guests_come_and_go_in_mid_tick(rig: MakeRig) -> None:
    events = (
        LoseGuest(seconds(1.0), "aos_vm3"),
        StopGuest(seconds(3.0), "aos_vm4"),
        StartGuest(seconds(10.0), "aos_vm3"),
    )
    one = rig(with_events("cpu-1-all-on-one", *events))

    one.run(20)

    assert one.daemon.fatal is None
    assert one.daemon.ticks >= 20
    last = {vcpu["key"] for vcpu in one.ticks()[-1].parts["snapshot"]["vcpus"]}
    assert "aos_vm3:0" in last and "aos_vm4:0" not in last


def test_a_jump_of_the_calendar_changes_nothing(rig: MakeRig) -> None:
    name = "memory-1-one-consumes"
    steady = rig(name)
    jumping = rig(with_events(name, HostFault(seconds(41), "clock-step", 0, -seconds(7200))))

    steady.run(120)
    jumping.run(120)

    def sizes(one: Any) -> list[tuple[str, tuple[int, ...]]]:
        return [(change.guest, change.after) for change in one.changes()]

    assert sizes(jumping) == sizes(steady)


def test_whose_pins_somebody_else_changes_is_left_alone(
    rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    one = rig(with_events("cpu-3-balanced"), policy=BackAndForth)
    one.run(4)

    one.host.guests["aos_vm1"].pin(0, frozenset({3}))
    known = next(g for g in one.daemon.watch.guests.values() if g.name == "aos_vm1")
    known.stale = True  # as the event of a change would make it
    before = len([c for c in one.changes() if c.guest == "aos_vm1"])
    with caplog.at_level(logging.WARNING, "virtlab.agent"):
        one.run(12)

    assert masks(one)["aos_vm1"] == {3}
    assert len([c for c in one.changes() if c.guest == "aos_vm1"]) == before
    assert "aos_vm1 is left alone from now on: somebody else bound its vCPU 0" in [
        record.getMessage() for record in caplog.records
    ]


class Down:
    """Take each guest down to next to nothing."""

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        return MemoryPlan(tuple(Resize(guest.guest, mib(10)) for guest in host.guests))


def test_no_guest_is_taken_below_its_floor(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes", policy=Down)

    one.run(20)

    asked = {change.after[0] for change in one.changes() if change.what == "size"}
    assert asked == {mib(200)}


def circle() -> list[Any]:
    """Return a list that holds itself, so that no text of it ends."""
    made: list[Any] = []
    made.append(made)
    return made


def views(tick: Any, guest: str) -> list[dict[str, Any]]:
    """Return what a tick of a coordinator showed of a guest."""
    return [view for view in tick.parts["snapshot"]["guests"] if view["guest"] == guest]


@pytest.mark.parametrize("kind", ["blocked", "paused"])
def test_what_a_guest_was_promised_stays_promised_while_nothing_can_be_told(
    rig: MakeRig, kind: str
) -> None:
    fault = GuestFault(seconds(5.5), "aos_vm1", "blocked", seconds(10))
    one = rig(with_events("memory-1-one-consumes", *([fault] if kind == "blocked" else [])))
    one.run(5.4)
    if kind == "paused":
        with one.served(), HostConnection(one.daemon.settings.socket) as host:
            host.call("DOMAIN_SUSPEND", host.call("DOMAIN_LOOKUP_BY_NAME", "aos_vm1").dom)
    before = one.ticks()[-1]

    one.run(9)

    (was,), (now,) = views(before, "aos_vm1"), views(one.ticks()[-1], "aos_vm1")
    assert now["rss_kib"] == was["rss_kib"] and was["rss_kib"] < was["actual_kib"]
    assert now["movable"] is (kind == "blocked")


def test_nothing_is_planned_on_memory_of_the_host_that_was_not_told(
    rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    one = rig("memory-1-one-consumes")
    read = one.driver.handlers["NODE_GET_MEMORY_STATS"]

    def refuse(*args: Any) -> Any:
        if seconds(5) < one.host.now_ns < seconds(15):
            raise operation_timeout("no time", ErrorDomain.NONE)
        return read(*args)

    one.driver.handlers = {**one.driver.handlers, "NODE_GET_MEMORY_STATS": refuse}
    one.run(5)
    before = one.daemon.ticks

    with caplog.at_level(logging.WARNING, "virtlab.agent"):
        one.run(14.9)
    assert one.daemon.ticks == before and one.daemon.missed >= 4
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and said[0].startswith("libvirtd does not tell the host's memory: ")
    one.run(20)
    assert one.daemon.ticks > before


def raising(_host: CpuSnapshot) -> CpuPlan:
    raise ZeroDivisionError("no load at all")


@pytest.mark.parametrize(
    ("does", "words"),
    [
        (raising, "raised ZeroDivisionError: no load at all"),
        (lambda _host: None, "answered NoneType, and not a CpuPlan"),
        (
            lambda _host: CpuPlan((Pin(VcpuKey("ghost", 0), frozenset({0})),)),
            "planned for vCPU ghost:0, which is not there",
        ),
        (
            lambda host: CpuPlan((Pin(host.vcpus[0].key, frozenset({9})),)),
            "planned pCPUs ['9'] for vCPU aos_vm1:0; the host has 0-3",
        ),
        (
            lambda _host: CpuPlan((Pin(("aos_vm1", 0), frozenset({1})),)),  # type: ignore[arg-type]
            "planned for ('aos_vm1', 0), which is no VcpuKey",
        ),
        (
            lambda host: CpuPlan((Pin(host.vcpus[0].key, frozenset({1.0})),)),  # type: ignore[arg-type]
            "planned pCPUs ['1.0'] for vCPU aos_vm1:0; the host has 0-3",
        ),
        (
            lambda host: CpuPlan((Pin(host.vcpus[0].key, frozenset({1}), reason=1),)),  # type: ignore[arg-type]
            "planned for vCPU aos_vm1:0 with a reason that is no text",
        ),
        (
            lambda _host: CpuPlan((Pin(VcpuKey(["aos_vm1"], 0), frozenset({1})),)),  # type: ignore[arg-type]
            "raised TypeError: unhashable type: 'list'",
        ),
        (
            lambda _host: CpuPlan(rejected=(Rejected("a", circle()),)),  # type: ignore[arg-type]
            "raised RecursionError",
        ),
    ],
)
def test_a_policy_that_fails_is_named_and_holds_the_tick(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, does: Any, words: str
) -> None:
    policy = type("Policy", (Odd,), {"does": staticmethod(does), "made": 0})
    one = rig("cpu-1-all-on-one", policy=policy)

    one.run(5.5)

    assert one.changes() == []
    assert all(tick.parts["failure"].startswith(words) for tick in one.ticks())
    assert policy.made == 1 + len(one.ticks())  # a fresh one after each failure


def test_a_policy_that_cannot_be_made_again_is_named(rig: MakeRig) -> None:
    class Twice(Odd):
        made = 0
        does = staticmethod(raising)

        def __init__(self) -> None:
            super().__init__()
            if 2 <= type(self).made <= 4:
                raise OSError("no model at hand")

    one = rig("cpu-1-all-on-one", policy=Twice)

    one.run(3.5)

    failures = [tick.parts["failure"] for tick in one.ticks()]
    assert failures[0].endswith("; and no other could be made: OSError: no model at hand")
    assert failures[1].startswith("raised OSError: no model at hand")
    assert failures[3].startswith("raised ZeroDivisionError")


def test_what_a_policy_remembers_may_be_anything(rig: MakeRig) -> None:
    class Keeper(Odd):
        def __init__(self) -> None:
            self.seen: set[Any] = {object(), object(), 1}

    class Ring(Odd):
        def __init__(self) -> None:
            self.ring = circle()

    for policy, shown in ((Keeper, {"seen"}), (Ring, {"cannot be shown"})):
        one = rig("cpu-1-all-on-one", policy=policy)
        one.run(1.5)
        assert [set(tick.parts["memory"]) for tick in one.ticks()] == [shown, shown]


def test_a_machine_that_is_busy_with_other_things_does_not_end_the_daemon(rig: MakeRig) -> None:
    def waiting(_host: CpuSnapshot) -> CpuPlan:
        threading.Event().wait(60)  # as for the processor
        return CpuPlan()

    one = rig("cpu-1-all-on-one", policy=type("Policy", (Odd,), {"does": staticmethod(waiting)}))
    one.daemon.decider._limit_s = 0.01

    one.run(12)

    assert one.daemon.fatal is None
    assert {tick.parts["failure"] for tick in one.ticks()} == {
        "had not decided after 0.06 s, in which it had less than 0.01 s of the processor"
    }


def test_a_policy_that_always_fails_ends_the_daemon(rig: MakeRig) -> None:
    policy = type("Policy", (Odd,), {"does": staticmethod(raising)})
    one = rig("cpu-1-all-on-one", policy=policy)

    one.run(30)

    assert one.daemon.fatal is not None and one.daemon.fatal.exit_code == 3
    assert "failed 10 times in a row" in str(one.daemon.fatal)


def test_a_policy_that_never_ends_is_interrupted(rig: MakeRig) -> None:
    def forever(_host: CpuSnapshot) -> CpuPlan:
        while True:
            pass

    one = rig("cpu-1-all-on-one", policy=type("Policy", (Odd,), {"does": staticmethod(forever)}))
    one.daemon.decider._limit_s = 0.1

    one.run(0.5)

    assert one.ticks()[0].parts["failure"] == "took longer than 0.1 s to decide"


def test_a_policy_that_catches_what_stops_it_is_late_all_the_same(rig: MakeRig) -> None:
    def stubborn(_host: CpuSnapshot) -> CpuPlan:
        try:
            while True:
                pass
        except BaseException:
            return CpuPlan()

    one = rig("cpu-1-all-on-one", policy=type("Policy", (Odd,), {"does": staticmethod(stubborn)}))
    one.daemon.decider._limit_s = 0.1

    one.run(0.5)

    assert one.ticks()[0].parts["failure"] == "took longer than 0.1 s to decide"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (
            "while True:\n            try:\n                sum(range(100000))\n"
            "            except BaseException:\n                pass",
            GIVEN_UP,
            "catches what is to stop it",
        ),
        ("sum(itertools.repeat(1))", -signal.SIGVTALRM, "in decide"),  # all in C
    ],
)
def test_a_policy_that_nothing_stops_ends_its_process_in_words(
    body: str, code: int, words: str
) -> None:
    program = f"""
import faulthandler, itertools, signal
from virtlab.agent.deciding import Decider
faulthandler.register(signal.SIGVTALRM, all_threads=False, chain=True)
class Endless:
    def decide(self, host):
        {body}
Decider(Endless, limit_s=0.05).decide(None)
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300)

    assert ended.returncode == code
    assert words in ended.stderr.decode()


def test_a_policy_that_takes_all_memory_at_once_is_named(rig: MakeRig) -> None:
    def greedy(_host: CpuSnapshot) -> CpuPlan:
        bytes(4 << 30)
        return CpuPlan()

    one = rig("cpu-1-all-on-one", policy=type("Policy", (Odd,), {"does": staticmethod(greedy)}))

    one.run(0.5)

    assert one.ticks()[0].parts["failure"].startswith("raised MemoryError")


def test_a_socket_that_only_reads_ends_the_daemon_in_words(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", socket_name="libvirt-sock-ro")

    one.run(10)

    assert one.daemon.fatal is not None and one.daemon.fatal.exit_code == 4
    assert "is for reading only" in str(one.daemon.fatal)


def test_an_administrator_who_moves_a_guest_meanwhile_is_seen_by_the_event(rig: MakeRig) -> None:
    one = rig(with_events("cpu-3-balanced", PinVcpu(seconds(3.5), "aos_vm2", 0, (0,))))

    one.run(10)

    assert pinned(one) == set()


class Migrating:
    """Stands for the handler that tells of a guest's job: one guest has one, for a time."""

    def __init__(self, rig: Any, name: str, until_s: float) -> None:
        self._rig = rig
        self._uuid = rig.host.guests[name].uuid
        self._until_s = until_s

    def __call__(self, dom: Any) -> tuple[int, ...]:
        lasts = dom.uuid == self._uuid and self._rig.host.now_ns < seconds(self._until_s)
        return (2 if lasts else 0, *(0,) * 11)  # VIR_DOMAIN_JOB_UNBOUNDED


def test_a_guest_that_migrates_is_frozen_as_long_as_it_does(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", policy=BackAndForth)
    jobs = {"DOMAIN_GET_JOB_INFO": Migrating(one, "aos_vm3", 6.5)}
    one.driver.handlers = {**one.driver.handlers, **jobs}

    one.run(6.4)
    frozen = masks(one)["aos_vm3"]
    one.run(12)

    assert frozen == {0}
    assert masks(one)["aos_vm3"] != {0}
    assert {
        tick.parts["alone"]["aos_vm3"] for tick in one.ticks() if tick.parts["alone"]
    } == {"a job such as a migration runs on it"}  # fmt: skip


@pytest.mark.parametrize(
    ("note", "moved", "held_to"),
    [
        ('<agent schedule="off"/>', False, {0}),
        ('<agent pcpus="0-1"/>', True, {0, 1}),
        ('<agent coordinate="off"/>', True, {0, 1, 2, 3}),
    ],
)
def test_what_an_administrator_notes_is_kept(
    rig: MakeRig, note: str, moved: bool, held_to: set[int]
) -> None:
    one = rig("cpu-1-all-on-one", policy=BackAndForth)
    with one.served(), HostConnection(one.daemon.settings.socket) as host:
        dom = host.call("DOMAIN_LOOKUP_BY_NAME", "aos_vm3").dom
        host.call("DOMAIN_SET_METADATA", dom, 2, note, "lab", NOTES, 1)

    one.run(6)

    set_to = [set(change.after) for change in one.changes() if change.guest == "aos_vm3"]
    assert bool(set_to) == moved
    assert all(mask <= held_to for mask in set_to)


def test_a_guest_whose_description_cannot_be_read_is_left_alone_until_it_can(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", policy=BackAndForth)
    read = one.driver.handlers["DOMAIN_GET_XML_DESC"]

    def refuse(dom: Any, flags: int) -> Any:
        if dom.name == "aos_vm3" and one.host.now_ns < seconds(3.5):
            raise operation_timeout("cannot acquire state change lock", ErrorDomain.NONE)
        return read(dom, flags)

    one.driver.handlers = {**one.driver.handlers, "DOMAIN_GET_XML_DESC": refuse}

    one.run(3.4)
    assert "aos_vm3" not in pinned(one) and "aos_vm4" in pinned(one)
    alone = one.ticks()[-1].parts["alone"]
    assert alone == {"aos_vm3": "what is noted of it has to be read again"}
    one.run(8)
    assert "aos_vm3" in pinned(one)


def test_a_guest_that_changes_while_a_policy_decides_is_left_alone(rig: MakeRig) -> None:
    def meanwhile(host: CpuSnapshot) -> CpuPlan:
        known = next(g for g in one.daemon.watch.guests.values() if g.name == "aos_vm3")
        known.stale = True  # as the event of a change would make it
        return CpuPlan(tuple(Pin(vcpu.key, frozenset({3})) for vcpu in host.vcpus))

    one = rig("cpu-1-all-on-one", policy=type("Policy", (Odd,), {"does": staticmethod(meanwhile)}))

    one.run(3)

    assert "aos_vm4" in pinned(one) and "aos_vm3" not in pinned(one)


def allow_mib_more(monkeypatch: pytest.MonkeyPatch, mib_more: int) -> None:
    """Have a daemon's process be too large once it takes so much more than now."""
    limit_kib = resident_kib() + mib(mib_more)
    monkeypatch.setattr("virtlab.agent.daemon._MEMORY_KIB_MAX", limit_kib)


def test_a_policy_that_keeps_growing_ends_the_daemon_to_begin_anew(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []

    def growing(_host: CpuSnapshot) -> CpuPlan:
        kept.append(b"x" * (mib(20) << 10))
        return CpuPlan()

    one = rig("cpu-1-all-on-one", policy=type("Policy", (Odd,), {"does": staticmethod(growing)}))
    allow_mib_more(monkeypatch, 50)

    one.run(9)

    assert "policy tried keeps growing" in str(one.daemon.fatal)
    assert one.daemon.fatal.exit_code == 4  # its unit does not restart it after 3
    assert len(kept) == 5


def test_memory_that_a_policy_gave_back_is_forgotten(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(_host: CpuSnapshot) -> CpuPlan:
        return CpuPlan(because=str(len(b"x" * (mib(150) << 10))))

    one = rig("cpu-1-all-on-one", policy=type("Policy", (Odd,), {"does": staticmethod(hungry)}))
    allow_mib_more(monkeypatch, 50)

    one.run(9)

    assert one.daemon.fatal is None
