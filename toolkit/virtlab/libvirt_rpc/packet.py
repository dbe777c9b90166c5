"""Packets: the frames in which calls, replies and events travel.

A packet is a length word that counts itself, six header words and a payload.

Source: virnetprotocol.x of libvirt, struct virNetMessageHeader.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from virtlab.libvirt_rpc.errors import ProtocolError

__all__ = [
    "CALL",
    "CALL_WITH_FDS",
    "KEEPALIVE_PING",
    "KEEPALIVE_PONG",
    "KEEPALIVE_PROGRAM",
    "MESSAGE",
    "PACKET_MAX",
    "PACKET_MIN",
    "REMOTE_PROGRAM",
    "REPLY",
    "STATUS_ERROR",
    "STATUS_OK",
    "VERSION",
    "Packet",
    "PacketReader",
    "encode_header",
    "encode_packet",
]

PACKET_MIN = 28  # a header without payload, bytes
PACKET_MAX = 33_554_436  # VIR_NET_MESSAGE_MAX and the length word, bytes

REMOTE_PROGRAM = 0x20008086
KEEPALIVE_PROGRAM = 0x6B656570
VERSION = 1
KEEPALIVE_PING = 1
KEEPALIVE_PONG = 2

CALL = 0
REPLY = 1
MESSAGE = 2
CALL_WITH_FDS = 4

STATUS_OK = 0
STATUS_ERROR = 1

_LENGTH = struct.Struct(">I")
_HEADER = struct.Struct(">IIIiIII")
_pack_header = _HEADER.pack
_unpack_header = _HEADER.unpack_from


class Packet(NamedTuple):
    """One packet as it came."""

    program: int
    version: int
    procedure: int
    type: int
    serial: int
    status: int
    payload: bytes


def encode_packet(
    procedure: int,
    type_: int,
    serial: int,
    payload: bytes = b"",
    *,
    status: int = STATUS_OK,
    program: int = REMOTE_PROGRAM,
    version: int = VERSION,
) -> bytes:
    """Return a packet's bytes."""
    length = PACKET_MIN + len(payload)
    return _pack_header(length, program, version, procedure, type_, serial, status) + payload


def encode_header(
    procedure: int, type_: int, serial: int, payload_bytes: int, status: int = STATUS_OK
) -> bytes:
    """Return what goes before a payload that is sent as it is, since it is too large to copy."""
    length = PACKET_MIN + payload_bytes
    return _pack_header(length, REMOTE_PROGRAM, VERSION, procedure, type_, serial, status)


class PacketReader:
    """Cut a stream of bytes into packets, however it was fragmented.

    Attributes:
        failure: why nothing more can be read; None as long as all is well.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.failure: str | None = None

    def feed(self, data: bytes) -> list[Packet]:
        """Return the packets that these bytes complete, those before a broken one included.

        Raises:
            ProtocolError: there are none, and never will be: a length word was outside the limits,
                and nothing after it can be trusted.
        """
        packets: list[Packet] = []
        if self.failure is not None:
            raise ProtocolError(self.failure)
        if self._buffer:
            self._buffer += data
            used = self._cut(self._buffer, packets)
            del self._buffer[:used]
        else:
            # The usual case, whole packets in one read, copies nothing but the payloads.
            used = self._cut(data, packets)
            if used < len(data):
                self._buffer += data[used:]
        if self.failure is not None:
            self._buffer.clear()
            if not packets:
                raise ProtocolError(self.failure)
        return packets

    @property
    def pending(self) -> int:
        """Return the number of bytes of an unfinished packet."""
        return len(self._buffer)

    def _cut(self, data: bytes | bytearray, packets: list[Packet]) -> int:
        """Append all whole packets of `data`; return how many bytes they took."""
        at, end = 0, len(data)
        while end - at >= 4:
            (length,) = _LENGTH.unpack_from(data, at)
            if not PACKET_MIN <= length <= PACKET_MAX:
                self.failure = (
                    f"a packet announces {length} bytes; {PACKET_MIN} to {PACKET_MAX} are allowed"
                )
                break
            stop = at + length
            if stop > end:
                break
            _, program, version, procedure, type_, serial, status = _unpack_header(data, at)
            payload = bytes(data[at + PACKET_MIN : stop])
            packets.append(Packet(program, version, procedure, type_, serial, status, payload))
            at = stop
        return at
