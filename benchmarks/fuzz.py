"""Mutated packets against codec, session and driver of a simulated host, in process.

    python -m benchmarks.fuzz [--packets N] [--seed N]      mutate a corpus of valid calls
    python -m benchmarks.fuzz --guided SECONDS              atheris, guided by coverage

The corpus holds calls of every declared procedure with values that fit their shapes. Streams of
them are cut short, grown, bent, reordered and cut into pieces; some texts are of those that take
long where they are read badly. A finding is whatever a client must
not be able to cause: an exception that is none of the protocol's, a call without an answer, an
answer that takes longer than a second, memory that grows and grows. The line printed for a finding
repeats it.
"""

from __future__ import annotations

import argparse
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.crowd import crowd
from benchmarks.figure import Figure
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import DomainEvent, Subscriptions
from virtlab.libvirt_rpc import errors, packet, xdr
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.packet import encode_packet
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.libvirt_rpc.session import ServerConnection
from virtlab.libvirt_rpc.structs import Struct
from virtlab.libvirt_rpc.typed import Params, ParamType
from virtlab.libvirt_rpc.values import DOMAIN, DomainHandle
from virtlab.libvirt_rpc.xdr import LimitError
from virtlab.simulator.host import SimulatedHost

PACKETS = 1_000_000
_STREAMS_A_HOST = 2_000  # then a fresh one, as clients may define guests
_CALL_NS = 100_000
_SLOW_S = 1.0
_EDGES = (0, 1, 2, 3, 4, 7, 8, 63, 127, 255, 256, 4096, 16_384, 16_385, 1 << 20, (1 << 31) - 1)
_WORDS = (*_EDGES, 1 << 31, (1 << 32) - 1, (1 << 32) - 2)
_NAMES = ("guest-00001", "guest-00002", "nobody", "", "cpu_shares", "vcpu_quota", "\N{SNOWMAN}")
_XML = (
    "<domain type='kvm'><name>{name}</name>{uuid}<memory>{kib}</memory><vcpu>{vcpus}</vcpu>"
    "<cputune><vcpupin vcpu='0' cpuset='0-1'/></cputune><os><type>hvm</type></os></domain>"
)
_LARGE_SHARE = 0.02  # of the texts
_LARGE_DOCUMENTS_SHARE = 0.3
_PARAMETERS = {
    "cpu_shares": ParamType.ULLONG,
    "vcpu_period": ParamType.ULLONG,
    "vcpu_quota": ParamType.LLONG,
    "emulator_quota": ParamType.LLONG,
    "hard_limit": ParamType.ULLONG,
    "numa_mode": ParamType.INT,
    "numa_nodeset": ParamType.STRING,
    "weight": ParamType.UINT,
    "nothing": ParamType.INT,
}
# What handlers take, by the name of the argument: refusals alone would be a thin corpus.
_LIKELY: dict[str, tuple[Any, ...]] = {
    "flags": (0, 0, 0, 1, 2, 3, 4),
    "memory": (65_536, 300_000, 524_288),
    "vcpu": (0, 1),
    "nvcpus": (1, 2),
    "cpumap": (b"\x01", b"\x0f", b"\x02\0"),
    "start_cpu": (-1, 0, 1),
    "ncpus": (0, 1, 4),
    "nparams": (0, 2, 3, 9, 16),
    "period": (0, 1, 5),
    "uri": ("urn:a", "urn:b"),
    "key": ("k",),
    "metadata": (None, "<a/>", "a title"),
    "path": ("vda", ""),
    "device": ("vnet0", "vnet1"),
    "new_name": ("n0", "n1"),
    "arch": ("x86_64",),
    "eventID": (0, 13, 17, 23),
    "callbackID": (0, 1, 2),
}


class Target:
    """A simulated host, and what serves one client of it, without a socket."""

    def __init__(self) -> None:
        self.host = SimulatedHost(crowd(6, 2, 4, seconds=1))
        self.host.advance(0)
        self.driver = SimulatedDriver(self.host)
        self.handles = [
            DomainHandle(guest.name, guest.uuid, guest.id) for guest in self.host.guests.values()
        ]
        self.calls = 0

    def serve(self, pieces: list[bytes]) -> None:
        """Serve one client that sends these pieces and leaves."""
        session, subscriptions = ServerConnection(), Subscriptions()
        handlers = self.driver.handlers_for(subscriptions)
        events: list[DomainEvent] = []
        self.driver.events.sink = events.append
        try:
            for piece in pieces:
                for call in session.receive(piece):
                    self.calls += 1
                    self.host.advance(self.host.now_ns + _CALL_NS)
                    call.detail()
                    self._answer(session, handlers, call)
                    for event in events:
                        for procedure, values in subscriptions.messages(event):
                            session.send_event(procedure, values)
                    events.clear()
                session.data_to_send()
        except ProtocolError:
            pass  # the client is dropped

    def _answer(self, session: ServerConnection, handlers: Any, call: Any) -> None:
        if call.refusal is None:
            began = time.perf_counter()
            try:
                session.reply(call, handlers[call.procedure.name](*call.args))
            except LibvirtError as error:
                session.reply_error(call, error)
            except LimitError:
                session.reply_error(call, errors.encode_error())
            if time.perf_counter() - began > _SLOW_S:
                raise AssertionError(f"{call.procedure.name} took longer than {_SLOW_S} s")
        if not call.answered:
            raise AssertionError(f"{call.procedure.name} has no answer")


def value_of(shape: Any, rng: Random, handles: list[DomainHandle]) -> Any:
    """Return a value that fits a declared shape."""

    def again(inner: Any) -> Any:
        return value_of(inner, rng, handles)

    def field(name: str, inner: Any) -> Any:
        if name in ("xml", "metadata") and rng.random() < _LARGE_DOCUMENTS_SHARE:
            return _large_text(rng)
        if rng.random() < 0.6:
            if name == "type" and isinstance(inner, xdr.Scalar):
                return rng.choice((0, 1, 2, 2))  # of a note; mostly an element
            if name in _LIKELY:
                return rng.choice(_LIKELY[name])
            if name == "xml":
                return _description(rng, handles)
        return again(inner)

    if shape is DOMAIN:
        return rng.choice(handles)
    if isinstance(shape, Struct):
        return tuple(field(name, inner) for name, inner in shape.types.items())
    if isinstance(shape, xdr.Scalar):
        letter = shape.format_letter
        if letter == "d":
            return rng.choice((0.0, 1.5, -1e300))
        value = rng.choice(_EDGES) if rng.random() < 0.7 else rng.getrandbits(31)
        return -value if letter in "iq" and rng.random() < 0.2 else value
    if isinstance(shape, xdr.Bool):
        return rng.random() < 0.5
    if isinstance(shape, xdr.String):
        text = _large_text(rng) if rng.random() < _LARGE_SHARE else rng.choice(_NAMES)
        return text[: shape.limit]
    if isinstance(shape, xdr.Opaque):
        return rng.randbytes(rng.randrange(min(shape.limit, 16) + 1))
    if isinstance(shape, xdr.FixedOpaque):
        return rng.choice(handles).uuid if shape.size_min == 16 else bytes(shape.size_min)
    if isinstance(shape, Params):
        return [_parameter(rng) for _ in range(rng.randrange(3))]
    if isinstance(shape, xdr.Array):
        return [again(shape.item) for _ in range(rng.randrange(min(shape.limit, 3) + 1))]
    if isinstance(shape, xdr.Optional):
        return again(shape.item) if rng.random() < 0.5 else None
    assert isinstance(shape, xdr.Chars), shape
    return "chars"


def _large_text(rng: Random) -> str:
    """Return a text of the kinds that cost more than their length where they are read badly."""
    size = rng.randrange(1_000, 100_000)
    return rng.choice(
        (
            "<" + "a" * size + "><b",
            "<a>" * (size // 3),
            "<domain " + " ".join(f"xmlns:a{n}='{n}' a{n}:b=''" for n in range(size // 24)) + "/>",
            "0-16383," * (size // 8) + "0",
            "\N{SNOWMAN}" * (size // 3),
        )
    )


def _parameter(rng: Random) -> tuple[str, int, Any]:
    """Return a typed parameter, whose type is mostly that which libvirt wants."""
    name = rng.choice(tuple(_PARAMETERS))
    kind = _PARAMETERS[name] if rng.random() < 0.8 else rng.choice(list(ParamType))
    if kind is ParamType.STRING:
        return (name, kind, _large_text(rng) if rng.random() < _LARGE_SHARE else "0-1")
    if kind is ParamType.DOUBLE:
        return (name, kind, 1.5)
    value = rng.choice(_EDGES)
    signed = kind in (ParamType.INT, ParamType.LLONG)
    return (name, kind, -value if signed and rng.random() < 0.3 else value)


def _description(rng: Random, handles: list[DomainHandle]) -> str:
    """Return a description of one of the guests, or of another one."""
    known = rng.choice(handles)
    uuid = f"<uuid>{known.uuid.hex()}</uuid>"
    name, uuid = (known.name, uuid) if rng.random() < 0.5 else (f"n{rng.randrange(9)}", "")
    return _XML.format(name=name, uuid=uuid, kib=65_536, vcpus=rng.randrange(1, 5))


def opening() -> list[bytearray]:
    """Return the packets that open a connection."""
    uri = BY_NAME["CONNECT_OPEN"].encode_args(("qemu:///system", 0))
    return [
        bytearray(encode_packet(66, packet.CALL, 1)),
        bytearray(encode_packet(1, packet.CALL, 2, uri)),
    ]


def valid_packet(rng: Random, handles: list[DomainHandle]) -> bytearray:
    """Return a call of some procedure, or a ping."""
    if rng.random() < 0.02:
        ping = encode_packet(
            packet.KEEPALIVE_PING, packet.MESSAGE, 0, program=packet.KEEPALIVE_PROGRAM
        )
        return bytearray(ping)
    procedure = _PROCEDURES[rng.randrange(len(_PROCEDURES))]
    payload = procedure.encode_args(value_of(procedure.args, rng, handles))
    return bytearray(encode_packet(procedure.number, packet.CALL, rng.getrandbits(16), payload))


_PROCEDURES = [procedure for name, procedure in sorted(BY_NAME.items()) if name != "CONNECT_CLOSE"]


def mutate(data: bytearray, rng: Random) -> None:
    """Bend one packet; its length word mostly follows, so that what lies behind it is read."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        # Mostly behind the header: a client that breaks the framing is dropped and learns nothing.
        low = packet.PACKET_MIN if len(data) > packet.PACKET_MIN and rng.random() < 0.9 else 0
        at = rng.randrange(low, len(data)) if data else 0
        match rng.randrange(6):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                word = at // 4 * 4
                data[word : word + 4] = struct.pack(">I", rng.choice(_WORDS))
            case 2:
                del data[at : at + rng.choice((1, 4, 4, 8, 16))]
            case 3:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 4, 8, 16)))
            case 4:
                data[at:at] = data[at : at + 4 * rng.randrange(1, 9)]
            case _:
                word = at // 4 * 4
                data[word : word + 4] = rng.randbytes(4)
    if len(data) >= 4 and rng.random() < 0.97:
        data[:4] = struct.pack(">I", max(len(data), packet.PACKET_MIN))


def stream(rng: Random, handles: list[DomainHandle]) -> tuple[list[bytes], int]:
    """Return what one client sends, cut into pieces, and the number of packets in it."""
    packets = opening() if rng.random() < 0.95 else []
    packets += [valid_packet(rng, handles) for _ in range(rng.randrange(1, 24))]
    for data in packets[2:]:
        if rng.random() < 0.6:
            mutate(data, rng)
    if rng.random() < 0.05:
        rng.shuffle(packets)
    wire = b"".join(packets)
    if rng.random() < 0.05:
        wire = wire[: rng.randrange(len(wire) + 1)]
    cuts = sorted(rng.randrange(len(wire) + 1) for _ in range(rng.choice((0, 0, 1, 3, 9))))
    edges = [0, *cuts, len(wire)]
    return [wire[a:b] for a, b in pairwise(edges)], len(packets)


def run(packets: int, seed: int, say: Callable[[str], None]) -> tuple[int, int, float, int]:
    """Send packets; return their number, that of calls, packets a second and KiB of growth.

    Raises:
        SystemExit: something was found; what repeats it was printed.
    """
    sent, calls, number = 0, 0, 0
    target, settled_kib = Target(), 0
    began = time.perf_counter()
    while sent < packets:
        if number and number % _STREAMS_A_HOST == 0:
            calls += target.calls
            target = Target()
            say(f"{sent:,} packets, {_peak_kib() // 1024} MiB at most")
            settled_kib = settled_kib or _peak_kib()
        rng = Random(f"{seed} {number}")
        pieces, count = stream(rng, target.handles)
        try:
            target.serve(pieces)
        except BaseException:
            print(f"found in stream {number} of seed {seed}: {[p.hex() for p in pieces]}")
            raise
        sent, number = sent + count, number + 1
    grown_kib = _peak_kib() - settled_kib if settled_kib else 0
    return sent, calls + target.calls, sent / (time.perf_counter() - began), grown_kib


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def a_million() -> list[Figure]:
    sent, calls, rate, grown_kib = run(PACKETS, 1, lambda text: print(text, file=sys.stderr))
    note = f"{sent:,} packets, of which {calls:,} were calls; nothing found"
    return [
        Figure("mutated packets a second", rate, "", note=note),
        Figure("memory that they cost for good", grown_kib / 1024, "MiB", 64),
    ]


def guided(seconds: int) -> None:
    """Let atheris look for inputs that reach further, until time is up or something is found."""
    import atheris

    target = [Target()]
    served = [0]

    def one(data: bytes) -> None:
        served[0] += 1
        if served[0] % _STREAMS_A_HOST == 0:
            target[0] = Target()
        target[0].serve([b"".join(opening()), data])

    atheris.instrument_all()
    rng = Random("corpus")
    with tempfile.TemporaryDirectory() as corpus:
        for number in range(4 * len(_PROCEDURES)):
            data = b"".join(valid_packet(rng, target[0].handles) for _ in range(2))
            (Path(corpus) / str(number)).write_bytes(data)
        limits = [f"-max_total_time={seconds}", "-max_len=512"]
        atheris.Setup([sys.argv[0], *limits, corpus], one)
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--packets", type=int, default=PACKETS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", type=int, metavar="SECONDS")
    options = parser.parse_args()
    if options.guided:
        guided(options.guided)
        return
    sent, calls, rate, grown_kib = run(
        options.packets, options.seed, lambda text: print(text, file=sys.stderr)
    )
    print(f"{sent} packets, {calls} calls answered, {rate:.0f} a second, {grown_kib} KiB grown")


if __name__ == "__main__":
    main()
