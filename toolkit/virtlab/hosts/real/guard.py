"""Between a program and libvirtd: passes what the rules permit, on the run's guests, and tells it.

Sans-IO, like the rest of the protocol: bytes of one side in, bytes for both sides out. Each client
of the program has a connection to libvirtd of its own, so that serial numbers need no translation:
what may pass goes on as it came, its arguments only read. Replies that list guests are read and
written anew without those that are not the run's; a handle of another guest is refused as one that
does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from virtlab.hosts.real.rules import FILTERED, GUEST_CALLS, HOST_CALLS, Filter, Uuids
from virtlab.libvirt_rpc import errors, packet
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.packet import Packet, PacketReader, encode_packet
from virtlab.libvirt_rpc.procedures import BY_NAME, BY_NUMBER, MESSAGES_BY_NUMBER
from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.xdr import DecodeError

__all__ = ["Guard", "Passage"]

_URIS = (None, "", "qemu:///system")
_WAITING_MAX = 1000  # libvirt's client sends far fewer before it reads

# The call, and libvirt's message where it was refused.
OnCall = Callable[[Call, str | None], None]


@dataclass(slots=True)
class Passage:
    """What is to be sent on, to either side."""

    to_host: bytes = b""
    to_client: bytes = b""


@dataclass(slots=True)
class _Waiting:
    """A call that the host has not answered yet."""

    call: Call
    filter: Filter | None


class Guard:
    """One client's connection."""

    def __init__(self, mine: Callable[[], Uuids], on_call: OnCall) -> None:
        """Take how to find the UUIDs of the run's guests, and who is told of each call.

        Args:
            mine: asked at each call, as guests may be defined while the program runs.
            on_call: told when a call is answered.
        """
        self._mine = mine
        self._on_call = on_call
        self._from_client = PacketReader()
        self._from_host = PacketReader()
        self._waiting: dict[int, _Waiting] = {}

    def client_sent(self, data: bytes) -> Passage:
        """Return what follows from bytes of the client's.

        Raises:
            ProtocolError: the client broke the protocol; close both connections.
        """
        passage = Passage()
        for item in self._from_client.feed(data):
            if item.program == packet.KEEPALIVE_PROGRAM:
                passage.to_host += _as_it_came(item)
            elif item.type != packet.CALL or item.serial in self._waiting:
                raise ProtocolError(f"a client does not send packets like {item[:6]}")
            elif len(self._waiting) >= _WAITING_MAX:
                raise ProtocolError(f"{_WAITING_MAX} calls wait for their answers")
            else:
                self._take_call(item, passage)
        return passage

    def host_sent(self, data: bytes) -> Passage:
        """Return what follows from bytes of libvirtd's.

        Raises:
            ProtocolError: libvirtd sent what no host sends.
        """
        passage = Passage()
        for item in self._from_host.feed(data):
            if item.program == packet.KEEPALIVE_PROGRAM:
                passage.to_client += _as_it_came(item)
            elif item.type == packet.MESSAGE:
                if self._concerns_us(item):
                    passage.to_client += _as_it_came(item)
            else:
                passage.to_client += self._answered(item)
        return passage

    def _take_call(self, item: Packet, passage: Passage) -> None:
        procedure = BY_NUMBER.get(item.procedure)
        if item.program != packet.REMOTE_PROGRAM or procedure is None:
            # Other programs reach QEMU's monitor and libvirtd's own administration.
            error = errors.access_denied().to_wire()
            passage.to_client += _reply(item, error, packet.STATUS_ERROR)
            return
        refusal: LibvirtError | None
        try:
            args = procedure.decode_args(item.payload)
        except DecodeError:
            args, refusal = (), errors.decode_error()
        else:
            refusal = self._refusal(procedure, args)
        call = Call(procedure, args, item.serial, refusal)
        if refusal is not None:
            passage.to_client += _reply(item, refusal.to_wire(), packet.STATUS_ERROR)
            self._on_call(call, refusal.message)
            return
        chosen = FILTERED.get(procedure.name)
        self._waiting[item.serial] = _Waiting(call, chosen)
        if chosen is None:
            passage.to_host += _as_it_came(item)
        else:
            asked = BY_NAME[chosen.ask]
            payload = asked.encode_args(chosen.arguments(args))
            passage.to_host += encode_packet(asked.number, packet.CALL, item.serial, payload)

    def _refusal(self, procedure: Procedure, args: Any) -> LibvirtError | None:
        """Return why a call may not pass, or None where it may."""
        name = procedure.name
        if name == "CONNECT_OPEN" and args.name not in _URIS:
            return errors.no_connection(args.name)
        if name in GUEST_CALLS and args.dom.uuid not in self._mine():
            return errors.no_domain_with_uuid(args.dom.uuid, args.dom.name)
        for dom in getattr(args, "doms", ()):
            if dom.uuid not in self._mine():
                return errors.no_domain_with_uuid(dom.uuid, dom.name)
        if name in GUEST_CALLS or name in HOST_CALLS or name in FILTERED:
            return None
        return errors.access_denied()

    def _concerns_us(self, item: Packet) -> bool:
        """Tell whether an event is about the host or about one of the run's guests."""
        message = MESSAGES_BY_NUMBER.get(item.procedure)
        if message is None:
            return False  # of a kind that nobody could have asked for here
        try:
            dom = getattr(message.decode(item.payload), "dom", None)
        except DecodeError as err:
            raise ProtocolError(f"an event has another shape: {err}") from err
        return dom is None or dom.uuid in self._mine()

    def _answered(self, item: Packet) -> bytes:
        waiting = self._waiting.pop(item.serial, None)
        if waiting is None or item.type != packet.REPLY:
            raise ProtocolError(f"a reply that fits no call: {item[:6]}")
        if item.status == packet.STATUS_ERROR:
            self._on_call(waiting.call, LibvirtError.from_wire(item.payload).message)
            number = waiting.call.procedure.number
            return encode_packet(
                number, packet.REPLY, item.serial, item.payload, status=packet.STATUS_ERROR
            )
        if waiting.filter is None:
            self._on_call(waiting.call, None)
            return _as_it_came(item)
        return self._filtered(item, waiting.call, waiting.filter)

    def _filtered(self, item: Packet, call: Call, chosen: Filter) -> bytes:
        found = BY_NAME[chosen.ask].decode_results(item.payload)
        results = chosen.answer(call.args, found, self._mine())
        number = call.procedure.number
        if results is None:
            error = _not_found(call)
            self._on_call(call, error.message)
            return encode_packet(
                number, packet.REPLY, item.serial, error.to_wire(), status=packet.STATUS_ERROR
            )
        self._on_call(call, None)
        payload = call.procedure.encode_results(results)
        return encode_packet(number, packet.REPLY, item.serial, payload)


def _not_found(call: Call) -> LibvirtError:
    """Return the error of a look-up that finds nothing."""
    (sought,) = call.args
    if isinstance(sought, bytes):
        return errors.no_domain_with_uuid(sought)
    if isinstance(sought, str):
        return errors.no_domain_with_name(sought)
    return errors.no_domain_with_id(sought)


def _as_it_came(item: Packet) -> bytes:
    return encode_packet(
        item.procedure, item.type, item.serial, item.payload,
        status=item.status, program=item.program, version=item.version,
    )  # fmt: skip


def _reply(item: Packet, payload: bytes, status: int) -> bytes:
    return encode_packet(
        item.procedure, packet.REPLY, item.serial, payload,
        status=status, program=item.program, version=item.version,
    )  # fmt: skip
