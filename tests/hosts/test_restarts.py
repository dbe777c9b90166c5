"""What a restart or another description keeps of a domain, and what the timeline says of it."""

from __future__ import annotations

from typing import Any

import pytest

from virtlab.hosts.simulated.driver.state import handle_of
from virtlab.model.scenario import LoseGuest, StartGuest, StopGuest
from virtlab.model.timeline import ProgramOutcome
from virtlab.model.units import mib, seconds

DONE = ProgramOutcome("ok", "completed", "ended with the test", seconds(9), exit_code=0)
LIVE, CONFIG = 1, 2


@pytest.fixture
def described(build: Any) -> Any:
    return build.scenario(
        build.guest("aos_vm1", affinity=((0,),)),
        build.guest("aos_vm2"),
        events=(StopGuest(seconds(3), "aos_vm1"), StartGuest(seconds(6), "aos_vm1")),
    )


def call(lab: Any, name: str, guest: str, *arguments: Any) -> Any:
    def make() -> Any:
        return lab.driver.handlers[name](handle_of(lab.host.guests[guest]), *arguments)

    return lab.within(make)


def pins(lab: Any) -> list[tuple[float, str, tuple[int, ...], str]]:
    timeline = lab.within(lambda: lab.recorder.timeline(DONE))
    return [(pin.time_ns / 1e9, pin.guest, pin.pcpus, pin.by) for pin in timeline.pins]


def test_an_affinity_that_was_set_live_ends_with_the_run(make_lab: Any, described: Any) -> None:
    lab = make_lab(described)
    call(lab, "DOMAIN_PIN_VCPU_FLAGS", "aos_vm1", 0, b"\x08", LIVE)
    call(lab, "DOMAIN_PIN_VCPU_FLAGS", "aos_vm2", 0, b"\x04", LIVE | CONFIG)
    call(lab, "DOMAIN_DESTROY", "aos_vm2")
    call(lab, "DOMAIN_CREATE", "aos_vm2")

    lab.move(7)

    masks = [lab.host.guests[name].vcpus[0].mask for name in ("aos_vm1", "aos_vm2")]
    assert masks == [{0}, {2}]
    assert pins(lab) == [
        (0, "aos_vm1", (3,), "program"),
        (0, "aos_vm2", (2,), "program"),
        (6, "aos_vm1", (0,), "scenario"),
    ]


def test_a_timeline_keeps_the_names_and_sizes_that_were_declared(
    make_lab: Any, described: Any
) -> None:
    lab = make_lab(described)
    call(lab, "DOMAIN_DESTROY", "aos_vm2")
    call(lab, "DOMAIN_RENAME", "aos_vm2", "other", 0)

    timeline = lab.within(lambda: lab.recorder.timeline(DONE))

    assert [(guest.name, guest.memory_kib) for guest in timeline.guests] == [
        ("aos_vm1", mib(512)),
        ("aos_vm2", mib(512)),
    ]


def test_what_a_program_does_is_told_of_the_guest_that_it_does_it_to(
    make_lab: Any, described: Any
) -> None:
    lab = make_lab(described)
    renamed = lab.host.guests["aos_vm2"]
    call(lab, "DOMAIN_DESTROY", "aos_vm2")
    call(lab, "DOMAIN_RENAME", "aos_vm2", "other", 0)
    lab.within(
        lambda: lab.driver.handlers["DOMAIN_CREATE_XML"](
            "<domain type='kvm'><name>aos_vm2</name><memory>262144</memory>"
            "<os><type>hvm</type></os></domain>",
            0,
        )
    )
    call(lab, "DOMAIN_CREATE", "other")

    call(lab, "DOMAIN_PIN_VCPU", "aos_vm2", 0, b"\1")  # the program's own guest
    call(lab, "DOMAIN_PIN_VCPU", "other", 0, b"\2")
    call(lab, "DOMAIN_SET_MEMORY", "other", mib(400))
    call(lab, "DOMAIN_SHUTDOWN", "other")
    lab.move(20)
    timeline = lab.within(lambda: lab.recorder.timeline(DONE))

    assert renamed.name == "other"
    assert [(pin.guest, pin.pcpus, pin.by) for pin in timeline.pins] == [
        ("aos_vm2", (1,), "program")
    ]
    assert [(one.guest, one.target_kib) for one in timeline.memory_calls] == [("aos_vm2", mib(400))]
    assert (timeline.events[0].kind, timeline.events[0].guest) == ("guest_stop", "aos_vm2")


@pytest.mark.parametrize("how", ["DOMAIN_REBOOT", "DOMAIN_RESET"])
def test_a_rebooted_guest_has_its_balloon_and_reports_as_before(
    make_lab: Any, described: Any, how: str
) -> None:
    lab = make_lab(described)
    call(lab, "DOMAIN_SET_MEMORY_STATS_PERIOD", "aos_vm2", 2, LIVE)
    call(lab, "DOMAIN_SET_MEMORY", "aos_vm2", mib(400))
    lab.move(2)

    call(lab, how, "aos_vm2", 0)
    lab.move(5)

    shown = lab.host.guests["aos_vm2"].memory.statistics(lab.host.now_ns)
    figures = lab.host.guests["aos_vm2"].memory.figures(lab.host.now_ns)
    assert figures.actual_kib == mib(400)
    assert (shown["unused"], shown["actual"]) == (figures.unused_kib, mib(400))


def test_the_same_description_again_leaves_a_guest_its_system(make_lab: Any, build: Any) -> None:
    lab = make_lab(build.scenario(build.guest("off", running=False, cache_kib=mib(170))))
    before = lab.host.guests["off"].spec
    (xml,) = call(lab, "DOMAIN_GET_XML_DESC", "off", 0)

    lab.within(lambda: lab.driver.handlers["DOMAIN_DEFINE_XML"](xml))

    after = lab.host.guests["off"].spec
    for size in ("memory_kib", "kernel_kib", "processes_kib", "cache_kib"):
        assert getattr(after, size) == getattr(before, size)


def test_a_guest_whose_qemu_dies_is_shut_off_as_crashed(make_lab: Any, build: Any) -> None:
    lab = make_lab(
        build.scenario(build.guest("aos_vm1"), events=(LoseGuest(seconds(3), "aos_vm1"),))
    )
    told: list[tuple[object, ...]] = []
    lab.within(lambda: setattr(lab.driver.events, "sink", lambda event: told.append(event.values)))

    lab.move(5)

    # VIR_DOMAIN_SHUTOFF for VIR_DOMAIN_SHUTOFF_CRASHED; the event is STOPPED, FAILED.
    assert call(lab, "DOMAIN_GET_STATE", "aos_vm1", 0) == (5, 3)
    assert told == [(5, 5)]
