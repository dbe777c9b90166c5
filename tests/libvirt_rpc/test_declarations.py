"""Every declared message survives the wire, and no bytes of a peer do harm."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.libvirt_rpc import xdr
from virtlab.libvirt_rpc.procedures import BY_NAME, BY_NUMBER, MESSAGES_BY_NAME
from virtlab.libvirt_rpc.structs import Struct
from virtlab.libvirt_rpc.typed import Param, Params, ParamType
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.libvirt_rpc.xdr import DecodeError, LimitError, decode_all

_INTEGERS = {
    "I": st.integers(0, 2**32 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "Q": st.integers(0, 2**64 - 1),
    "q": st.integers(-(2**63), 2**63 - 1),
    "d": st.floats(allow_nan=False),
}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PARAM_VALUES: dict[ParamType, st.SearchStrategy[Any]] = {
    ParamType.INT: _INTEGERS["i"],
    ParamType.UINT: _INTEGERS["I"],
    ParamType.LLONG: _INTEGERS["q"],
    ParamType.ULLONG: _INTEGERS["Q"],
    ParamType.DOUBLE: _INTEGERS["d"],
    ParamType.BOOLEAN: st.booleans(),
    ParamType.STRING: _TEXT,
}
_PARAM = st.one_of(
    [st.builds(Param, _TEXT, st.just(int(type_)), value) for type_, value in _PARAM_VALUES.items()]
)

_SHAPES: dict[str, Struct] = {}
for _procedure in BY_NUMBER.values():
    _SHAPES[f"{_procedure.name} call"] = _procedure.args
    _SHAPES[f"{_procedure.name} reply"] = _procedure.results
for _message in MESSAGES_BY_NAME.values():
    _SHAPES[f"{_message.name} message"] = _message.values


def values_of(shape: xdr.XdrType) -> st.SearchStrategy[Any]:
    match shape:
        case Struct():
            items = [values_of(item) for item in shape.types.values()]
            return st.tuples(*items).map(lambda values: tuple.__new__(shape.record, values))
        case xdr.Scalar():
            return _INTEGERS[shape.format_letter]
        case xdr.Bool():
            return st.booleans()
        case xdr.String():
            return _TEXT
        case xdr.Opaque():
            return st.binary(max_size=12)
        case xdr.FixedOpaque():
            return st.binary(min_size=shape.size_min, max_size=shape.size_min)
        case xdr.Chars():
            return st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=shape.size)
        case xdr.Optional():
            return st.none() | values_of(shape.item)
        case xdr.Array():
            return st.lists(values_of(shape.item), max_size=3)
        case Params():
            return st.lists(_PARAM, max_size=3)
    raise AssertionError(f"no values for {shape}")


_STRATEGIES = {name: values_of(shape) for name, shape in _SHAPES.items()}
_CODECS = {name: (shape.encoder(), shape.decoder()) for name, shape in _SHAPES.items()}


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_what_is_encoded_is_decoded_again(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(_SHAPES)))
    value = data.draw(_STRATEGIES[name])
    encode, decode = _CODECS[name]

    wire = encode(value)

    assert len(wire) % 4 == 0
    assert decode_all(decode, wire) == value


@pytest.mark.parametrize("name", sorted(_SHAPES))
def test_each_declaration_survives_a_plain_value(name: str) -> None:
    encode, decode = _CODECS[name]
    value = _zero(_SHAPES[name])

    wire = encode(value)

    assert decode_all(decode, wire) == value
    assert len(wire) >= _SHAPES[name].size_min


def _zero(shape: xdr.XdrType) -> Any:
    match shape:
        case Struct():
            return tuple(_zero(item) for item in shape.types.values())
        case xdr.Scalar():
            return 0
        case xdr.String() | xdr.Chars():
            return ""
        case xdr.Opaque():
            return b""
        case xdr.FixedOpaque():
            return bytes(shape.size_min)
        case xdr.Optional():
            return None
    return []


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damaged_payloads_raise_decode_errors_only(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(_SHAPES)))
    encode, decode = _CODECS[name]
    wire = bytearray(encode(data.draw(_STRATEGIES[name])))
    for _ in range(data.draw(st.integers(0, 3))):
        if wire:
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wire)))
    damaged = bytes(wire[:cut]) + data.draw(st.binary(max_size=9))

    with contextlib.suppress(DecodeError):
        decode_all(decode, damaged)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"", "the payload ends early"),
        (b"\0\0\0\2ab", "the payload ends inside a string"),
        (b"\xff\xff\xff\xff", "4294967295 bytes where at most 4194304 are allowed"),
    ],
)
def test_a_bad_string_is_refused_with_its_reason(wire: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        BY_NAME["DOMAIN_LOOKUP_BY_NAME"].decode_args(wire)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\0\0\x40\x01", "16385 items where at most 16384 are allowed"),
        (b"\0\0\x40\0", "the payload is too short for 16384 items"),
    ],
)
def test_a_count_takes_no_memory_before_it_is_checked(wire: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        BY_NAME["CONNECT_GET_ALL_DOMAIN_STATS"].decode_args(wire)


def test_a_parameter_of_unknown_type_is_refused() -> None:
    decode = Params(1).decoder()

    with pytest.raises(DecodeError, match="parameter 'a' has the unknown type 8"):
        decode_all(decode, b"\0\0\0\1\0\0\0\1a\0\0\0\0\0\0\x08\0\0\0\0")


def test_a_list_over_its_limit_is_not_sent() -> None:
    dom = DomainHandle("a", bytes(16), 1)

    with pytest.raises(LimitError, match="16385 items where at most 16384 are allowed"):
        BY_NAME["CONNECT_LIST_ALL_DOMAINS"].encode_results(([dom] * 16_385, 16_385))


def test_results_may_be_given_by_name() -> None:
    state = BY_NAME["DOMAIN_GET_STATE"]

    assert state.encode_results({"reason": 2, "state": 1}) == state.encode_results((1, 2))
    with pytest.raises(ValueError, match=r"values \['state'\] for fields \['reason', 'state'\]"):
        state.encode_results({"state": 1})


def test_characters_take_a_word_each_and_are_signed() -> None:
    shape = xdr.Chars(4)

    wire = shape.encoder()("aé")

    assert wire == b"\0\0\0a\xff\xff\xff\xc3\xff\xff\xff\xa9\0\0\0\0"
    assert decode_all(shape.decoder(), wire) == "aé"


@pytest.mark.parametrize(
    ("name", "wire", "args"),
    [
        # DigitalOcean's go-libvirt writes its truth value as padded bytes.
        ("CONNECT_OPEN", b"\1\0\0\0" + b"\0\0\0\1a\0\0\0" + b"\0\0\0\0", ("a", 0)),
        ("DOMAIN_LOOKUP_BY_NAME", b"\0\0\0\2ab\xff\xff", ("ab",)),
        ("DOMAIN_LOOKUP_BY_NAME", b"\0\0\0\1a\0\0\0" + b"beyond", ("a",)),
    ],
)
def test_calls_are_read_as_generously_as_libvirtd_does(
    name: str, wire: bytes, args: tuple[Any, ...]
) -> None:
    assert BY_NAME[name].decode_args(wire) == args


def test_a_reply_with_bytes_behind_its_results_is_refused_as_libvirts_clients_do() -> None:
    with pytest.raises(DecodeError, match="4 bytes are left over"):
        BY_NAME["DOMAIN_GET_OS_TYPE"].decode_results(b"\0\0\0\1a\0\0\0" + b"\0\0\0\0")
