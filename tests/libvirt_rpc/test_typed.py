"""Bulk statistics by template are the bytes that parameter by parameter gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.libvirt_rpc.typed import Param, Params, ParamType, StatsLayout
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.libvirt_rpc.xdr import LimitError

DOM = DomainHandle("web", bytes(range(16)), 1)
_VALUES: dict[ParamType, st.SearchStrategy[Any]] = {
    ParamType.INT: st.integers(-(2**31), 2**31 - 1),
    ParamType.ULLONG: st.integers(0, 2**64 - 1),
    ParamType.DOUBLE: st.floats(allow_nan=False),
    ParamType.BOOLEAN: st.booleans(),
    ParamType.STRING: st.text("aé", max_size=6),
}
_FIELD = st.one_of(
    [
        st.tuples(st.text("ab.", min_size=1, max_size=9), st.just(type_), value)
        for type_, value in _VALUES.items()
    ]
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(_FIELD, max_size=8))
def test_a_layout_gives_the_same_bytes_as_a_list(rows: list[tuple[str, ParamType, Any]]) -> None:
    layout = StatsLayout([(name, type_) for name, type_, _ in rows])

    packed = layout.pack([value for _, _, value in rows])

    assert packed == Params(100).encoder()(rows)


def test_records_of_a_layout_go_into_the_reply_as_they_are() -> None:
    procedure = BY_NAME["CONNECT_GET_ALL_DOMAIN_STATS"]
    layout = StatsLayout([("cpu.time", ParamType.ULLONG), ("vcpu.0.halted", ParamType.BOOLEAN)])

    wire = procedure.encode_results(([layout.record(DOM, (7, True))],))

    (record,) = procedure.decode_results(wire).retStats
    assert record.dom == DOM
    assert record.params == [
        Param("cpu.time", ParamType.ULLONG, 7),
        Param("vcpu.0.halted", ParamType.BOOLEAN, True),
    ]


def test_a_layout_takes_exactly_its_values() -> None:
    layout = StatsLayout([("cpu.time", ParamType.ULLONG)])

    with pytest.raises(ValueError, match="2 values for 1 fields"):
        layout.pack((1, 2))


def test_a_name_over_the_limit_is_refused() -> None:
    with pytest.raises(LimitError, match="is longer than 79 bytes"):
        StatsLayout([("n" * 80, ParamType.INT)])
