"""What clients send, however broken, is answered or ends their connection; others go on."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from virtlab.libvirt_rpc import typed
from virtlab.libvirt_rpc.client import ClientConnection
from virtlab.libvirt_rpc.packet import PACKET_MAX
from virtlab.libvirt_rpc.values import DomainHandle

_ROOT = Path(__file__).parents[2]


class Client:
    """A connection of our own client on a real socket."""

    def __init__(self, lab: Any) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(lab.directory / "libvirt-sock"))
        self.protocol = ClientConnection()
        self.ask_bytes(self.protocol.open(), 2)

    def ask_bytes(self, data: bytes, answers: int) -> list[Any]:
        self.socket.sendall(data)
        got: list[Any] = []
        while len(got) < answers:
            received = self.socket.recv(65_536)
            assert received, "the server closed the connection"
            got += self.protocol.receive(received)
        return got

    def ask(self, name: str, *args: Any) -> Any:
        (answer,) = self.ask_bytes(self.protocol.call(name, *args), 1)
        return answer

    def refusal(self, name: str, *args: Any) -> tuple[int, str]:
        error = self.ask(name, *args).error
        assert error is not None
        return error.code, error.message


@pytest.fixture
def connect() -> Iterator[Callable[[Any], Client]]:
    """Connect clients to a lab; they leave when the test ends."""
    made: list[Client] = []

    def open_one(lab: Any) -> Client:
        made.append(Client(lab))
        return made[-1]

    yield open_one
    for client in made:
        client.socket.close()


def _handle(lab: Any, name: str) -> DomainHandle:
    guest = lab.host.guests[name]
    return DomainHandle(guest.name, guest.uuid, guest.id)


def test_twenty_thousand_mutated_packets_find_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz", "--packets", "20000", "--seed", "7"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "calls answered" in done.stdout


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("DOMAIN_GET_VCPUS", (16_385, 1), "maxinfo > REMOTE_VCPUINFO_MAX"),
        ("DOMAIN_GET_VCPUS", (1, (1 << 31) - 1), "maxinfo * maplen > REMOTE_CPUMAPS_MAX"),
        ("DOMAIN_GET_VCPUS", (2, -1), "maxinfo must be non-negative"),
        ("DOMAIN_GET_VCPU_PIN_INFO", (16_385, 1, 0), "ncpumaps > REMOTE_VCPUINFO_MAX"),
        ("DOMAIN_GET_VCPU_PIN_INFO", (2, 1 << 30, 0), "maxinfo * maplen > REMOTE_CPUMAPS_MAX"),
        ("DOMAIN_GET_VCPU_PIN_INFO", (1, -1, 0), "maplen must be non-negative"),
        ("DOMAIN_GET_EMULATOR_PIN_INFO", (-1, 0), "maplen must be non-negative"),
        ("DOMAIN_GET_CPU_STATS", (3, 0, 129, 0), "ncpus too large"),
        ("DOMAIN_GET_SCHEDULER_PARAMETERS", (17,), "nparams too large"),
        ("DOMAIN_GET_SCHEDULER_PARAMETERS", (-1,), "nparams must be non-negative"),
        ("DOMAIN_MEMORY_STATS", (1025, 0), "maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX"),
        ("DOMAIN_GET_DISK_ERRORS", (257, 0), "maxerrors too large"),
    ],
)
def test_more_than_a_reply_about_a_domain_holds_is_refused(
    lab: Any, connect: Any, name: str, args: tuple[int, ...], message: str
) -> None:
    client = connect(lab)

    code, said = client.refusal(name, _handle(lab, "aos_vm1"), *args)

    assert (code, said) == (1, f"internal error: {message}")
    assert client.ask("CONNECT_GET_HOSTNAME").results == ("virtlab",)


@pytest.mark.parametrize(
    ("name", "args", "refusal"),
    [
        ("CONNECT_LIST_DOMAINS", (16_385,), (39, "maxids > REMOTE_DOMAIN_LIST_MAX")),
        ("CONNECT_LIST_DEFINED_DOMAINS", (-1,), (39, "maxnames must be non-negative")),
        ("CONNECT_LIST_SECRETS", (16_385,), (39, "maxuuids > REMOTE_SECRET_LIST_MAX")),
        ("NODE_LIST_DEVICES", (None, 65_537, 0), (39, "maxnames > REMOTE_NODE_DEVICE_LIST_MAX")),
        ("NODE_GET_CELLS_FREE_MEMORY", (0, 1025), (39, "maxcells > REMOTE_NODE_MAX_CELLS")),
        ("NODE_GET_MEMORY_PARAMETERS", (65, 0), (1, "internal error: nparams too large")),
        (
            "NODE_GET_FREE_PAGES",
            ([4] * 1024, 0, 2, 0),
            (1, "internal error: the result won't fit into REMOTE_NODE_MAX_CELLS"),
        ),
    ],
)
def test_more_than_a_reply_about_the_host_holds_is_refused(
    lab: Any, connect: Any, name: str, args: tuple[Any, ...], refusal: tuple[int, str]
) -> None:
    client = connect(lab)

    assert client.refusal(name, *args) == refusal
    assert client.ask("CONNECT_GET_HOSTNAME").results == ("virtlab",)


def test_cpu_maps_longer_than_a_reply_are_refused_before_they_are_made(
    lab: Any, connect: Any
) -> None:
    client = connect(lab)

    refused = client.refusal("DOMAIN_GET_EMULATOR_PIN_INFO", _handle(lab, "aos_vm1"), 1 << 30, 0)

    assert refused == (39, "Unable to encode message payload")


def test_a_record_of_more_values_than_the_protocol_allows_is_refused(
    lab: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed, "STATS_PARAMS_MAX", 10)
    client = connect(lab)

    refused = client.refusal("CONNECT_GET_ALL_DOMAIN_STATS", [], 0, 0)

    assert refused == (39, "Unable to encode message payload")
    assert client.ask("CONNECT_GET_HOSTNAME").results == ("virtlab",)


def test_lists_of_more_than_16384_domains_are_refused(
    build: Any, make_lab: Any, connect: Any
) -> None:
    guests = [build.guest(f"g{number}", running=False) for number in range(16_385)]
    lab = make_lab(build.scenario(*guests, events=()))
    client = connect(lab)

    refused = [
        client.refusal("CONNECT_LIST_ALL_DOMAINS", 1, 0),
        client.refusal("CONNECT_LIST_ALL_DOMAINS", 0, 0),
        client.refusal("CONNECT_GET_ALL_DOMAIN_STATS", [], 1, 0),
    ]

    too_many = (1, "internal error: Too many domains '16385' for limit '16384'")
    assert refused == [
        too_many,
        too_many,
        (
            1,
            "internal error: Number of domain stats records is 16385, which exceeds max limit: "
            "16384",
        ),
    ]
    assert client.ask("CONNECT_NUM_OF_DEFINED_DOMAINS").results == (16_385,)
    assert len(client.ask("CONNECT_LIST_DEFINED_DOMAINS", 16_384).results[0]) == 16_384


def test_a_call_of_almost_a_whole_packet_is_taken_and_one_over_it_ends_the_connection(
    lab: Any, connect: Any
) -> None:
    client = connect(lab)
    doms = [DomainHandle("n" * (2 << 20), bytes(16), -1)] * 15

    answered = client.ask("CONNECT_GET_ALL_DOMAIN_STATS", doms, 1, 0)

    assert answered.results == ([],)  # of none of them, as they are no domains
    client.socket.sendall(struct.pack(">I", PACKET_MAX + 1) + bytes(24))
    assert client.socket.recv(1) == b""


def test_large_calls_that_are_never_finished_do_not_add_up(lab: Any, connect: Any) -> None:
    good, hoarders = connect(lab), [connect(lab) for _ in range(4)]
    begun = struct.pack(">I", PACKET_MAX) + bytes(30 << 20)
    for hoarder in hoarders:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            hoarder.socket.sendall(begun)

    kept = lab.within(lambda: sum(one.unfinished_bytes for one in lab.server._clients.values()))

    assert kept <= 64 << 20
    assert good.ask("CONNECT_GET_HOSTNAME").results == ("virtlab",)


def test_well_behaved_clients_are_served_beside_hostile_and_dying_ones(
    lab: Any, connect: Any
) -> None:
    good = [connect(lab) for _ in range(3)]
    stop = threading.Event()
    attackers = [
        threading.Thread(target=_attack, args=(lab, stop, Random(seed), how))
        for seed, how in enumerate((_garbage, _endless, _dying, _deaf))
    ]
    for attacker in attackers:
        attacker.start()
    try:
        for round_ in range(150):
            for client in good:
                dom = _handle(lab, "aos_vm1")
                assert client.ask("DOMAIN_GET_INFO", dom).results[0] == 1, round_
    finally:
        stop.set()
        for attacker in attackers:
            attacker.join()

    # What a packet that never ends took is given back with it; its successor may be there already.
    kept = lab.within(lambda: sum(one.unfinished_bytes for one in lab.server._clients.values()))
    assert kept <= 2 * (4 + 64 * (1 << 17))


def test_a_client_may_not_have_any_number_of_calls_wait_for_a_lock(lab: Any, connect: Any) -> None:
    client = connect(lab)
    lab.within(lambda: lab.host.guests["aos_vm1"].block(None))
    args = ("DOMAIN_SET_MEMORY", _handle(lab, "aos_vm1"), 400_000)

    client.socket.sendall(b"".join([client.protocol.call(*args) for _ in range(1000)]))
    code, said = client.refusal(*args)
    lab.move(40)
    late = client.ask_bytes(b"", 1000)

    assert (code, said) == (9, "operation failed: 1000 calls of this client wait already")
    assert {answer.error.code for answer in late} == {68}
    assert lab.within(lambda: lab.server.next_word_ns) is None


def test_calls_that_wait_for_a_lock_may_not_keep_any_number_of_bytes(
    lab: Any, connect: Any
) -> None:
    client = connect(lab)
    lab.within(lambda: lab.host.guests["aos_vm1"].block(None))
    args = ("DOMAIN_SET_METADATA", _handle(lab, "aos_vm1"), 0, "x" * (3 << 20), None, None, 1)

    client.socket.sendall(client.protocol.call(*args))
    code, said = client.refusal(*args)
    lab.move(40)
    (late,) = client.ask_bytes(b"", 1)

    assert code == 9
    assert said.startswith("operation failed: calls of this client wait already with 31457")
    assert late.error.code == 68


def test_calls_that_wait_go_with_their_client(lab: Any, connect: Any) -> None:
    client, watcher = connect(lab), connect(lab)
    lab.within(lambda: lab.host.guests["aos_vm1"].block(None))
    events = lab.within(lambda: len(lab.host.queue))
    wire = client.protocol.call("DOMAIN_SET_MEMORY", _handle(lab, "aos_vm1"), 400_000)
    client.socket.sendall(wire * 3)
    client.ask("CONNECT_GET_HOSTNAME")
    waited = lab.within(lambda: lab.server.next_word_ns)

    client.socket.close()
    watcher.ask("CONNECT_GET_HOSTNAME")

    assert waited is not None
    assert lab.within(lambda: lab.server.next_word_ns) is None
    assert lab.within(lambda: len(lab.host.queue)) <= events


def test_answers_that_wait_for_room_wait_no_longer_than_that(lab: Any, connect: Any) -> None:
    client = connect(lab)
    lab.within(lambda: lab.host.guests["aos_vm1"].block(None))
    dom, other = _handle(lab, "aos_vm1"), _handle(lab, "aos_vm3")
    client.ask("DOMAIN_SET_METADATA", other, 0, "x" * 1_000_000, None, None, 1)
    late = client.protocol.call("DOMAIN_SET_MEMORY", dom, 400_000)
    large = [client.protocol.call("DOMAIN_GET_XML_DESC", other, 0) for _ in range(10)]
    client.socket.sendall(late + b"".join(large))  # of which nothing is read yet
    while not lab.within(lambda: any(one.is_full for one in lab.server._clients.values())):
        pass

    lab.move(31)
    answers = client.ask_bytes(b"", 11)

    assert sorted(0 if one.error is None else one.error.code for one in answers) == [0] * 10 + [68]


def test_more_answers_than_may_wait_all_arrive_at_a_client_that_reads(
    lab: Any, connect: Any
) -> None:
    client = connect(lab)
    dom = _handle(lab, "aos_vm1")
    client.ask("DOMAIN_SET_METADATA", dom, 0, "x" * 1_000_000, None, None, 1)
    calls = [client.protocol.call("DOMAIN_GET_XML_DESC", dom, 0) for _ in range(70)]

    answers = client.ask_bytes(b"".join(calls), 70)  # 70 MB, of which 64 MiB may wait

    assert {len(answer.results.xml) > 1_000_000 for answer in answers} == {True}


def test_a_client_with_many_calls_lets_others_have_their_turn(lab: Any, connect: Any) -> None:
    many, one = connect(lab), connect(lab)
    calls = [many.protocol.call("CONNECT_GET_HOSTNAME") for _ in range(500)]
    single = one.protocol.call("CONNECT_GET_URI")

    def both() -> None:  # before the server looks at either
        many.socket.sendall(b"".join(calls))
        one.socket.sendall(single)

    lab.within(both)
    many.ask_bytes(b"", 500)
    one.ask_bytes(b"", 1)

    log = lab.within(lambda: lab.recorder.timeline(None)).calls
    asked = [call.procedure for call in log if call.procedure != "virConnectOpen"]
    assert asked.index("virConnectGetURI") < 20
    assert asked.count("virConnectGetHostname") == 500


def _attack(
    lab: Any, stop: threading.Event, rng: Random, how: Callable[[socket.socket, Random], None]
) -> None:
    while not stop.is_set():
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.settimeout(0.2)
            client.connect(str(lab.directory / "libvirt-sock"))
            how(client, rng)


def _garbage(client: socket.socket, rng: Random) -> None:
    client.sendall(struct.pack(">I", rng.randrange(28, 4000)) + rng.randbytes(4000))


def _endless(client: socket.socket, rng: Random) -> None:
    client.sendall(struct.pack(">I", 33_554_436))
    for _ in range(64):
        client.sendall(bytes(1 << 17))


def _dying(client: socket.socket, rng: Random) -> None:
    protocol = ClientConnection()
    wire = protocol.open() + protocol.call("CONNECT_GET_CAPABILITIES") * 40
    client.sendall(wire[: rng.randrange(len(wire))])


def _deaf(client: socket.socket, rng: Random) -> None:
    protocol = ClientConnection()
    client.sendall(protocol.open())
    for _ in range(200):
        client.sendall(protocol.call("CONNECT_GET_CAPABILITIES") * 50)
