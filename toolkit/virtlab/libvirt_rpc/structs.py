"""XDR structs: named fields in order, with neighbouring numbers packed in one go."""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

from virtlab.libvirt_rpc.xdr import Decoder, Encoder, XdrType

__all__ = ["NOTHING", "Struct", "fields"]

Step = Callable[[bytes, int, list[Any]], int]


class Struct(XdrType):
    """Fields in order; values are tuples, decoded into `record` (a named tuple class)."""

    def __init__(
        self, types: dict[str, XdrType], record: type[tuple[Any, ...]] | None = None
    ) -> None:
        self.types = types
        self.size_min = sum(item.size_min for item in types.values())
        self._record = record

    @cached_property
    def record(self) -> type[tuple[Any, ...]]:
        """Return the class of decoded values: a tuple whose items have the fields' names."""
        return self._record or namedtuple("Fields", self.types)

    def decoder(self) -> Decoder:
        """Return the struct's decoder."""
        steps = [_decoding_step(run) for run in _runs(list(self.types.values()))]
        make = partial(tuple.__new__, self.record)
        if len(steps) == 1:
            only = steps[0]

            def decode_one(data: bytes, at: int) -> tuple[Any, int]:
                values: list[Any] = []
                at = only(data, at, values)
                return make(values), at

            return decode_one

        def decode(data: bytes, at: int) -> tuple[Any, int]:
            values: list[Any] = []
            for step in steps:
                at = step(data, at, values)
            return make(values), at

        return decode

    def encoder(self) -> Encoder:
        """Return the struct's encoder, from a sequence of values in the fields' order."""
        runs = _runs(list(self.types.values()))
        if len(runs) == 1 and isinstance(runs[0], str):
            pack_all = struct.Struct(">" + runs[0]).pack
            return lambda values: pack_all(*values)
        steps: list[tuple[int, int, Encoder]] = []
        first = 0
        for run in runs:
            if isinstance(run, str):
                steps.append((first, first + len(run), _run_encoder(run)))
                first += len(run)
            else:
                steps.append((first, 0, run.encoder()))
                first += 1
        count = first

        def encode(values: Sequence[Any]) -> bytes:
            if len(values) != count:
                raise ValueError(f"{len(values)} values for {count} fields")
            return b"".join(
                [
                    encode_run(values[first:stop] if stop else values[first])
                    for first, stop, encode_run in steps
                ]
            )

        return encode


def fields(**types: XdrType) -> Struct:
    """Return a struct with these fields, in the order written."""
    return Struct(types)


def _runs(types: Sequence[XdrType]) -> list[str | XdrType]:
    """Join neighbouring numbers into one format string; leave other types as they are."""
    runs: list[str | XdrType] = []
    for item in types:
        if item.format is None:
            runs.append(item)
        elif runs and isinstance(runs[-1], str):
            runs[-1] += item.format
        else:
            runs.append(item.format)
    return runs


def _decoding_step(run: str | XdrType) -> Step:
    """Return a function that appends what it decodes and returns the position after it."""
    if isinstance(run, str):
        numbers = struct.Struct(">" + run)
        unpack_from, size = numbers.unpack_from, numbers.size

        def step_numbers(data: bytes, at: int, values: list[Any]) -> int:
            values.extend(unpack_from(data, at))
            return at + size

        return step_numbers
    decode = run.decoder()

    def step(data: bytes, at: int, values: list[Any]) -> int:
        value, at = decode(data, at)
        values.append(value)
        return at

    return step


def _run_encoder(run: str) -> Encoder:
    """Return the encoder of a run of numbers."""
    pack = struct.Struct(">" + run).pack
    return lambda values: pack(*values)


NOTHING = Struct({})
