"""A connection that never waits, against a libvirtd whose answers a test gives by hand."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from virtlab.hosts.real.link import HostLink
from virtlab.libvirt_rpc import packet
from virtlab.libvirt_rpc.client import Answer, Event
from virtlab.libvirt_rpc.errors import LibvirtError, operation_denied
from virtlab.libvirt_rpc.packet import PacketReader, encode_packet
from virtlab.libvirt_rpc.procedures import BY_NAME, BY_NUMBER, MESSAGES_BY_NAME
from virtlab.libvirt_rpc.values import DomainHandle


class HandServed:
    """The other end: takes calls, and answers the latest one when it is told to."""

    def __init__(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        self._connection, _ = listener.accept()
        self._connection.settimeout(10)
        self._selector = selector
        self._reader = PacketReader()
        self._serial = 0

    def next_calls(self) -> list[str]:
        found = self._reader.feed(self._connection.recv(65_536))
        self._serial = found[-1].serial
        return [BY_NUMBER[call.procedure].name for call in found]

    def answer(self, name: str, *results: object) -> None:
        procedure = BY_NAME[name]
        payload = procedure.encode_results(results)
        self._connection.sendall(
            encode_packet(procedure.number, packet.REPLY, self._serial, payload)
        )
        self.turn()

    def refuse(self, error: LibvirtError) -> None:
        number = BY_NAME["CONNECT_OPEN"].number
        data = encode_packet(
            number, packet.REPLY, self._serial, error.to_wire(), status=packet.STATUS_ERROR
        )
        self._connection.sendall(data)
        self.turn()

    def tell(self, name: str, *values: object) -> None:
        message = MESSAGES_BY_NAME[name]
        data = encode_packet(message.number, packet.MESSAGE, 0, message.encode(values))
        self._connection.sendall(data)
        self.turn()

    def hang_up(self) -> None:
        self.close()
        self.turn()

    def close(self) -> None:
        self._connection.close()

    def turn(self) -> None:
        for key, mask in self._selector.select(10):
            key.data(mask)


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as made:
        yield made


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(str(tmp_path / "sock"))
        made.listen()
        yield made


def test_no_call_overtakes_the_opening_of_the_connection(
    tmp_path: Path, selector: selectors.BaseSelector, listener: socket.socket
) -> None:
    lost: list[bool] = []
    link = HostLink(selector, tmp_path / "sock", lambda: lost.append(True))
    served = HandServed(listener, selector)
    answers: list[Answer] = []

    link.ask("CONNECT_GET_LIB_VERSION", then=answers.append)

    assert served.next_calls() == ["AUTH_LIST"]
    served.answer("AUTH_LIST", [])
    assert served.next_calls() == ["CONNECT_OPEN"]
    served.answer("CONNECT_OPEN")
    assert served.next_calls() == ["CONNECT_GET_LIB_VERSION"]
    assert (link.waiting, answers) == (1, [])
    served.answer("CONNECT_GET_LIB_VERSION", 9_000_000)
    assert (link.waiting, answers[0].results.lib_ver) == (0, 9_000_000)

    served.hang_up()
    assert (link.open, lost) == (False, [True])
    link.ask("CONNECT_GET_LIB_VERSION", then=answers.append)  # goes nowhere
    link.close()
    assert (len(answers), lost) == (1, [True])


def test_a_host_that_nobody_serves_is_refused_at_once(
    tmp_path: Path, selector: selectors.BaseSelector
) -> None:
    with pytest.raises(OSError):
        HostLink(selector, tmp_path / "none", lambda: None)
    assert len(selector.get_map()) == 0


def test_a_connection_that_breaks_at_once_makes_no_link(
    tmp_path: Path, selector: selectors.BaseSelector, listener: socket.socket
) -> None:
    class Dying(socket.socket):
        """The listener goes between this socket's connection and its first call."""

        def connect(self, address: Any) -> None:
            super().connect(address)
            listener.close()

    lost: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("virtlab.hosts.real.link.socket.socket", Dying)
        with pytest.raises(OSError):
            HostLink(selector, tmp_path / "sock", lambda: lost.append(True))

    assert (lost, len(selector.get_map())) == ([], 0)


def test_a_host_that_takes_nobody_in_is_not_waited_for(
    tmp_path: Path, selector: selectors.BaseSelector
) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first,
    ):
        hung.bind(str(tmp_path / "sock"))
        hung.listen(0)
        first.connect(str(tmp_path / "sock"))

        with pytest.raises(OSError):
            HostLink(selector, tmp_path / "sock", lambda: None)

    assert len(selector.get_map()) == 0


def test_events_reach_who_asked_for_them(
    tmp_path: Path, selector: selectors.BaseSelector, listener: socket.socket
) -> None:
    events: list[Event] = []
    link = HostLink(selector, tmp_path / "sock", lambda: None, events.append)
    served = HandServed(listener, selector)
    served.next_calls()
    dom = DomainHandle("web", bytes(16), 3)

    served.tell("DOMAIN_EVENT_CALLBACK_REBOOT", 1, dom)

    assert [(event.name, event.values.dom) for event in events] == [
        ("DOMAIN_EVENT_CALLBACK_REBOOT", dom)
    ]
    link.close()
    served.close()


def test_a_host_that_lets_nobody_in_says_why(
    tmp_path: Path, selector: selectors.BaseSelector, listener: socket.socket
) -> None:
    lost: list[bool] = []
    link = HostLink(selector, tmp_path / "sock", lambda: lost.append(True))
    served = HandServed(listener, selector)
    served.next_calls()
    served.answer("AUTH_LIST", [2])
    served.next_calls()

    served.refuse(operation_denied("authentication required"))

    assert (link.open, lost) == (False, [True])
    assert link.refusal == "operation forbidden: authentication required"
    served.close()
