"""The server against clients that are hostile, slow, silent or gone."""

from __future__ import annotations

import socket
import stat
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_PROGRAM = 0x20008086


def call(procedure: int, payload: bytes = b"", serial: int = 1) -> bytes:
    header = struct.pack(">IIIiIII", 28 + len(payload), _PROGRAM, 1, procedure, 0, serial, 0)
    return header + payload


_CONNECT_CLOSE = 2  # after it nothing is answered
HOSTNAME = call(59)
OPENING = call(66) + call(1, bytes(8))


def connect(lab: Any) -> socket.socket:
    """Return a connection that is open, as libvirt's own client would have it."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(lab.directory / "libvirt-sock"))
    client.sendall(OPENING)
    assert [read(client)[0] for _ in range(2)] == [0, 0]
    return client


def read(client: socket.socket) -> tuple[int, bytes]:
    """Return status and payload of the next reply."""
    length, _, _, _, _, _, status = struct.unpack(">IIIiIII", exactly(client, 28))
    return status, exactly(client, length - 28)


def exactly(client: socket.socket, count: int) -> bytes:
    # MSG_WAITALL would not do: a socket with a time-out returns what is there.
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        assert more, "the server has closed the connection"
        data += more
    return data


def is_served(client: socket.socket) -> bool:
    client.sendall(HOSTNAME)
    return read(client) == (0, b"\0\0\0\x07virtlab\0")


def is_dropped(client: socket.socket) -> bool:
    try:
        while client.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "bytes_",
    [b"\0" * 64, b"\xff" * 64, b"GET / HTTP/1.0\r\n\r\n" + b" " * 40, struct.pack(">I", 27) * 8],
)
def test_bytes_that_are_no_packets_close_their_connection_only(lab: Any, bytes_: bytes) -> None:
    with connect(lab) as good, connect(lab) as hostile:
        assert is_served(good)
        hostile.sendall(bytes_)

        assert is_dropped(hostile)
        assert is_served(good)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    payload=st.binary(max_size=64),
    procedure=st.integers(0, 500).filter(lambda number: number != _CONNECT_CLOSE),
)
def test_any_payload_of_any_procedure_is_answered(lab: Any, payload: bytes, procedure: int) -> None:
    payload += bytes(-len(payload) & 3)
    with connect(lab) as client:
        client.sendall(call(procedure, payload) + HOSTNAME)
        read(client)

        while True:  # events may come in between
            if read(client) == (0, b"\0\0\0\x07virtlab\0"):
                break


def test_a_client_that_never_reads_does_not_hold_up_others(lab: Any) -> None:
    with connect(lab) as good, connect(lab) as deaf:
        deaf.setblocking(False)
        capabilities = call(7) * 500
        for _ in range(200):
            try:
                deaf.send(capabilities)
            except BlockingIOError:
                break
            assert is_served(good)

        assert is_served(good)
        deaf.settimeout(10)
        assert read(deaf)[1][4:].startswith(b"<capabilities>")


def test_a_client_that_never_reads_loses_events_and_nothing_else(lab: Any) -> None:
    register = struct.pack(">iI", 17, 0)
    pin = struct.pack(">I8s16siIIB3x", 7, b"aos_vm1", lab.host.guests["aos_vm1"].uuid, 1, 0, 1, 1)
    with connect(lab) as busy, connect(lab) as deaf:
        deaf.sendall(call(316, register))
        assert read(deaf)[0] == 0
        for _ in range(200):
            busy.sendall(call(26, pin) * 100)
            assert {read(busy)[0] for _ in range(100)} == {0}

        (unsent,) = lab.within(
            lambda: [len(one.unsent) for one in lab.server._clients.values() if one.unsent]
        )
        deaf.sendall(HOSTNAME)
        events = 0
        while read(deaf)[1] != b"\0\0\0\x07virtlab\0":
            events += 1

        assert 1 << 20 < unsent < (1 << 20) + 1000
        assert 1000 < events < 20_000
        assert is_served(deaf)


def test_a_client_that_takes_leave_is_hung_up_on_and_its_registrations_go(lab: Any) -> None:
    with connect(lab) as client, connect(lab) as other:
        client.sendall(call(316, struct.pack(">iI", 17, 0)) + call(2) + HOSTNAME)

        assert [read(client)[0] for _ in range(2)] == [0, 0]
        assert is_dropped(client)
        assert is_served(other)
        assert lab.within(lambda: len(lab.server._clients)) == 1


def test_what_came_before_a_broken_packet_is_answered_however_the_bytes_came(lab: Any) -> None:
    with connect(lab) as client:
        client.sendall(HOSTNAME * 2 + bytes(4) + HOSTNAME)

        assert [read(client)[1] for _ in range(2)] == [b"\0\0\0\x07virtlab\0"] * 2
        assert is_dropped(client)


def test_half_a_packet_waits_for_its_rest(lab: Any) -> None:
    with connect(lab) as good, connect(lab) as slow:
        slow.sendall(HOSTNAME[:17])
        assert is_served(good)

        slow.sendall(HOSTNAME[17:])

        assert read(slow)[0] == 0


def test_a_client_that_dies_with_an_answer_under_way_is_forgotten(lab: Any) -> None:
    for _ in range(20):
        client = connect(lab)
        client.sendall(call(7) * 50)
        client.close()

    with connect(lab) as good:
        assert is_served(good)
        assert lab.within(lambda: len(list(lab.server.sockets()))) == 1


def test_calls_of_one_read_are_answered_in_order_and_in_one_go(lab: Any) -> None:
    with connect(lab) as client:
        client.sendall(b"".join(call(59, serial=serial) for serial in range(1, 50)))

        serials = []
        for _ in range(49):
            data = exactly(client, 40)
            serials.append(struct.unpack_from(">I", data, 20)[0])

        assert serials == list(range(1, 50))


def test_each_call_is_charged_and_told(lab: Any) -> None:
    with connect(lab) as client:
        assert is_served(client)
        client.sendall(call(23, b"\0\0\0\x01x\0\0\0"))
        assert read(client)[0] == 1

    calls = lab.within(lambda: lab.recorder.timeline(None)).calls
    assert [(one.time_ns, one.procedure, one.detail, one.error) for one in calls[2:]] == [
        (300_000, "virConnectGetHostname", "", None),
        (
            400_000,
            "virDomainLookupByName",
            "name=x",
            "Domain not found: no domain with matching name 'x'",
        ),
    ]


def test_other_users_may_connect_and_stale_sockets_are_replaced(build: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "libvirt-sock"))

    lab = build.Lab(tmp_path, build.scenario())

    with connect(lab) as client:
        assert is_served(client)
    for name in ("libvirt-sock", "libvirt-sock-ro"):
        mode = (tmp_path / name).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o777
    lab.stop()
    assert list(tmp_path.iterdir()) == []


def test_too_many_clients_are_turned_away_and_the_others_served(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtlab.hosts.simulated.server._CLIENTS_MAX", 3)
    clients = [connect(lab) for _ in range(3)]

    assert all(map(is_served, clients))
    with socket.socket(socket.AF_UNIX) as extra:
        extra.connect(str(lab.directory / "libvirt-sock"))
        assert is_dropped(extra)
    clients.pop().close()
    assert is_served(clients[0])
    with connect(lab) as next_one:
        assert is_served(next_one)
    for client in clients:
        client.close()
