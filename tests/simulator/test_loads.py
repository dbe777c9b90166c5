"""Loads that take over from each other, and traces that nobody follows any more."""

from __future__ import annotations

import pytest
from small_hosts import guest, host

from virtlab.model.scenario import LoseGuest, StartGuest, StartWorkload, StopWorkload
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Batch, Duty, MemoryGrowth, Trace, TracePoint, Workload
from virtlab.simulator.host import SimulatedHost

LONG = Trace((TracePoint(0, 0.2, mib(20)), TracePoint(seconds(20), 0.9, mib(60))))
SHORT = Trace((TracePoint(0, 0.3, None), TracePoint(seconds(2), 0.4, None)))


def starts(at_s: float, load: Workload, *vcpus: int) -> StartWorkload:
    return StartWorkload(seconds(at_s), "g0", load, vcpus or None)


def duties(simulated: SimulatedHost, at_s: float) -> list[float]:
    simulated.advance(seconds(at_s))
    return [vcpu.duty for vcpu in simulated.guests["g0"].vcpus]


def held_mib(simulated: SimulatedHost) -> float:
    return simulated.guests["g0"].memory.figures(simulated.now_ns).consumer_kib / 1024


@pytest.mark.parametrize(
    ("load", "duty"), [(Duty(0.5, ms(0.5)), 0.5), (Batch(seconds(100)), 1.0), (SHORT, 0.4)]
)
def test_a_load_takes_a_vcpu_from_the_trace_for_good_and_leaves_its_memory(
    load: Workload, duty: float
) -> None:
    simulated = host([guest("g0")], [starts(0, LONG), starts(5, load)])

    assert duties(simulated, 19) == [duty]
    assert held_mib(simulated) == 20
    assert duties(simulated, 25) == [duty]
    assert held_mib(simulated) == 60


def test_a_trace_is_followed_on_the_vcpus_that_are_left_to_it() -> None:
    simulated = host(
        [guest("g0", vcpus=2, affinity=(None, None))],
        [starts(0, LONG), starts(5, Duty(0.5, ms(0.5)), 1)],
    )

    assert duties(simulated, 6) == [0.2, 0.5]
    assert duties(simulated, 25) == [0.9, 0.5]


def test_traces_on_vcpus_of_their_own_are_followed_side_by_side() -> None:
    simulated = host(
        [guest("g0", vcpus=2, affinity=(None, None))], [starts(0, LONG, 0), starts(1, SHORT, 1)]
    )

    assert duties(simulated, 5) == [0.2, 0.4]
    assert duties(simulated, 25) == [0.9, 0.4]


def test_a_stopped_trace_does_not_come_back_nor_the_one_before_it() -> None:
    stop = StopWorkload(seconds(10), "g0", "all")
    simulated = host([guest("g0")], [starts(0, LONG), starts(5, SHORT), stop])

    assert duties(simulated, 11) == [0.0]
    assert duties(simulated, 30) == [0.0]
    assert held_mib(simulated) == 0


def test_a_trace_does_not_outlive_its_guests_process() -> None:
    events = [starts(0, LONG), starts(5, SHORT)]
    restart = [LoseGuest(seconds(10), "g0"), StartGuest(seconds(12), "g0")]
    simulated = host([guest("g0")], [*events, *restart])

    assert duties(simulated, 30) == [0.0]
    assert held_mib(simulated) == 0


@pytest.mark.parametrize(
    ("kind", "duty", "held"), [("cpu", 0.0, 60), ("memory", 0.9, 0), ("all", 0.0, 0)]
)
def test_stopping_one_kind_leaves_the_other_half_of_a_trace(
    kind: str, duty: float, held: int
) -> None:
    stop = StopWorkload(seconds(5), "g0", kind)  # type: ignore[arg-type]
    simulated = host([guest("g0")], [starts(0, LONG), stop])

    assert duties(simulated, 25) == [duty]
    assert held_mib(simulated) == held


def test_a_growing_process_takes_over_what_a_trace_held() -> None:
    growth = MemoryGrowth(mib(10), mib(50), then_release=False)
    simulated = host([guest("g0")], [starts(0, LONG), starts(5, growth)])

    assert duties(simulated, 10) == [0.2]
    assert held_mib(simulated) == 50
    assert duties(simulated, 25) == [0.9]
    assert held_mib(simulated) == 50


def test_a_trace_with_memory_takes_over_from_a_growing_process() -> None:
    late = Trace((TracePoint(seconds(3), 0.1, mib(30)),))
    simulated = host([guest("g0", (0,))], [starts(0, MemoryGrowth(mib(10), None)), starts(2, late)])

    simulated.advance(seconds(4.9))
    taken_over_mib = held_mib(simulated)
    simulated.advance(seconds(20))

    assert taken_over_mib == pytest.approx(20, rel=0.01)
    assert held_mib(simulated) == 30
