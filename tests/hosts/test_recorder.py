"""The recorder: samples at whole seconds, and who did what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from virtlab.hosts.simulated.recorder import Recorder
from virtlab.libvirt_rpc import Call, DomainHandle
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.model.scenario import PinVcpu, SetMemory, StartWorkload
from virtlab.model.timeline import ProgramOutcome
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Duty
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
