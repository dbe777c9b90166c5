"""The client's end of a connection, sans-IO: for the lab's own looks at a host, and for tests.

It shares the server's declarations, so in tests it proves consistency, not conformance; for that
there are real clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virtlab.libvirt_rpc import packet
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.packet import Packet, PacketReader, encode_packet
from virtlab.libvirt_rpc.procedures import BY_NAME, MESSAGES_BY_NUMBER
from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.xdr import DecodeError

__all__ = ["Answer", "ClientConnection", "Event"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call brought: results, or the error with which it was refused."""

    serial: int
    procedure: int
    results: Any  # a named tuple; None where it was refused
    error: LibvirtError | None


@dataclass(frozen=True, slots=True)
class Event:
    """A message that came unasked; a keepalive's PONG has the name PONG."""

    name: str
    values: Any


class ClientConnection:
    """One connection, seen from a program."""

    def __init__(self) -> None:
        self._reader = PacketReader()
        self._serial = 0
        self._waiting: dict[int, Procedure] = {}

    def call(self, name: str, *args: Any) -> bytes:
        """Return the bytes of a call, such as `call("DOMAIN_LOOKUP_BY_NAME", "web")`."""
        return self.request(BY_NAME[name], *args)

    def request(self, procedure: Procedure, *args: Any) -> bytes:
        """Return the bytes of a call by its procedure, which may be another program's."""
        self._serial += 1
        self._waiting[self._serial] = procedure
        payload = procedure.encode_args(args)
        return encode_packet(
            procedure.number, packet.CALL, self._serial, payload, program=procedure.program
        )

    @property
    def last_serial(self) -> int:
        """Return the serial number of the latest call."""
        return self._serial

    def open(self, uri: str = "qemu:///system", flags: int = 0) -> bytes:
        """Return the bytes that open a connection: AUTH_LIST and CONNECT_OPEN."""
        return self.call("AUTH_LIST") + self.call("CONNECT_OPEN", uri, flags)

    def ping(self) -> bytes:
        """Return the bytes of a keepalive PING."""
        return encode_packet(
            packet.KEEPALIVE_PING, packet.MESSAGE, 0, program=packet.KEEPALIVE_PROGRAM
        )

    def receive(self, data: bytes) -> list[Answer | Event]:
        """Return the answers and events that these bytes complete.

        Raises:
            ProtocolError: the host sent what no host sends.
        """
        try:
            return [self._item(item) for item in self._reader.feed(data)]
        except DecodeError as err:
            raise ProtocolError(f"a payload has another shape: {err}") from err

    def _item(self, item: Packet) -> Answer | Event:
        if item.program == packet.KEEPALIVE_PROGRAM:
            return Event("PONG", ())
        if item.type == packet.MESSAGE:
            message = MESSAGES_BY_NUMBER.get(item.procedure)
            if message is None:
                raise ProtocolError(f"message {item.procedure} is not known")
            return Event(message.name, message.decode(item.payload))
        procedure = self._waiting.pop(item.serial, None)
        if item.type != packet.REPLY or procedure is None or procedure.number != item.procedure:
            raise ProtocolError(f"a reply that fits no call: {item[:6]}")
        if item.status == packet.STATUS_ERROR:
            error = LibvirtError.from_wire(item.payload)
            return Answer(item.serial, item.procedure, None, error)
        results = procedure.decode_results(item.payload)
        return Answer(item.serial, item.procedure, results, None)
