"""A connection that never waits, against a libvirtd whose answers a test gives by hand."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.hosts.real.link import HostLink
from virtlab.libvirt_rpc import packet
from virtlab.libvirt_rpc.client import Answer
from virtlab.libvirt_rpc.packet import PacketReader, encode_packet
from virtlab.libvirt_rpc.procedures import BY_NAME, BY_NUMBER


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

    def hang_up(self) -> None:
        self._connection.close()
        self.turn()

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
