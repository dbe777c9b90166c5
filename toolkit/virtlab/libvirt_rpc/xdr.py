"""XDR: declared types that compile themselves into decoder and encoder functions.

A type is a small description object: `U32`, `String()`, `Array(U64, 1024)`.
Its `decoder()` and `encoder()` are built on first use, so that declaring a hundred messages costs
next to nothing. A decoder takes the payload and a position, and returns the value and the position
after it. Structs are in `structs`.

Everything is big endian and a multiple of 4 bytes. Every length is held against its limit and
against the bytes that are there before memory is taken for it. Otherwise peers are read as libvirt
reads them: any word but 0 is true, padding is passed over, and so is what a call has behind its
arguments. Clients that are not linked with libvirt rely on it: DigitalOcean's go-libvirt opens the
driver with a truth value of 0x01000000.

Source: RFC 4506; a libvirtd 9.0.0 that was sent such packets.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

__all__ = [
    "DOUBLE",
    "I32",
    "I64",
    "STRING_MAX",
    "U32",
    "U64",
    "Array",
    "Bool",
    "Chars",
    "DecodeError",
    "Decoder",
    "Encoded",
    "Encoder",
    "FixedOpaque",
    "LimitError",
    "Opaque",
    "Optional",
    "Scalar",
    "String",
    "XdrType",
    "decode_all",
    "decode_first",
]

STRING_MAX = 4_194_304  # REMOTE_STRING_MAX of remote_protocol.x, bytes

# Values are whatever the declaration says, so their types are known at run time only.
Decoder = Callable[[bytes, int], tuple[Any, int]]
Encoder = Callable[[Any], bytes]

_U32 = struct.Struct(">I")
_PADDING = (b"", b"\0", b"\0\0", b"\0\0\0")


class DecodeError(ValueError):
    """Bytes that do not have the declared shape; the peer's mistake."""


class LimitError(ValueError):
    """A value that is longer than the protocol allows, so that it cannot be sent."""


class Encoded:
    """An item, or a whole list, that is in its wire form already; arrays pass it through.

    It holds plain bytes and is none itself: a subclass of bytes is copied wherever it goes.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        """Take the wire form."""
        self.data = data


class XdrType(ABC):
    """A declared type."""

    format: str | None = None  # the letter of `struct`, for numbers
    size_min: int = 4  # bytes that the shortest value takes

    @abstractmethod
    def decoder(self) -> Decoder:
        """Return a function from (payload, position) to (value, position after it)."""

    @abstractmethod
    def encoder(self) -> Encoder:
        """Return a function from a value to its bytes."""


class Scalar(XdrType):
    """A number of fixed size, named by its letter in `struct`."""

    def __init__(self, letter: str) -> None:
        self.format = letter
        self.size_min = struct.calcsize(">" + letter)

    def decoder(self) -> Decoder:
        """Return the number's decoder."""
        unpack_from, size = struct.Struct(">" + self.format_letter).unpack_from, self.size_min

        def decode(data: bytes, at: int) -> tuple[Any, int]:
            return unpack_from(data, at)[0], at + size

        return decode

    def encoder(self) -> Encoder:
        """Return the number's encoder."""
        return struct.Struct(">" + self.format_letter).pack

    @property
    def format_letter(self) -> str:
        """Return the letter of `struct`."""
        assert self.format is not None
        return self.format


class Bool(XdrType):
    """A truth value: the words 0 and 1; when read, any other word is true."""

    def decoder(self) -> Decoder:
        """Return the truth value's decoder."""

        def decode(data: bytes, at: int) -> tuple[bool, int]:
            (word,) = _U32.unpack_from(data, at)
            return word != 0, at + 4

        return decode

    def encoder(self) -> Encoder:
        """Return the truth value's encoder."""
        return lambda value: b"\0\0\0\1" if value else b"\0\0\0\0"


class Opaque(XdrType):
    """Bytes of varying length, at most `limit`: length word, bytes, zero padding."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def decoder(self) -> Decoder:
        """Return the decoder of bytes."""
        limit, unpack_from = self.limit, _U32.unpack_from

        def decode(data: bytes, at: int) -> tuple[bytes, int]:
            (length,) = unpack_from(data, at)
            if length > limit:
                raise DecodeError(f"{length} bytes where at most {limit} are allowed")
            start = at + 4
            end = start + length
            # Payloads start at position 0 and every item is whole words, so positions are too.
            stop = (end + 3) & -4
            if stop > len(data):
                raise DecodeError("the payload ends inside a string")
            return data[start:end], stop

        return decode

    def encoder(self) -> Encoder:
        """Return the encoder of bytes."""
        limit, pack = self.limit, _U32.pack

        def encode(value: bytes) -> bytes:
            length = len(value)
            if length > limit:
                raise LimitError(f"{length} bytes where at most {limit} are allowed")
            return pack(length) + value + _PADDING[-length & 3]

        return encode


class String(Opaque):
    """Text of at most `limit` bytes.

    Bytes that are not UTF-8 become U+FFFD: a client may look up any name, and such a name must lead
    to "Domain not found", not to a decode error or to text that no log can hold.
    """

    def __init__(self, limit: int = STRING_MAX) -> None:
        super().__init__(limit)

    def decoder(self) -> Decoder:
        """Return the text's decoder."""
        decode_bytes = super().decoder()

        def decode(data: bytes, at: int) -> tuple[str, int]:
            raw, at = decode_bytes(data, at)
            return raw.decode("utf-8", "replace"), at

        return decode

    def encoder(self) -> Encoder:
        """Return the text's encoder."""
        encode_bytes = super().encoder()
        return lambda value: encode_bytes(value.encode())


class FixedOpaque(XdrType):
    """Exactly `size` bytes, a multiple of 4, such as a UUID."""

    def __init__(self, size: int) -> None:
        assert size % 4 == 0
        self.size_min = size

    def decoder(self) -> Decoder:
        """Return the decoder of the bytes."""
        size = self.size_min

        def decode(data: bytes, at: int) -> tuple[bytes, int]:
            end = at + size
            if end > len(data):
                raise DecodeError("the payload ends inside a field of fixed size")
            return data[at:end], end

        return decode

    def encoder(self) -> Encoder:
        """Return the encoder of the bytes."""
        size = self.size_min

        def encode(value: bytes) -> bytes:
            if len(value) != size:
                raise ValueError(f"{len(value)} bytes in a field of {size}")
            return value

        return encode


class Chars(XdrType):
    """C's `char[size]` as text: each character takes a word, and zeros fill the rest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.size_min = 4 * size

    def decoder(self) -> Decoder:
        """Return the text's decoder."""
        words, size = struct.Struct(f">{self.size}i"), self.size_min

        def decode(data: bytes, at: int) -> tuple[str, int]:
            raw = bytes(word & 0xFF for word in words.unpack_from(data, at))
            return raw.partition(b"\0")[0].decode("utf-8", "replace"), at + size

        return decode

    def encoder(self) -> Encoder:
        """Return the text's encoder."""
        words, size = struct.Struct(f">{self.size}i"), self.size

        def encode(value: str) -> bytes:
            raw = value.encode()
            if len(raw) > size:
                raise LimitError(f"{len(raw)} bytes in a field of {size} characters")
            # C's char is signed here, so a byte of 0x80 or more is sent as a negative word.
            return words.pack(*struct.unpack(f"{size}b", raw.ljust(size, b"\0")))

        return encode


class Array(XdrType):
    """A list of at most `limit` items: count word, then the items."""

    def __init__(self, item: XdrType, limit: int) -> None:
        self.item = item
        self.limit = limit

    def decoder(self) -> Decoder:
        """Return the list's decoder."""
        limit, size_min, unpack_from = self.limit, self.item.size_min, _U32.unpack_from
        decode_items = _items_decoder(self.item)

        def decode(data: bytes, at: int) -> tuple[list[Any], int]:
            (count,) = unpack_from(data, at)
            if count > limit:
                raise DecodeError(f"{count} items where at most {limit} are allowed")
            at += 4
            if count * size_min > len(data) - at:
                raise DecodeError(f"the payload is too short for {count} items")
            return decode_items(data, at, count)

        return decode

    def encoder(self) -> Encoder:
        """Return the list's encoder."""
        limit, pack = self.limit, _U32.pack
        encode_items = _items_encoder(self.item)

        def encode(value: Sequence[Any] | Encoded) -> bytes:
            if isinstance(value, Encoded):
                return value.data
            count = len(value)
            if count > limit:
                raise LimitError(f"{count} items where at most {limit} are allowed")
            return pack(count) + encode_items(value)

        return encode


class Optional(XdrType):
    """A value or None: the word 0, or the word 1 and the value."""

    def __init__(self, item: XdrType) -> None:
        self.item = item

    def decoder(self) -> Decoder:
        """Return the decoder of the value or None."""
        decode_flag, decode_item = Bool().decoder(), self.item.decoder()

        def decode(data: bytes, at: int) -> tuple[Any, int]:
            present, at = decode_flag(data, at)
            return decode_item(data, at) if present else (None, at)

        return decode

    def encoder(self) -> Encoder:
        """Return the encoder of the value or None."""
        encode_item = self.item.encoder()
        return lambda value: b"\0\0\0\0" if value is None else b"\0\0\0\1" + encode_item(value)


def decode_all(decode: Decoder, data: bytes) -> Any:
    """Return the value that a payload holds.

    Raises:
        DecodeError: it has another shape, or bytes are missing or left over.
    """
    value, at = _decode(decode, data)
    if at != len(data):
        raise DecodeError(f"{len(data) - at} bytes are left over")
    return value


def decode_first(decode: Decoder, data: bytes) -> Any:
    """Return the value with which a payload begins, whatever comes behind it.

    Raises:
        DecodeError: it has another shape, or bytes are missing.
    """
    return _decode(decode, data)[0]


def _decode(decode: Decoder, data: bytes) -> tuple[Any, int]:
    try:
        return decode(data, 0)
    except struct.error as err:
        raise DecodeError("the payload ends early") from err


def _items_decoder(item: XdrType) -> Callable[[bytes, int, int], tuple[list[Any], int]]:
    """Return a function from (payload, position, count) to the items and the position after."""
    if item.format is not None:
        letter, size = item.format, item.size_min

        def decode_numbers(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
            return list(struct.unpack_from(f">{count}{letter}", data, at)), at + count * size

        return decode_numbers
    decode_item = item.decoder()

    def decode(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
        items = []
        for _ in range(count):
            value, at = decode_item(data, at)
            items.append(value)
        return items, at

    return decode


def _items_encoder(item: XdrType) -> Encoder:
    """Return the encoder of items, one after the other."""
    if item.format is not None:
        letter = item.format
        return lambda values: struct.pack(f">{len(values)}{letter}", *values)
    encode_item = item.encoder()
    return lambda values: b"".join(
        [value.data if isinstance(value, Encoded) else encode_item(value) for value in values]
    )


U32 = Scalar("I")
I32 = Scalar("i")
U64 = Scalar("Q")
I64 = Scalar("q")
DOUBLE = Scalar("d")
