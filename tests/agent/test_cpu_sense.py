"""What a scheduler asks about a guest, and what it makes of answers in any order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from virtlab.agent.cpu_sense import CpuSense
from virtlab.agent.known_guest import KnownGuest
from virtlab.agent.watch import HostFacts, Question
from virtlab.libvirt_rpc.client import Answer
from virtlab.libvirt_rpc.errors import LibvirtError, operation_invalid, operation_timeout
from virtlab.libvirt_rpc.typed import DomainStats, Param
from virtlab.libvirt_rpc.values import DomainHandle

HOST = HostFacts(pcpus=4, online=frozenset(range(4)))
TRANSIENT = operation_invalid("transient domains do not have any persistent config")


class _Vcpu(NamedTuple):
    number: int
    cpu: int


def running(*vcpus: int) -> KnownGuest:
    """Return a guest of which bulk statistics told these vCPUs."""
    guest = KnownGuest(DomainHandle("web", bytes(16), 1))
    more(guest, *vcpus)
    return guest


def more(guest: KnownGuest, *vcpus: int) -> None:
    figures = {"vcpu.maximum": 4} | {f"vcpu.{number}.time": 1 for number in vcpus}
    guest.take(DomainStats(guest.dom, [Param(name, 4, value) for name, value in figures.items()]))


def asked(sense: CpuSense, guest: KnownGuest) -> dict[str, Question]:
    """Return what is asked now, as `Watch` asks it."""
    questions = {question[0]: question for question in sense.questions(guest, HOST)}
    guest.stale = False
    return questions


def tell_pins(question: Question, *pcpus: int) -> None:
    """Answer where vCPUs are bound to, one pCPU each."""
    info = [_Vcpu(number, pcpu) for number, pcpu in enumerate(pcpus)]
    question[2](Answer(1, 1, (info, bytes(1 << pcpu for pcpu in pcpus)), None))


def refuse(question: Question, error: LibvirtError) -> None:
    question[2](Answer(1, 1, None, error))


def held_to(sense: CpuSense, guest: KnownGuest, numbers: Iterable[int]) -> list[Any]:
    return [sense.allowed(guest, number, HOST) for number in numbers]


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_guest_without_a_stored_description_is_held_to_where_it_was(refused_first: bool) -> None:
    sense, guest = CpuSense(override_pins=False), running(0)
    first = asked(sense, guest)
    if refused_first:
        refuse(first["DOMAIN_GET_VCPU_PIN_INFO"], TRANSIENT)
    tell_pins(first["DOMAIN_GET_VCPUS"], 2)
    if not refused_first:
        refuse(first["DOMAIN_GET_VCPU_PIN_INFO"], TRANSIENT)
    else:
        assert guest.stale and sense.why_not(guest) is not None
        refuse(asked(sense, guest)["DOMAIN_GET_VCPU_PIN_INFO"], TRANSIENT)

    assert sense.why_not(guest) is None
    assert held_to(sense, guest, [0]) == [{2}]


def test_a_stored_affinity_that_could_not_be_read_is_asked_for_again() -> None:
    sense, guest = CpuSense(override_pins=False), running(0)
    first = asked(sense, guest)
    tell_pins(first["DOMAIN_GET_VCPUS"], 2)

    refuse(first["DOMAIN_GET_VCPU_PIN_INFO"], operation_timeout("lock"))

    assert sense.why_not(guest) == "what is noted of it has to be read again"
    assert "DOMAIN_GET_VCPU_PIN_INFO" in asked(sense, guest)


def test_vcpus_that_are_plugged_in_are_seen_and_held_to_where_they_came() -> None:
    sense, guest = CpuSense(override_pins=False), running(0)
    first = asked(sense, guest)
    tell_pins(first["DOMAIN_GET_VCPUS"], 2)
    refuse(first["DOMAIN_GET_VCPU_PIN_INFO"], TRANSIENT)
    assert asked(sense, guest) == {}
    guest.pins[0] = frozenset({1})  # as the daemon bound it

    more(guest, 0, 1)
    then = asked(sense, guest)
    tell_pins(then["DOMAIN_GET_VCPUS"], 1, 3)
    refuse(then["DOMAIN_GET_VCPU_PIN_INFO"], TRANSIENT)

    seen = sense.snapshot(1, [guest], HOST)
    assert [str(vcpu.key) for vcpu in seen.vcpus] == ["web:0", "web:1"]
    assert held_to(sense, guest, [0, 1]) == [{2}, {3}]
    assert asked(sense, guest) == {}
