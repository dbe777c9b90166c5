"""The first moment at which things went wrong, and the calls around it."""

from __future__ import annotations

from dataclasses import replace

from marked_runs import DEALT, IN_TURN, good_memory, starved_memory
from timeline_builder import CpuLab

from virtlab.grading.criteria import judge
from virtlab.model.timeline import CallRecord, MemoryCall, Timeline
from virtlab.model.units import NS_PER_S, mib, seconds
from virtlab.model.verdict import FirstMoment


def _moment(timeline: Timeline, name: str) -> FirstMoment:
    found = judge(timeline, name).moment
    assert found is not None
    return found


def _call(at_s: float, procedure: str, guest: str | None, detail: str = "") -> CallRecord:
    return CallRecord(seconds(at_s), procedure, guest, f"{guest or ''} {detail}".strip(), None)


def _swaps(times: int) -> CpuLab:
    """Return a lab whose second and third guest change places every second from 12 s on."""
    pins = list(DEALT)
    places = [(1,), (2,)]
    for turn in range(times):
        places.reverse()
        pins += [(12 + turn + 0.1, 1, places[0]), (12 + turn + 0.11, 2, places[1])]
    return CpuLab(pins=pins)


def test_what_is_met_has_no_first_moment() -> None:
    assert judge(CpuLab(pins=DEALT).timeline(), "stable").moment is None


def test_two_guests_that_change_places_again_and_again_are_named_and_counted() -> None:
    moment = _moment(_swaps(14).timeline(), "stable")

    assert moment.at_s == 12.1
    assert moment.story == (
        "it exchanged aos_vm2 and aos_vm3 14 times; the first time aos_vm2 left pCPU 1 for "
        "pCPU 2, and aos_vm3 pCPU 2 for pCPU 1"
    )


def test_one_exchange_is_told_as_the_move_that_it_is() -> None:
    moment = _moment(_swaps(1).timeline(), "stable")

    assert moment.story == (
        "it moved aos_vm2 from pCPU 1 to pCPU 2, when the pCPUs stood at 40 40 40 40 %"
    )


def test_a_guest_that_goes_and_comes_back_is_told_with_how_often() -> None:
    pins = [(12.0 + turn, 4, ((turn + 1) % 2,)) for turn in range(5)]
    moment = _moment(CpuLab(start=IN_TURN, pins=pins).timeline(), "stable")

    assert moment.at_s == 12
    assert moment.story == (
        "it moved aos_vm5 5 times, 4 of them back to where it had been; the first time from "
        "pCPU 0 to pCPU 1"
    )


def test_an_uneven_host_is_told_by_who_sat_on_its_busiest_and_its_idlest_pcpu() -> None:
    pins = [(4.0 + guest / 1000, guest, (guest % 2,)) for guest in range(8)]
    moment = _moment(CpuLab(pins=pins).timeline(), "balanced")

    assert moment.at_s == 10
    assert moment.story == (
        "on pCPU 0 (80 %) sat aos_vm1 20 %, aos_vm3 20 %, aos_vm5 20 %, aos_vm7 20 %; on pCPU 2 "
        "(0 %) sat nobody"
    )


def test_a_scheduler_that_never_pins_is_told_so_with_what_it_called_instead() -> None:
    calls = tuple(_call(at, "virDomainGetVcpus", "aos_vm1") for at in (9.3, 10.2, 11.2))
    moment = _moment(replace(CpuLab().timeline(), calls=calls), "balanced")

    assert moment.story == "it had changed no affinity until then, nor did it later"
    assert moment.calls == ("10.200 s virDomainGetVcpus aos_vm1",)


def test_the_calls_are_its_last_look_and_what_it_did_to_those_concerned() -> None:
    calls = (
        _call(11.1, "virDomainPinVcpu", "aos_vm2", "vcpu=0 map=0x2"),
        _call(12.05, "virDomainGetVcpus", "aos_vm8"),
        _call(12.06, "virConnectListAllDomains", None),
        _call(12.1, "virDomainPinVcpu", "aos_vm2", "vcpu=0 map=0x4"),
        _call(12.105, "virDomainPinVcpu", "aos_vm7", "vcpu=0 map=0x1"),
        _call(12.11, "virDomainPinVcpu", "aos_vm3", "vcpu=0 map=0x2"),
        _call(13.1, "virDomainPinVcpu", "aos_vm2", "vcpu=0 map=0x2"),
    )
    moment = _moment(replace(_swaps(14).timeline(), calls=calls), "stable")

    assert moment.calls == (
        "12.060 s virConnectListAllDomains",
        "12.100 s virDomainPinVcpu aos_vm2 vcpu=0 map=0x4",
        "12.110 s virDomainPinVcpu aos_vm3 vcpu=0 map=0x2",
    )


def test_a_guest_that_runs_out_of_memory_is_told_with_what_it_had_and_was_told() -> None:
    timeline = starved_memory().timeline()
    sizes = tuple(
        MemoryCall(at_s * NS_PER_S, "aos_vm1", mib(size), "program")
        for at_s, size in ((10, 512), (14, 400), (30, 600))
    )
    calls = (
        _call(14, "virDomainSetMemory", "aos_vm1", "memory=409600"),
        _call(14.1, "virDomainSetMemory", "aos_vm2", "memory=409600"),
    )
    moment = _moment(replace(timeline, memory_calls=sizes, calls=calls), "guest-alive")
    at_s = moment.at_s

    assert 14 < at_s < 30
    assert moment.story.startswith(f"aos_vm1 had 512 MiB at {int(at_s)} s, of which ")
    assert moment.story.endswith("it was last told 400 MiB at 14 s and then 600 MiB at 30 s")
    assert moment.calls == ("14.000 s virDomainSetMemory aos_vm1 memory=409600",)


def test_a_guest_that_nobody_sized_is_told_so() -> None:
    moment = _moment(starved_memory().timeline(), "guest-alive")

    assert moment.story.endswith("it was told no size in the whole run")


def test_a_host_that_lent_what_it_lacked_is_told_by_the_sum_of_the_targets() -> None:
    timeline = good_memory().timeline()
    count = len(timeline.times_ns)
    swapped = replace(timeline, host_swap_kib=(0, *(mib(500),) * (count - 1)))
    moment = _moment(swapped, "host-alive")

    assert moment.story.startswith("the host had ")
    assert "MiB free; its guests' targets came to" in moment.story
