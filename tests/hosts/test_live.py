"""A host looked at again and again, and what is inferred of the time between two looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.live import LiveHost
from virtlab.hosts.real.connection import HostConnection, socket_of
from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S

Act = Callable[..., None]


class _Watched:
    """A served host and one who looks at it; both clocks are moved by hand."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.machine_ns = 0
        self.host = LiveHost(
            lambda: HostConnection(socket_of(lab.uri)),
            "vcpu_scheduler",
            clock=lambda: self.machine_ns,
        )

    def after(self, span_s: float, *, here_s: float | None = None) -> Timeline:
        self.lab.move(span_s)
        self.machine_ns += round((span_s if here_s is None else here_s) * NS_PER_S)
        return self.host.look()


@pytest.fixture
def watched(lab: Any) -> Iterator[_Watched]:
    one = _Watched(lab)
    yield one
    one.host.close()


@pytest.fixture
def act(lab: Any) -> Iterator[Act]:
    """Give what makes a call about a guest, as somebody else on the host."""
    with HostConnection(socket_of(lab.uri)) as connection:

        def call(guest: str, name: str, *args: object) -> None:
            connection.call(name, connection.call("DOMAIN_LOOKUP_BY_NAME", guest).dom, *args)

        yield call


def test_shares_and_places_are_those_of_the_host(watched: _Watched) -> None:
    watched.host.look()
    seen = watched.after(10)
    third = seen.guest("aos_vm3")
    span_ns = seen.times_ns[1] - seen.times_ns[0]

    assert span_ns == pytest.approx(10 * NS_PER_S, rel=0.01)
    assert third.vcpus[0].pcpu == (3, 3)
    assert third.start_masks == ((3,),)
    assert third.vcpus[0].run_ns[1] / span_ns == pytest.approx(0.21, abs=0.03)
    busy = sum(column[1] - column[0] for column in seen.pcpu_busy_ns)
    ran = sum(vcpu.run_ns[1] for guest in seen.guests for vcpu in guest.vcpus)
    assert busy == pytest.approx(ran, rel=0.02)
    assert third.actual_kib[1] == 512 * 1024
    assert "aos_off" not in {guest.name for guest in seen.guests}


def test_the_time_of_a_host_at_another_pace_is_its_own(watched: _Watched) -> None:
    watched.host.look()
    seen = watched.after(20, here_s=1)

    assert seen.times_ns[1] == pytest.approx(20 * NS_PER_S, rel=0.02)


def test_changes_between_two_looks_are_told(watched: _Watched, act: Act) -> None:
    watched.host.look()
    act("aos_vm1", "DOMAIN_PIN_VCPU", 0, b"\x02")
    act("aos_vm2", "DOMAIN_SET_MEMORY", 400 * 1024)
    act("aos_vm3", "DOMAIN_DESTROY")
    act("aos_off", "DOMAIN_CREATE")
    seen = watched.after(5)

    assert [(pin.guest, pin.vcpu, pin.pcpus) for pin in seen.pins] == [("aos_vm1", 0, (1,))]
    assert {(event.kind, event.guest, event.detail) for event in seen.events} == {
        ("guest_start", "aos_off", ""),
        ("balloon", "aos_vm2", "512 to 400 MiB"),
        ("guest_stop", "aos_vm3", ""),
    }
    assert seen.guest("aos_vm3").running == (True, False)
    assert seen.guest("aos_off").running == (False, True)


def test_a_guest_that_starts_anew_has_not_run_backwards(watched: _Watched, act: Act) -> None:
    watched.host.look()
    watched.after(5)
    act("aos_vm3", "DOMAIN_DESTROY")
    act("aos_vm3", "DOMAIN_CREATE")
    seen = watched.after(5)
    run = seen.guest("aos_vm3").vcpus[0].run_ns

    assert list(run) == sorted(run)


def test_only_the_last_looks_are_kept(
    watched: _Watched, monkeypatch: pytest.MonkeyPatch, lab: Any
) -> None:
    monkeypatch.setattr("virtlab.hosts.live.LOOKS_KEPT", 3)
    few = _Watched(lab)
    few.host.look()
    for _ in range(4):
        seen = few.after(1)
    few.host.close()

    assert len(seen.times_ns) == 3
    assert seen.times_ns[0] == pytest.approx(2 * NS_PER_S, rel=0.1)  # since the first of all


def test_after_a_lost_connection_the_next_look_connects_anew(
    watched: _Watched, make_lab: Callable[..., Any]
) -> None:
    other = make_lab()
    places = iter([watched.lab.uri, "qemu+unix:///system?socket=/nowhere/sock", other.uri])
    host = LiveHost(lambda: HostConnection(socket_of(next(places))), "vcpu_scheduler")
    host.look()
    host.close()

    with pytest.raises(EnvironmentLackError, match="does not answer any more"):
        host.look()
    with pytest.raises(EnvironmentLackError, match="/nowhere/sock"):
        host.look()
    assert len(host.look().times_ns) == 2
    host.close()
