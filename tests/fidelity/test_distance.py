"""Figures in, errors out: no host is needed to compare two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from virtlab.fidelity.distance import against_aims, distance_of
from virtlab.model.fidelity import (
    FidelityRun,
    RunFigures,
    Settling,
    SizesOverTime,
    VcpuFigures,
)
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib

TIMES_NS = tuple(second * NS_PER_S for second in range(0, 10, 2))


def sizes(*actual_mib: int, unused_mib: int = 100) -> SizesOverTime:
    actual_kib = tuple(size * KIB_PER_MIB for size in actual_mib)
    return SizesOverTime("web", mib(1000), actual_kib, (mib(unused_mib),) * len(actual_kib))


FIGURES = RunFigures(
    times_ns=TIMES_NS,
    vcpus=(VcpuFigures("web", 0, 1, 40.0, 10.0), VcpuFigures("db", 0, 1, 20.0, 5.0)),
    sizes=(sizes(500, 600, 700, 800, 900),),
    settling=(Settling("phase 1", 3.0),),
    criteria={"balanced": "passed", "stable": "failed"},
)


def run(real: RunFigures = FIGURES, **other: Any) -> FidelityRun:
    simulated = other.pop("simulated", FIGURES)
    same_acts = other.pop("same_acts", simulated)
    base = FidelityRun("a-test", "a-program", 1, None, 0.0, {}, (), real, simulated, same_acts)
    return replace(base, **other)


def test_equal_runs_have_no_distance() -> None:
    found = distance_of(run())

    assert found.share_points == found.delay_points == 0
    assert found.balloon_percent == found.unused_percent == 0
    assert found.settle_intervals == 0
    assert found.verdicts == {"balanced": True, "stable": True}
    assert found.judged_otherwise == ()


def test_errors_are_simulated_less_real_and_the_largest_stands_for_the_run() -> None:
    simulated = replace(
        FIGURES,
        vcpus=(VcpuFigures("web", 0, 1, 38.5, 12.0), VcpuFigures("db", 0, 1, 20.5, 5.0)),
        settling=(Settling("phase 1", 1.0),),
    )

    found = distance_of(run(simulated=simulated, same_acts=FIGURES))

    web, db = found.vcpus
    assert (web.share_points, web.share_points_same_acts, web.delay_points) == (-1.5, 0.0, 2.0)
    assert db.share_points == 0.5
    assert (found.share_points, found.share_points_same_acts) == (1.5, 0.0)
    assert (found.delay_points, found.settle_intervals) == (2.0, 2.0)


def test_sizes_differ_by_their_mean_distance_in_percent_of_the_range() -> None:
    simulated = replace(FIGURES, sizes=(sizes(500, 600, 700, 800, 1000, unused_mib=130),))

    found = distance_of(run(simulated=simulated))

    assert found.balloon_percent == 2.0  # 100 of 1000 MiB at one of five moments
    assert found.unused_percent == 3.0


def test_sizes_are_compared_at_the_moments_of_the_real_run() -> None:
    late = tuple(time + NS_PER_S for time in TIMES_NS[:-1])
    real = replace(FIGURES, times_ns=late, sizes=(sizes(550, 650, 750, 850),))

    assert distance_of(run(real)).balloon_percent == 0


@given(shift_mib=st.integers(-300, 300))
def test_a_constant_distance_is_its_own_mean(shift_mib: int) -> None:
    moved = tuple(kib + shift_mib * KIB_PER_MIB for kib in FIGURES.sizes[0].actual_kib)
    simulated = replace(FIGURES, sizes=(replace(FIGURES.sizes[0], actual_kib=moved),))

    assert distance_of(run(simulated=simulated)).balloon_percent == abs(shift_mib) / 10


def test_a_delay_that_the_host_does_not_tell_has_no_error() -> None:
    real = replace(FIGURES, vcpus=(VcpuFigures("web", 0, 1, 40.0, None),))

    found = distance_of(run(real))

    assert found.delay_points is None
    (line,) = [one for one in against_aims([found]) if one.name == "run-queue delay"]
    assert (line.runs, line.worst) == (0, None)


def test_verdicts_that_differ_are_told_in_words() -> None:
    real = replace(FIGURES, criteria={"balanced": "failed", "stable": "not_run"})

    found = distance_of(run(real))

    assert found.verdicts == {"balanced": False}  # what was not judged is not compared
    assert found.judged_otherwise == (
        "balanced: met on the simulated host, not met on the real one",
    )


def test_what_settles_on_one_host_only_is_beyond_any_aim() -> None:
    real = replace(FIGURES, settling=())

    found = distance_of(run(real))

    assert found.settling[0].intervals is None
    (line,) = [one for one in against_aims([found]) if one.name == "settle time"]
    assert (line.within, line.runs, line.worst) == (0, 1, None)


def test_disturbed_runs_are_shown_and_not_counted() -> None:
    far = replace(FIGURES, vcpus=(VcpuFigures("web", 0, 1, 90.0, 0.0),))
    quiet, loud = distance_of(run()), distance_of(run(far, disturbed="others took 40 %"))

    share = against_aims([quiet, loud])[0]

    assert loud.share_points == 50
    assert (share.name, share.worst, share.within, share.runs) == ("CPU share", 0, 1, 1)
