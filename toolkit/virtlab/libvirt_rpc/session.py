"""The host's end of one connection: bytes in, calls out; results in, bytes out.

A client may ask how to prove who it is (AUTH_LIST: it need not), opens the driver (CONNECT_OPEN),
and only then may call the rest, until it takes leave (CONNECT_CLOSE). What is legal when is one
table, `_NEXT`. What the protocol alone can decide is refused here: calls out of order, those that a
read-only connection is denied, procedures that are not declared, payloads of another shape,
questions whose answer no reply can hold. Such a call still appears, with its `refusal`, so that it
can be logged. Packets that no client sends are passed over.

Calls are read one by one, each in the state in which the reply to the one before it left the
connection: a call behind an open that was refused is out of order, whenever its bytes came.

Events wait until no call is unanswered, or at least until the next reply has gone before them: a
client must not learn of what its call did before that call has returned. For a call that is put off
nothing waits.

Source: a libvirtd 9.0.0 that was sent the same packets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Final

from virtlab.libvirt_rpc import errors, packet
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.packet import Packet, PacketReader, encode_header, encode_packet
from virtlab.libvirt_rpc.procedures import (
    BY_NUMBER,
    LAST_NUMBER,
    MESSAGES_BY_NAME,
    resources,
    unknown_procedure,
)
from virtlab.libvirt_rpc.procedures.declaration import Values
from virtlab.libvirt_rpc.procedures.room import too_much
from virtlab.libvirt_rpc.xdr import DecodeError, LimitError

__all__ = ["UNSENT_MAX", "Call", "ServerConnection", "State"]

UNSENT_MAX: Final = 64 << 20  # bytes kept for a client that does not read: two replies of full size

_LARGE_BYTES: Final = 1 << 16  # a reply from this size on is not copied behind its header


class State(Enum):
    """How far a client has come."""

    CONNECTED = "connected"
    OPEN = "open"
    CLOSED = "closed"


_AUTH, _OPEN, _CLOSE, _OTHER = "auth", "open", "close", "other"
_KINDS = {66: _AUTH, 1: _OPEN, 2: _CLOSE}
_CONNECT_OPEN = 1
_OPEN_READ_ONLY = 1  # VIR_CONNECT_RO
# These are other drivers' than the hypervisor's.
_RESOURCES = frozenset(procedure.number for procedure in resources.PROCEDURES)

# (state, kind of call) -> the state after its results; what is not here is refused.
_NEXT = {
    (State.CONNECTED, _AUTH): State.CONNECTED,
    (State.CONNECTED, _OPEN): State.OPEN,
    (State.CONNECTED, _CLOSE): State.CLOSED,
    (State.OPEN, _AUTH): State.OPEN,
    (State.OPEN, _OTHER): State.OPEN,
    (State.OPEN, _CLOSE): State.CLOSED,
}


class ServerConnection:
    """One client's connection, seen from the host."""

    def __init__(self, *, read_only: bool = False) -> None:
        """Start a connection; `read_only` for one that came in by libvirt-sock-ro."""
        self.read_only = read_only
        self._only_reads = read_only  # whatever the client says when it opens the driver
        self.state = State.CONNECTED
        self._reader = PacketReader()
        self._packets: deque[Packet] = deque()  # received, but not yet turned into calls
        self._packet_bytes = 0
        self._unanswered = 0  # calls, without those that were put off
        self._events: list[bytes] = []  # wait for the reply in progress
        self._out: list[bytes] = []
        self._unsent = 0  # bytes in the two lists
        self._failure: str | None = None

    @property
    def unfinished_bytes(self) -> int:
        """Return how much was received of calls that are not complete, or not yet read."""
        return self._reader.pending + self._packet_bytes

    @property
    def has_packets(self) -> bool:
        """Tell whether `next_call` has something to do."""
        return bool(self._packets) or self._reader.failure is not None

    def receive(self, data: bytes) -> Iterator[Call]:
        """Take bytes; return an iterator over the calls, each to be answered before the next.

        It ends for now where `next_call` returns None, and raises what that raises.

        Raises:
            ProtocolError: the peer broke the framing or never reads; close its connection.
        """
        self._check()
        for item in self._reader.feed(data):
            self._packets.append(item)
            self._packet_bytes += len(item.payload)
        return iter(self.next_call, None)

    def next_call(self) -> Call | None:
        """Return the next call that was received whole; answer keepalive pings before it.

        Raises:
            ProtocolError: behind all that could be read the peer broke the framing.
        """
        while self._packets:
            item = self._packets.popleft()
            self._packet_bytes -= len(item.payload)
            if self.state is State.CLOSED:
                continue
            if item.program == packet.KEEPALIVE_PROGRAM:
                self._keepalive(item)
            elif item.type in (packet.CALL, packet.CALL_WITH_FDS):
                return self._call(item)
        if self._reader.failure is not None:
            raise ProtocolError(self._reader.failure)
        return None

    def put_off(self, call: Call) -> None:
        """Note that a call will be answered later: events no longer wait for its reply."""
        self._unanswered -= not call.waits
        call.waits = True
        if not self._unanswered:
            self._release_events()

    def reply(self, call: Call, results: Values = ()) -> None:
        """Answer a call with its results, in the declared order or by name.

        Raises:
            LimitError: the protocol cannot carry them; the call is still to be answered.
        """
        payload = call.procedure.encode_results(results)
        if len(payload) > packet.PACKET_MAX - packet.PACKET_MIN:
            raise LimitError(f"{len(payload)} bytes where a packet holds {packet.PACKET_MAX}")
        self._answer(call, payload, packet.STATUS_OK)
        if call.procedure.number in _KINDS:
            self.state = _NEXT.get((self.state, _KINDS[call.procedure.number]), self.state)

    def reply_error(self, call: Call, error: LibvirtError) -> None:
        """Answer a call with an error; a refused open leaves the client free to try again."""
        self._answer(call, error.to_wire(), packet.STATUS_ERROR)

    def send_event(self, name: str, values: Values) -> None:
        """Queue a message, such as DOMAIN_EVENT_CALLBACK_LIFECYCLE, after the reply in progress."""
        message = MESSAGES_BY_NAME[name]
        data = encode_packet(message.number, packet.MESSAGE, 0, message.encode(values))
        self._queue(self._events if self._unanswered else self._out, data)

    def data_to_send(self) -> bytes:
        """Return all bytes that are ready for the client, and forget them.

        Raises:
            ProtocolError: the client never reads; close its connection.
        """
        out = self.chunks_to_send()
        return out[0] if len(out) == 1 else b"".join(out)

    def chunks_to_send(self) -> list[bytes]:
        """Return the same in pieces, so that large replies need not be copied.

        Raises:
            ProtocolError: the client never reads; close its connection.
        """
        self._check()
        out, self._out = self._out, []
        self._unsent = sum(map(len, self._events))
        return out

    def _keepalive(self, item: Packet) -> None:
        if item.procedure == packet.KEEPALIVE_PING:
            pong = encode_packet(
                packet.KEEPALIVE_PONG, packet.MESSAGE, 0, program=packet.KEEPALIVE_PROGRAM
            )
            self._queue(self._out, pong)

    def _call(self, item: Packet) -> Call:
        """Turn a packet into a call; refuse what can be refused without a handler."""
        procedure = BY_NUMBER.get(item.procedure)
        if (
            procedure is None
            or item.program != packet.REMOTE_PROGRAM
            or item.version != packet.VERSION
            or item.type != packet.CALL
            or item.status != packet.STATUS_OK
        ):
            return self._refuse_foreign(item)
        if (self.state, _KINDS.get(item.procedure, _OTHER)) not in _NEXT:
            error = self._out_of_order(item.procedure)
            return self._refuse(Call(procedure, (), item.serial, error))
        try:
            args = procedure.decode_args(item.payload)
        except DecodeError:
            return self._refuse(Call(procedure, (), item.serial, errors.decode_error()))
        refusal = too_much(procedure.name, args)
        if refusal is None and self.read_only:
            refusal = procedure.denial(args)
        if refusal is not None:
            return self._refuse(Call(procedure, args, item.serial, refusal))
        if item.procedure == _CONNECT_OPEN:
            self.read_only = self._only_reads or bool(args.flags & _OPEN_READ_ONLY)
        self._unanswered += 1
        return Call(procedure, args, item.serial, size=len(item.payload))

    def _refuse_foreign(self, item: Packet) -> Call:
        """Refuse a call that is none of the table's."""
        procedure = unknown_procedure(item.procedure)
        if item.program != packet.REMOTE_PROGRAM or item.version != packet.VERSION:
            error = errors.rpc_error(f"Cannot find program {item.program} version {item.version}")
        elif item.type != packet.CALL:
            error = errors.rpc_error(f"Unexpected message type {item.type}")
        elif item.status != packet.STATUS_OK:
            error = errors.rpc_error(f"Unexpected message status {item.status}")
        elif 0 < item.procedure <= LAST_NUMBER:
            error = errors.no_support(procedure.function)
        else:
            error = errors.rpc_error(f"unknown procedure: {item.procedure}")
        return self._refuse(
            Call(procedure, (), item.serial, error, program=item.program, version=item.version)
        )

    def _out_of_order(self, procedure: int) -> LibvirtError:
        """Return the error of a call that is not legal in this state, as libvirtd words it."""
        if self.state is State.OPEN:
            detail = "connection already open"
        else:
            kind = "" if procedure in _RESOURCES else "hypervisor "
            detail = f"{kind}connection not open"
        return errors.internal_error(detail, errors.ErrorDomain.RPC)

    def _refuse(self, call: Call) -> Call:
        assert call.refusal is not None
        self._unanswered += 1
        self._answer(call, call.refusal.to_wire(), packet.STATUS_ERROR)
        return call

    def _answer(self, call: Call, payload: bytes, status: int) -> None:
        """Queue a call's only answer and the events that waited for it."""
        if call.answered:
            raise RuntimeError(f"{call.procedure.name} was answered before; see Call.refusal")
        call.answered = True
        self._unanswered -= not call.waits
        if len(payload) >= _LARGE_BYTES and call.program == packet.REMOTE_PROGRAM:
            number, size = call.procedure.number, len(payload)
            self._queue(self._out, encode_header(number, packet.REPLY, call.serial, size, status))
            self._queue(self._out, payload)
        else:
            self._queue(
                self._out,
                encode_packet(
                    call.procedure.number,
                    packet.REPLY,
                    call.serial,
                    payload,
                    status=status,
                    program=call.program,
                    version=call.version,
                ),
            )
        self._release_events()

    def _release_events(self) -> None:
        self._out += self._events
        self._events.clear()

    def _queue(self, queue: list[bytes], data: bytes) -> None:
        # Too much is told at the next receive or data_to_send: the one who sends an event may be
        # answering another client, which is not to blame.
        if self._unsent + len(data) > UNSENT_MAX:
            self._failure = f"more than {UNSENT_MAX} bytes wait for a client that does not read"
        if self._failure is None:
            self._unsent += len(data)
            queue.append(data)

    def _check(self) -> None:
        if self._failure is not None:
            raise ProtocolError(self._failure)
