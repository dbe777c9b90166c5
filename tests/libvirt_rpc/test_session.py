"""One connection: order, refusals, events, framing."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.libvirt_rpc import errors, packet, session
from virtlab.libvirt_rpc.client import Answer, ClientConnection, Event
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.packet import encode_packet
from virtlab.libvirt_rpc.session import ServerConnection, State
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.libvirt_rpc.xdr import LimitError

DOM = DomainHandle("web", bytes(range(16)), 1)
DOM_WIRE = b"\0\0\0\x03web\0" + bytes(range(16)) + b"\0\0\0\x01"
INFO = (1, 1048576, 524288, 2, 5)
INFO_OF_NODE = ("x86_64", 1048576, 4, 2000, 1, 1, 4, 1)


def opened(*, read_only: bool = False) -> tuple[ServerConnection, ClientConnection]:
    server, client = ServerConnection(read_only=read_only), ClientConnection()
    for call in server.receive(client.open()):
        server.reply(call, ([0],) if call.procedure.name == "AUTH_LIST" else ())
    client.receive(server.data_to_send())
    return server, client


def refusal(server: ServerConnection, client: ClientConnection, data: bytes) -> LibvirtError:
    """Send a call that must be refused; return the error as the client sees it."""
    (call,) = server.receive(data)
    (answer,) = client.receive(server.data_to_send())
    assert isinstance(answer, Answer) and answer.error is not None and call.refusal is not None
    assert call.refusal.message == answer.error.message
    return answer.error


def header(length: int, procedure: int, type_: int, serial: int, status: int = 0) -> bytes:
    return struct.pack(">7I", length, 0x20008086, 1, procedure, type_, serial, status)


def test_the_opening_is_these_bytes() -> None:
    server = ServerConnection()
    auth_list = header(28, 66, 0, 1)
    connect_open = (
        header(28 + 28, 1, 0, 2) + b"\0\0\0\1" + b"\0\0\0\x0eqemu:///system\0\0" + b"\0\0\0\0"
    )

    first, second = server.receive(auth_list + connect_open)
    server.reply(first, ([0],))
    server.reply(second)

    assert second.args == ("qemu:///system", 0)
    assert server.data_to_send() == (
        header(36, 66, 1, 1) + b"\0\0\0\1\0\0\0\0" + header(28, 1, 1, 2)
    )
    assert server.state is State.OPEN


def test_a_pin_is_these_bytes() -> None:
    server, _ = opened()
    wire = header(28 + 28 + 12, 26, 0, 9) + DOM_WIRE + b"\0\0\0\x02" + b"\0\0\0\1\x05\0\0\0"

    (call,) = server.receive(wire)

    assert (call.args.dom, call.args.vcpu, call.args.cpumap) == (DOM, 2, b"\x05")
    assert call.guest == "web"
    assert call.detail() == "web vcpu=2 map=0x5"


def test_an_error_reply_is_these_bytes() -> None:
    server, client = opened()
    (call,) = server.receive(client.call("DOMAIN_LOOKUP_BY_ID", 9))

    server.reply_error(call, errors.no_domain_with_id(9))

    template, detail = b"Domain not found: %s", b"no domain with matching id 9"
    message = b"Domain not found: no domain with matching id 9"
    body = (
        *(b"\0\0\0\x2a\0\0\0\x0a", b"\0\0\0\1\0\0\0\x2e", message, b"\0\0"),
        *(b"\0\0\0\2", b"\0\0\0\0"),
        *(b"\0\0\0\1\0\0\0\x14", template, b"\0\0\0\1\0\0\0\x1c", detail),
        *(b"\0\0\0\0", b"\xff" * 8, b"\0\0\0\0"),
    )
    payload = b"".join(body)
    assert server.data_to_send() == header(28 + len(payload), 22, 1, 3, 1) + payload


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("name", "args", "kind"),
    [("NODE_GET_INFO", (), "hypervisor "), ("NETWORK_LOOKUP_BY_NAME", ("x",), "")],
)
def test_calls_before_the_opening_are_refused_whether_ways_to_log_in_were_asked_for_or_not(
    asked: bool, name: str, args: tuple[Any, ...], kind: str
) -> None:
    server, client = ServerConnection(), ClientConnection()
    if asked:
        server.reply(next(server.receive(client.call("AUTH_LIST"))), ([0],))
        client.receive(server.data_to_send())

    early = refusal(server, client, client.call(name, *args))
    (opening,) = server.receive(client.call("CONNECT_OPEN", None, 0))

    assert (early.code, early.domain) == (1, 7)
    assert early.message == f"internal error: {kind}connection not open"
    assert opening.refusal is None


def test_calls_behind_an_open_that_is_refused_are_out_of_order() -> None:
    server, client = ServerConnection(), ClientConnection()
    wire = client.open("xen:///") + client.call("NODE_GET_INFO") + client.open()

    refused = []
    for call in server.receive(wire + client.call("NODE_GET_INFO")):
        if call.refusal is not None:
            refused.append((call.serial, call.refusal.message))
        elif call.args == ("xen:///", 0):
            server.reply_error(call, errors.no_connection("xen:///"))
        else:
            server.reply(call, {66: ([0],), 1: ()}.get(call.procedure.number, INFO_OF_NODE))

    assert refused == [(3, "internal error: hypervisor connection not open")]


def test_a_second_open_is_refused_and_changes_nothing() -> None:
    server, client = opened()

    error = refusal(server, client, client.call("CONNECT_OPEN", None, 0))

    assert error.message == "internal error: connection already open"
    assert server.state is State.OPEN


def test_a_refused_open_can_be_tried_again() -> None:
    server, client = ServerConnection(), ClientConnection()
    auth, first = server.receive(client.open("xen:///"))
    server.reply(auth, ([0],))
    server.reply_error(first, errors.internal_error("no connection"))

    (second,) = server.receive(client.call("CONNECT_OPEN", "qemu:///system", 0))

    assert second.refusal is None


@pytest.mark.parametrize("is_open", [True, False])
def test_nothing_is_served_or_refused_after_the_close(is_open: bool) -> None:
    server, client = opened() if is_open else (ServerConnection(), ClientConnection())

    seen = []
    for call in server.receive(client.call("CONNECT_CLOSE") + client.call("NODE_GET_INFO")):
        seen.append(call.procedure.name)
        server.reply(call)

    assert seen == ["CONNECT_CLOSE"]
    assert list(server.receive(client.call("NODE_GET_INFO") + client.ping())) == []
    assert len(client.receive(server.data_to_send())) == 1
    assert server.state is State.CLOSED


@pytest.mark.parametrize(
    ("name", "args", "function"),
    [
        ("DOMAIN_PIN_VCPU", (DOM, 0, b"\1"), "virDomainPinVcpu"),
        ("DOMAIN_SET_MEMORY", (DOM, 1), "virDomainSetMemory"),
        ("DOMAIN_DESTROY", (DOM,), "virDomainDestroy"),
        ("DOMAIN_SET_MEMORY_STATS_PERIOD", (DOM, 1, 0), "virDomainSetMemoryStatsPeriod"),
        ("DOMAIN_GET_HOSTNAME", (DOM, 0), "virDomainGetHostname"),
        ("DOMAIN_GET_TIME", (DOM, 0), "virDomainGetTime"),
        ("DOMAIN_GET_FSINFO", (DOM, 0), "virDomainGetFSInfo"),
        ("DOMAIN_GET_GUEST_INFO", (DOM, 0, 0), "virDomainGetGuestInfo"),
        ("DOMAIN_GET_GUEST_VCPUS", (DOM, 0), "virDomainGetGuestVcpus"),
        ("DOMAIN_GET_LAUNCH_SECURITY_INFO", (DOM, 0), "virDomainGetLaunchSecurityInfo"),
        ("DOMAIN_GET_VCPUS_FLAGS", (DOM, 8), "virDomainGetVcpusFlags"),
        ("DOMAIN_INTERFACE_ADDRESSES", (DOM, 1, 0), "virDomainInterfaceAddresses"),
        (
            "CONNECT_GET_DOMAIN_CAPABILITIES",
            (None, None, None, None, 0),
            "virConnectGetDomainCapabilities",
        ),
    ],
)
def test_a_read_only_connection_changes_nothing_and_sets_no_agent_to_work(
    name: str, args: tuple[Any, ...], function: str
) -> None:
    server, client = opened(read_only=True)

    error = refusal(server, client, client.call(name, *args))

    assert (error.code, error.domain) == (29, 20)
    assert error.message == f"operation forbidden: read only access prevents {function}"
    assert error.str1 == "operation forbidden: %s"
    assert next(server.receive(client.call("DOMAIN_GET_INFO", DOM))).refusal is None


@pytest.mark.parametrize("flags", [1, 3, 8])
def test_a_read_only_connection_is_shown_no_secrets_of_a_description(flags: int) -> None:
    server, client = opened(read_only=True)

    error = refusal(server, client, client.call("DOMAIN_GET_XML_DESC", DOM, flags))

    assert (error.code, error.domain) == (29, 20)
    assert error.message == "operation forbidden: virDomainGetXMLDesc with secure flag"
    (plain,) = server.receive(client.call("DOMAIN_GET_XML_DESC", DOM, 2))
    assert plain.refusal is None


def test_who_opens_the_driver_for_reading_only_changes_nothing() -> None:
    server, client = ServerConnection(), ClientConnection()
    wire = client.call("AUTH_LIST") + client.call("CONNECT_OPEN", "qemu:///system", 1)
    for call in server.receive(wire):
        server.reply(call, ([0],) if call.procedure.name == "AUTH_LIST" else ())
    client.receive(server.data_to_send())

    error = refusal(server, client, client.call("DOMAIN_DESTROY", DOM))

    assert error.message == "operation forbidden: read only access prevents virDomainDestroy"


@pytest.mark.parametrize(
    ("wire", "code", "message"),
    [
        (
            encode_packet(182, 0, 5),
            3,
            "this function is not supported by the connection driver: virDomainManagedSave",
        ),
        (
            encode_packet(443, 0, 5),
            3,
            "this function is not supported by the connection driver: virDomainFDAssociate",
        ),
        (encode_packet(444, 0, 5), 39, "unknown procedure: 444"),
        (encode_packet(-5, 0, 5), 39, "unknown procedure: -5"),
        (encode_packet(16, 0, 5, b"\0"), 39, "Unable to decode message payload"),
        (
            encode_packet(1, 0, 5, program=0x20008087),
            39,
            "Cannot find program 536903815 version 1",
        ),
        (encode_packet(16, 0, 5, version=2), 39, "Cannot find program 536903814 version 2"),
        (encode_packet(16, 4, 5), 39, "Unexpected message type 4"),
        (encode_packet(16, 0, 5, status=2), 39, "Unexpected message status 2"),
    ],
)
def test_what_cannot_be_served_is_refused_and_the_connection_lives(
    wire: bytes, code: int, message: str
) -> None:
    server, client = opened()

    (call,) = server.receive(wire)
    data = server.data_to_send()

    program, _, procedure, type_, serial, status = struct.unpack_from(">6I", data, 4)
    assert (type_, serial, status) == (packet.REPLY, 5, packet.STATUS_ERROR)
    assert (program, procedure) == struct.unpack_from(">I4xI", wire, 4)
    error = LibvirtError.from_wire(data[28:])
    assert (error.code, error.message) == (code, message)
    assert call.refusal is not None and call.detail() == ""
    assert next(server.receive(client.call("NODE_GET_INFO"))).refusal is None


@pytest.mark.parametrize("length", [0, 27, 33_554_437, 2**32 - 1])
def test_a_length_outside_the_limits_ends_the_connection(length: int) -> None:
    server = ServerConnection()

    with pytest.raises(ProtocolError, match=f"a packet announces {length} bytes; 28 to 33554436"):
        server.receive(struct.pack(">I", length))


def test_what_came_whole_before_a_broken_packet_is_still_served() -> None:
    server, client = opened()
    calls = server.receive(client.call("DOMAIN_GET_INFO", DOM) + bytes(4) + client.ping())

    server.reply(next(calls), INFO)

    with pytest.raises(ProtocolError, match="a packet announces 0 bytes"):
        next(calls)
    assert len(client.receive(server.data_to_send())) == 1
    with pytest.raises(ProtocolError, match="a packet announces 0 bytes"):
        server.receive(client.ping())


@pytest.mark.parametrize("type_", [1, 2, 3, 5, 6, 9])
def test_packets_that_no_client_sends_are_passed_over(type_: int) -> None:
    server, client = opened()
    wire = encode_packet(16, type_, 5) + client.call("DOMAIN_GET_INFO", DOM)

    (call,) = server.receive(wire)

    assert call.refusal is None and call.args == (DOM,)
    assert server.data_to_send() == b""


def test_a_ping_is_answered_without_a_call() -> None:
    server, client = opened()

    assert list(server.receive(client.ping())) == []
    assert client.receive(server.data_to_send()) == [Event("PONG", ())]


def test_events_follow_the_reply_of_the_call_that_caused_them() -> None:
    server, client = opened()
    first, second = server.receive(
        client.call("DOMAIN_SUSPEND", DOM) + client.call("DOMAIN_GET_INFO", DOM)
    )

    server.send_event("DOMAIN_EVENT_CALLBACK_LIFECYCLE", (7, DOM, 3, 0))
    before = server.data_to_send()
    server.reply(first)
    server.reply(second, INFO)
    server.send_event("DOMAIN_EVENT_CALLBACK_REBOOT", (8, DOM))
    seen = client.receive(server.data_to_send())

    assert before == b""
    assert [getattr(item, "name", "reply") for item in seen] == [
        "reply",
        "DOMAIN_EVENT_CALLBACK_LIFECYCLE",
        "reply",
        "DOMAIN_EVENT_CALLBACK_REBOOT",
    ]
    event = seen[1]
    assert isinstance(event, Event) and event.values == (7, DOM, 3, 0)


def test_events_do_not_wait_for_a_call_that_is_put_off() -> None:
    server, client = opened()
    (call,) = server.receive(client.call("DOMAIN_SUSPEND", DOM))

    server.send_event("DOMAIN_EVENT_CALLBACK_LIFECYCLE", (7, DOM, 3, 0))
    held = server.data_to_send()
    server.put_off(call)
    server.send_event("DOMAIN_EVENT_CALLBACK_REBOOT", (8, DOM))
    told = client.receive(server.data_to_send())
    server.reply(call)
    answered = client.receive(server.data_to_send())

    assert held == b""
    assert [item.name for item in told if isinstance(item, Event)] == [
        "DOMAIN_EVENT_CALLBACK_LIFECYCLE",
        "DOMAIN_EVENT_CALLBACK_REBOOT",
    ]
    assert [type(item) for item in answered] == [Answer]


def test_a_reply_over_the_packet_limit_is_not_sent_and_may_become_an_error() -> None:
    server, client = opened()
    (call,) = server.receive(client.call("CONNECT_LIST_ALL_DOMAINS", 1, 0))
    long = DomainHandle("n" * 4_000_000, bytes(16), 1)

    with pytest.raises(LimitError, match="36000224 bytes where a packet holds 33554436"):
        server.reply(call, ([long] * 9, 9))
    server.reply_error(call, errors.encode_error())

    (answer,) = client.receive(server.data_to_send())
    assert isinstance(answer, Answer) and answer.error is not None
    assert answer.error.message == "Unable to encode message payload"


def test_a_client_that_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "UNSENT_MAX", 1000)
    server, client = opened()

    for _ in range(20):
        server.send_event("DOMAIN_EVENT_CALLBACK_REBOOT", (8, DOM))

    with pytest.raises(ProtocolError, match="more than 1000 bytes wait"):
        server.data_to_send()
    with pytest.raises(ProtocolError, match="more than 1000 bytes wait"):
        server.receive(client.ping())


def test_a_call_is_answered_once() -> None:
    server, client = opened()
    (call,) = server.receive(client.call("DOMAIN_GET_INFO", DOM))
    server.reply(call, INFO)

    with pytest.raises(RuntimeError, match="DOMAIN_GET_INFO was answered before"):
        server.reply(call, INFO)


def test_a_name_of_any_bytes_and_length_can_be_refused_and_told() -> None:
    server, client = opened()
    name = b"\xff" * 4_000_000

    (call,) = server.receive(encode_packet(23, 0, 5, struct.pack(">I", len(name)) + name))
    server.reply_error(call, errors.no_domain_with_name(call.args.name))

    call.detail().encode()
    assert len(call.detail()) <= 200
    assert len(server.data_to_send()) < 1 << 20
    del client


@pytest.mark.parametrize(
    ("name", "args", "detail"),
    [
        ("CONNECT_GET_ALL_DOMAIN_STATS", ([], 9, 0), "doms=all stats=9 flags=0"),
        ("CONNECT_GET_ALL_DOMAIN_STATS", ([DOM], 9, 0), "doms=web stats=9 flags=0"),
        (
            "DOMAIN_SET_SCHEDULER_PARAMETERS",
            (DOM, [("vcpu_quota", 3, -1)]),
            "web vcpu_quota=-1",
        ),
        ("DOMAIN_LOOKUP_BY_UUID", (bytes(16),), "uuid=" + "0" * 32),
        ("NODE_GET_INFO", (), ""),
    ],
)
def test_a_call_describes_itself(name: str, args: tuple[Any, ...], detail: str) -> None:
    server, client = opened()

    (call,) = server.receive(client.call(name, *args))

    assert call.detail() == detail


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 600), max_size=12))
def test_any_fragmentation_yields_the_same_calls(cuts: list[int]) -> None:
    client = ClientConnection()
    wire = (
        client.open()
        + client.ping()
        + client.call("DOMAIN_GET_INFO", DOM)
        + client.call("DOMAIN_PIN_VCPU", DOM, 0, b"\1")
        + encode_packet(999, 0, 77)
    )
    server = ServerConnection()
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]

    calls = []
    for start, stop in pairwise(edges):
        for call in server.receive(wire[start:stop]):
            calls.append((call.procedure.number, call.args, call.serial))
            if call.procedure.number in (66, 1):
                server.reply(call, ([0],) if call.procedure.number == 66 else ())

    assert calls == [
        (66, (), 1),
        (1, ("qemu:///system", 0), 2),
        (16, (DOM,), 3),
        (26, (DOM, 0, b"\1"), 4),
        (999, (), 77),
    ]


_VALID = bytearray(
    ClientConnection().call("DOMAIN_PIN_VCPU", DOM, 0, b"\1")
    + ClientConnection().call("DOMAIN_SET_SCHEDULER_PARAMETERS", DOM, [("vcpu_quota", 3, -1)])
    + ClientConnection().call("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", 0, DOM)
    + ClientConnection().ping()
)


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(_VALID) - 1), st.integers(0, 255)), max_size=4),
    tail=st.binary(max_size=40),
)
def test_hostile_bytes_raise_protocol_errors_only(
    changes: list[tuple[int, int]], tail: bytes
) -> None:
    server, _ = opened()
    wire = _VALID.copy()
    for at, byte in changes:
        wire[at] = byte

    try:
        for call in server.receive(bytes(wire) + tail):
            call.detail()
            if call.refusal is None:
                server.reply_error(call, errors.no_support(call.procedure.function))
        server.data_to_send()
    except ProtocolError:
        pass
