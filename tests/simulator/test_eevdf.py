"""Linux's fair scheduler in small keeps to the rules that are known of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.model.units import ms
from virtlab.simulator.eevdf import Loop, played
from virtlab.simulator.queue_law import slice_ns

_SLICE_NS = slice_ns(2)
_BUSY = Loop(0.0, 0.0)


def _loop(duty: float, period_ms: float = 0.5, **changes: float) -> Loop:
    period_ns = ms(period_ms)
    return Loop(duty * period_ns, (1.0 - duty) * period_ns, **changes)  # type: ignore[arg-type]


_RARE = _loop(0.001, 10.0)  # sleeps nearly always, so that others are as if without it


def _runs(*loops: Loop) -> list[float]:
    return [run for run, _ in played(loops, _SLICE_NS)]


def test_a_lone_loop_gets_what_it_wants_and_never_waits() -> None:
    ((run, wait),) = played([_loop(0.36)], _SLICE_NS)

    assert run == pytest.approx(0.36, abs=0.005)
    assert wait == 0.0


def test_busy_threads_share_by_weight() -> None:
    # Measured on Linux for nice 0 and 5: 0.755 and 0.244.
    heavy, light, _ = _runs(_BUSY, Loop(0.0, 0.0, 335), _RARE)

    assert heavy / light == pytest.approx(1024 / 335, rel=0.08)


def test_a_guest_of_several_busy_vcpus_has_what_a_guest_of_one_has() -> None:
    own = [Loop(0.0, 0.0, guest=0)] * 4
    *four, one, _ = _runs(*own, Loop(0.0, 0.0, guest=1), _RARE)

    assert one == pytest.approx(0.5, abs=0.02)
    assert four == pytest.approx([0.125] * 4, abs=0.02)


def test_a_guest_that_is_busy_elsewhere_has_half_of_its_weight_here() -> None:
    here, other, _ = _runs(Loop(0.0, 0.0, guest=0, elsewhere=1.0), Loop(0.0, 0.0, guest=1), _RARE)

    assert here == pytest.approx(1 / 3, abs=0.02)
    assert other == pytest.approx(2 / 3, abs=0.02)


def test_short_work_is_let_in_beside_one_busy_thread() -> None:
    (run, wait), _ = played([_loop(0.2), _BUSY], _SLICE_NS)

    assert run == pytest.approx(0.2, abs=0.005)
    assert wait < 0.01


def test_work_of_some_milliseconds_lets_shorter_work_wait_until_a_tick() -> None:
    (_, short_waits), (_, long_waits) = played([_loop(0.2), _loop(0.5, 5.0)], _SLICE_NS)

    assert short_waits > 0.2
    assert long_waits < 0.08


def test_a_play_repeats_itself_to_the_bit() -> None:
    loops = [_loop(0.36), _loop(0.5, 3.0), _BUSY]

    assert played(loops, _SLICE_NS) == played(loops, _SLICE_NS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            Loop,
            work_ns=st.floats(5e4, 5e6),
            sleep_ns=st.one_of(st.just(0.0), st.floats(5e4, 5e6)),
            weight=st.sampled_from((110, 1024, 4096)),
        ),
        max_size=5,
    ),
    st.lists(st.integers(0, 2), max_size=3),
)
def test_no_more_than_the_cpu_has_and_all_of_it_where_somebody_is_busy(
    loops: list[Loop], guests: list[int]
) -> None:
    grouped = [Loop(1e5, 3e5, guest=guest, elsewhere=0.5 * guest) for guest in guests]
    every = [_RARE, *loops, *grouped]

    shares = played(every, _SLICE_NS)

    total = sum(run for run, _ in shares)
    assert total <= 1.0 + 1e-9
    if any(loop.sleep_ns == 0.0 for loop in every):
        assert total == pytest.approx(1.0)
    for run, wait in shares:
        assert 0.0 <= run <= 1.0
        assert 0.0 <= wait <= 1.0
        assert run + wait <= 1.0 + 1e-9
