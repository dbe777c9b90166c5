"""The recorder: samples at whole seconds, and who did what."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from virtlab.hosts.simulated.recorder import Recorder
from virtlab.libvirt_rpc import Call, DomainHandle
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.model.scenario import (
    Event,
    LoseGuest,
    PinVcpu,
    Scenario,
    SetMemory,
    StartGuest,
    StartWorkload,
    StopGuest,
    StopWorkload,
)
from virtlab.model.timeline import ProgramOutcome
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Duty, MemoryGrowth
from virtlab.simulator import scheduler
from virtlab.simulator.host import SimulatedHost

DONE = ProgramOutcome("ok", "completed", "ended with the test", seconds(5), exit_code=0)


def a_call(memory_kib: int) -> Call:
    procedure = BY_NAME["DOMAIN_SET_MEMORY"]
    payload = procedure.encode_args((DomainHandle("aos_vm1", bytes(16), 1), memory_kib))
    return Call(procedure, procedure.decode_args(payload), 1)


@pytest.fixture
def described(build: Any) -> Any:
    return build.scenario(
        build.guest("aos_vm1", affinity=((0,),)),
        build.guest("aos_vm2"),
        build.guest("aos_off", running=False),
        events=(
            StartWorkload(0, "aos_vm1", Duty(1.0, ms(1))),
            PinVcpu(seconds(2), "aos_vm1", 0, (0,)),
            PinVcpu(seconds(2), "aos_vm1", 0, (1,)),
            SetMemory(seconds(2.5), "aos_vm2", mib(600)),
            PinVcpu(seconds(4), "aos_vm1", 0, (1,)),
        ),
        duration_s=5,
    )


def test_samples_lie_at_whole_seconds_from_0_to_the_end(described: Any) -> None:
    recorder = Recorder(SimulatedHost(described), described)

    for until_ns in (0, ms(300), seconds(2), seconds(2.7), seconds(9)):
        recorder.advance(until_ns)
    timeline = recorder.timeline(DONE)

    assert timeline.times_ns == tuple(seconds(second) for second in range(6))
    assert timeline.pcpus == len(timeline.pcpu_busy_ns) == 4
    for series in (timeline.host_free_kib, timeline.host_swap_kib, *timeline.pcpu_busy_ns):
        assert len(series) == 6
    busy, idle, stopped = timeline.guests
    assert busy.vcpus[0].run_ns[0] == 0
    assert busy.vcpus[0].run_ns[5] == pytest.approx(seconds(5), rel=0.02)
    assert busy.vcpus[0].loaded == (True,) * 6
    assert busy.vcpus[0].pcpu == (0, 0, 1, 1, 1, 1)
    assert busy.start_masks == ((0,),)
    assert idle.start_masks == ((0, 1, 2, 3),)
    assert idle.actual_kib[0] == mib(512)
    assert idle.target_kib[3:] == (mib(600),) * 3
    assert stopped.running == (False,) * 6
    assert stopped.actual_kib == (0,) * 6
    assert stopped.vcpus[0].pcpu == (-1,) * 6
    assert timeline.pcpu_busy_ns[0][2] == pytest.approx(seconds(2), rel=0.02)


def test_the_scenarios_own_acts_are_told_from_the_programs(described: Any) -> None:
    host = SimulatedHost(described)
    recorder = Recorder(host, described)

    recorder.advance(seconds(3))
    effective = host.guests["aos_vm2"].pin(0, frozenset({2, 3}))
    recorder.pinned("aos_vm2", 0, frozenset({2, 3}), effective)
    recorder.memory_set("aos_vm2", mib(700))
    recorder.advance(seconds(5))
    timeline = recorder.timeline(DONE)

    assert [(p.time_ns, p.guest, p.pcpus, p.effective, p.by) for p in timeline.pins] == [
        (seconds(2), "aos_vm1", (0,), False, "scenario"),
        (seconds(2), "aos_vm1", (1,), True, "scenario"),
        (seconds(3), "aos_vm2", (2, 3), True, "program"),
        (seconds(4), "aos_vm1", (1,), False, "scenario"),
    ]
    assert [(m.time_ns, m.target_kib, m.by) for m in timeline.memory_calls] == [
        (seconds(2.5), mib(600), "scenario"),
        (seconds(3), mib(700), "program"),
    ]
    assert timeline.events[0].kind == "load_start"


def test_nothing_is_recorded_after_the_end(described: Any) -> None:
    recorder = Recorder(SimulatedHost(described), described)

    recorder.advance(seconds(6))
    recorder.pinned("aos_vm1", 0, frozenset({2}), True)
    recorder.memory_set("aos_vm1", mib(300))
    recorder.call(a_call(0), None, seconds(6))
    timeline = recorder.timeline(DONE)

    assert all(pin.by == "scenario" for pin in timeline.pins)
    assert all(call.by == "scenario" for call in timeline.memory_calls)
    assert (timeline.calls, timeline.calls_total) == ((), 0)


def test_of_many_calls_the_first_and_the_last_are_kept(described: Any) -> None:
    recorder = Recorder(SimulatedHost(described), described, first_calls=3, last_calls=2)

    for number in range(10):
        recorder.call(a_call(number), None, number)
    timeline = recorder.timeline(DONE)

    assert [call.detail for call in timeline.calls] == [
        f"aos_vm1 memory={number}" for number in (0, 1, 2, 8, 9)
    ]
    assert timeline.calls_total == 10


def test_equal_runs_give_equal_bytes_whatever_the_steps(described: Any) -> None:
    coarse = Recorder(SimulatedHost(described), described)
    fine = Recorder(SimulatedHost(described), described)

    coarse.advance(seconds(5))
    for step in range(1, 1001):
        fine.advance(step * seconds(0.005))

    assert json.loads(coarse.timeline(DONE).to_json())["seed"] == 7
    assert coarse.timeline(DONE).to_json() == fine.timeline(DONE).to_json()


@pytest.fixture
def large(build: Any) -> Scenario:
    """Return 320 guests of which some come, go, compute, take memory or have to give it."""
    guests = [
        build.guest(f"g{n}", affinity=((n % 32,) if n % 3 else None,), running=n % 7 != 0)
        for n in range(320)
    ]
    some = [guest.name for guest in guests if guest.running]
    events: list[Event] = [StartWorkload(0, name, Duty(0.3, ms(0.5))) for name in some[::2]]
    events += [StartGuest(seconds(1.5), guest.name) for guest in guests[::14]]
    events += [StartWorkload(seconds(1), n, MemoryGrowth(mib(40), None)) for n in some[::20]]
    events += [SetMemory(seconds(2), name, mib(700)) for name in some[::15]]
    events += [SetMemory(seconds(2), name, mib(300)) for name in some[1::15]]
    events += [StopWorkload(seconds(3.2), name, "all") for name in some[::4]]
    events += [StopGuest(seconds(2.2), name) for name in some[3::30]]
    events += [LoseGuest(seconds(4), name) for name in some[5::40]]
    events.sort(key=lambda event: event.time_ns)
    return build.scenario(
        *guests, events=tuple(events), pcpus=32, memory_kib=mib(400_000), duration_s=6
    )


def test_a_large_host_is_recorded_the_same_without_numpy(
    large: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numpy")
    with_numpy, in_columns = _recorded(large)
    monkeypatch.setattr(scheduler, "numpy_or_none", lambda: None)
    without, one_by_one = _recorded(large)

    assert with_numpy == without
    assert (in_columns, one_by_one) == (True, False)


def test_what_rests_is_recorded_as_if_it_were_looked_at_each_second(large: Scenario) -> None:
    host = SimulatedHost(large)
    recorder = Recorder(host, large)
    seen: dict[str, list[tuple[bool, int, int]]] = {name: [] for name in host.guests}

    for second in range(7):
        recorder.advance(seconds(second))
        for guest in host.guests.values():
            figures = guest.memory.figures(host.now_ns)
            runs = guest.id >= 0
            values = (figures.actual_kib, figures.rss_kib) if runs else (0, 0)
            seen[guest.name].append((runs, *values))

    for track in recorder.timeline(DONE).guests:
        assert (
            list(zip(track.running, track.actual_kib, track.rss_kib, strict=True))
            == seen[track.name]
        )


def _recorded(described: Scenario) -> tuple[str, bool]:
    host = SimulatedHost(described)
    recorder = Recorder(host, described)
    recorder.advance(described.duration_ns)
    return recorder.timeline(DONE).to_json(), host.scheduler.columns is not None


def about(procedure_name: str, *values: Any) -> Call:
    procedure = BY_NAME[procedure_name]
    payload = procedure.encode_args((DomainHandle("aos_vm1", bytes(16), 1), *values))
    return Call(procedure, procedure.decode_args(payload), 1)


def tuned(field: str, value: int) -> Call:
    return about("DOMAIN_SET_SCHEDULER_PARAMETERS", [Param(field, ParamType.LLONG, value)])


@pytest.mark.parametrize(
    ("call", "refused", "act"),
    [
        (about("DOMAIN_DESTROY"), None, "destroyed"),
        (about("DOMAIN_DESTROY"), "no", None),
        (about("DOMAIN_SHUTDOWN_FLAGS", 0), None, "shut down"),
        (about("DOMAIN_SUSPEND"), None, "suspended"),
        (about("DOMAIN_RESET", 0), None, "reset"),
        (about("DOMAIN_SET_VCPUS", 1), None, "given another number of vCPUs"),
        (tuned("vcpu_quota", 1000), None, "throttled"),
        (tuned("global_quota", 1000), None, "throttled"),
        (tuned("vcpu_quota", -1), None, None),  # no limit
        (tuned("vcpu_period", 1000), None, None),
        (about("DOMAIN_RESUME"), None, None),
        (a_call(500), None, None),
    ],
)
def test_what_a_program_does_to_a_guests_life_is_an_event(
    described: Any, call: Call, refused: str | None, act: str | None
) -> None:
    recorder = Recorder(SimulatedHost(described), described)
    recorder.advance(seconds(2))

    recorder.call(call, refused, seconds(2))

    events = [event for event in recorder.timeline(DONE).events if event.kind == "interference"]
    assert [(event.time_ns, event.guest, event.detail) for event in events] == (
        [(seconds(2), "aos_vm1", act)] if act else []
    )


def test_a_guests_handle_may_have_the_name_that_it_had(described: Any) -> None:
    host = SimulatedHost(described)
    recorder = Recorder(host, described)
    recorder.advance(seconds(2))
    guest = host.guests["aos_vm1"]
    stale = DomainHandle("aos_vm1", guest.uuid, guest.id)
    guest.destroy()
    host.rename(guest, "other")
    procedure = BY_NAME["DOMAIN_DESTROY"]
    args = procedure.decode_args(procedure.encode_args((stale,)))

    recorder.call(Call(procedure, args, 1), None, seconds(2))

    (event,) = [one for one in recorder.timeline(DONE).events if one.kind == "interference"]
    assert (event.guest, event.detail) == ("aos_vm1", "destroyed")


def test_a_guest_that_goes_down_is_told_to_be_the_scenarios_doing_only_where_it_asked_for_that(
    described: Any,
) -> None:
    scenario = replace(described, events=(LoseGuest(seconds(2), "aos_vm1"),))
    host = SimulatedHost(scenario)
    recorder = Recorder(host, scenario)
    recorder.advance(seconds(1))
    host.guests["aos_vm2"].shutdown()
    recorder.advance(seconds(5))

    gone = {
        event.guest: dict(event.values)
        for event in recorder.timeline(DONE).events
        if event.kind in ("guest_lost", "guest_stop")
    }

    assert gone == {"aos_vm1": {"by_scenario": 1}, "aos_vm2": {}}
