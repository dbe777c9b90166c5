import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtlab.simulator.cpu_law import sharing

# Measured on Linux, one CPU: duty, how many loops, total use, run-queue delay of each.
LINUX = [
    (0.50, 2, 0.78, 0.22),
    (0.36, 2, 0.63, 0.13),
    (0.21, 2, 0.38, 0.035),
    (0.21, 8, 0.99, 0.345),
]


@pytest.mark.parametrize(("duty", "loops", "total", "delay"), LINUX)
def test_the_law_is_near_to_what_was_measured_on_linux(
    duty: float, loops: int, total: float, delay: float
) -> None:
    shares = sharing((duty,) * loops)

    assert sum(run for run, _ in shares) == pytest.approx(total, abs=0.03)
    # The long saturated set is the one in which the law waits more than Linux: 0.42.
    assert shares[0][1] == pytest.approx(delay, abs=0.08)


def test_n_busy_loops_get_an_nth_each_and_wait_for_the_rest() -> None:
    for n in range(1, 9):
        for run, wait in sharing((1.0,) * n):
            assert run == pytest.approx(1 / n)
            assert wait == pytest.approx(1 - 1 / n)


def test_a_busy_loop_is_the_limit_of_a_nearly_busy_one() -> None:
    exact = sharing((1.0, 0.3, 0.3))
    near = sharing((0.99989, 0.3, 0.3))

    for (run, wait), (near_run, near_wait) in zip(exact, near, strict=True):
        assert near_run == pytest.approx(run, abs=1e-3)
        assert near_wait == pytest.approx(wait, abs=1e-3)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_no_more_time_is_handed_out_than_there_is(duties: list[float]) -> None:
    shares = sharing(tuple(duties))

    assert sum(run for run, _ in shares) <= 1.0 + 1e-9
    for duty, (run, wait) in zip(duties, shares, strict=True):
        assert 0.0 <= run <= duty + 1e-4
        assert -1e-9 <= wait <= 1.0


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=12))
def test_what_a_loop_wants_can_be_read_from_its_run_and_wait_shares(duties: list[float]) -> None:
    for duty, (run, wait) in zip(duties, sharing(tuple(duties)), strict=True):
        assert run / (1 - wait) == pytest.approx(duty, rel=1e-6)


@given(st.lists(st.floats(0.0, 0.99), min_size=1, max_size=10))
def test_an_idle_vcpu_changes_nothing(duties: list[float]) -> None:
    alone = sharing(tuple(duties))

    for share, before in zip(sharing((*duties, 0.0)), alone, strict=False):
        assert share == pytest.approx(before)


def test_hundreds_of_vcpus_on_one_pcpu_stay_within_a_float() -> None:
    shares = sharing(tuple(0.3 + n / 1000 for n in range(300)))

    assert sum(run for run, _ in shares) == pytest.approx(1.0)
