from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from virtlab.hosts.simulated.driver.values import (
    TICK_NS,
    cpu_map,
    format_cpu_list,
    in_ticks,
    pcpus_of_map,
)


def test_times_move_in_ticks_of_10_ms() -> None:
    assert [in_ticks(ns) for ns in (0, 9_999_999, 10_000_000, 123_456_789)] == [
        0,
        0,
        TICK_NS,
        12 * TICK_NS,
    ]


def test_bit_n_of_a_map_is_pcpu_n_and_longer_maps_are_padded() -> None:
    assert cpu_map({0, 9}, 2) == b"\x01\x02"
    assert cpu_map({0, 9}, 1) == b"\x01"
    assert cpu_map({0, 9}, 4) == b"\x01\x02\0\0"
    assert cpu_map({0}, 0) == b""


@given(st.frozensets(st.integers(0, 63)), st.integers(1, 64))
def test_a_map_read_back_keeps_the_pcpus_that_the_host_has(
    pcpus: frozenset[int], count: int
) -> None:
    assert pcpus_of_map(cpu_map(pcpus, 8), count) == {pcpu for pcpu in pcpus if pcpu < count}


def test_cpu_lists_are_written_as_libvirt_writes_them() -> None:
    assert format_cpu_list({0, 1, 2, 3, 6}) == "0-3,6"
    assert format_cpu_list({5}) == "5"
    assert format_cpu_list({0, 2, 3}) == "0,2-3"
    assert format_cpu_list(()) == ""
