"""The distance between two hosts in one run: pure, figures in and errors out."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from virtlab.model.fidelity import (
    AIMS,
    AimLine,
    FidelityRun,
    RunDistance,
    RunFigures,
    SettlingError,
    SizeError,
    SizesOverTime,
    VcpuError,
    VcpuFigures,
)

__all__ = ["against_aims", "distance_of"]

_WORDS: Final = {"passed": "met", "failed": "not met", "not_run": "not run"}

_KINDS: Final[tuple[tuple[str, str, float, Callable[[RunDistance], float | None]], ...]] = (
    ("CPU share", "points", AIMS.share_points, lambda one: one.share_points),
    ("CPU share, same acts", "points", AIMS.share_points, lambda one: one.share_points_same_acts),
    ("run-queue delay", "points", AIMS.delay_points, lambda one: one.delay_points),
    ("delay, same acts", "points", AIMS.delay_points, lambda one: one.delay_points_same_acts),
    ("balloon", "% of range", AIMS.size_percent, lambda one: one.balloon_percent),
    (
        "balloon, same acts",
        "% of range",
        AIMS.size_percent,
        lambda one: one.balloon_percent_same_acts,
    ),
    ("unused memory", "% of range", AIMS.size_percent, lambda one: one.unused_percent),
    (
        "unused, same acts",
        "% of range",
        AIMS.size_percent,
        lambda one: one.unused_percent_same_acts,
    ),
    ("settle time", "intervals", AIMS.settle_intervals, lambda one: one.settle_intervals),
)


def against_aims(distances: Sequence[RunDistance]) -> tuple[AimLine, ...]:
    """Return how the runs that count do by each aim; disturbed ones do not count."""
    counted = [one for one in distances if one.disturbed is None]
    return tuple(_aim_line(*kind, counted) for kind in _KINDS)


def _aim_line(
    name: str,
    unit: str,
    aim: float,
    error_of: Callable[[RunDistance], float | None],
    counted: Sequence[RunDistance],
) -> AimLine:
    errors = [error for one in counted if (error := error_of(one)) is not None]
    worst = max(errors, default=None)
    middle = statistics.median(errors) if errors else None
    return AimLine(
        name,
        unit,
        aim,
        median=_finite(middle),
        worst=_finite(worst),
        within=sum(error <= aim for error in errors),
        runs=len(errors),
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else round(value, 3)


def distance_of(run: FidelityRun) -> RunDistance:
    """Return how far the simulated host was from the real one."""
    agree = {
        name: status == run.simulated.criteria[name]
        for name, status in run.real.criteria.items()
        if "not_run" not in (status, run.simulated.criteria.get(name, "not_run"))
    }
    return RunDistance(
        scenario=run.scenario,
        program=run.program,
        number=run.number,
        disturbed=run.disturbed,
        vcpus=tuple(_vcpus(run)),
        sizes=tuple(_sizes(run)),
        settling=tuple(_settling(run.real, run.simulated)),
        verdicts=agree,
        judged_otherwise=tuple(
            f"{name}: {_WORDS[run.simulated.criteria[name]]} on the simulated host, "
            f"{_WORDS[run.real.criteria[name]]} on the real one"
            for name, same in agree.items()
            if not same
        ),
    )


def _vcpus(run: FidelityRun) -> Iterator[VcpuError]:
    simulated, same_acts = _by_vcpu(run.simulated), _by_vcpu(run.same_acts)
    for real in run.real.vcpus:
        key = (real.guest, real.vcpu, real.phase)
        if key not in simulated or key not in same_acts:
            continue
        mine, replayed = simulated[key], same_acts[key]
        yield VcpuError(
            *key,
            share_points=round(mine.share_points - real.share_points, 3),
            share_points_same_acts=round(replayed.share_points - real.share_points, 3),
            delay_points=_less(mine.delay_points, real.delay_points),
            delay_points_same_acts=_less(replayed.delay_points, real.delay_points),
        )


def _by_vcpu(figures: RunFigures) -> dict[tuple[str, int, int], VcpuFigures]:
    return {(one.guest, one.vcpu, one.phase): one for one in figures.vcpus}


def _less(simulated: float | None, real: float | None) -> float | None:
    return None if simulated is None or real is None else round(simulated - real, 3)


def _sizes(run: FidelityRun) -> Iterator[SizeError]:
    simulated = {sizes.guest: sizes for sizes in run.simulated.sizes}
    same_acts = {sizes.guest: sizes for sizes in run.same_acts.sizes}
    for real in run.real.sizes:
        if real.guest in simulated and real.guest in same_acts:
            free = _percent(real, run.real.times_ns, simulated[real.guest], run.simulated.times_ns)
            held = _percent(real, run.real.times_ns, same_acts[real.guest], run.same_acts.times_ns)
            yield SizeError(real.guest, free[0], held[0], free[1], held[1])


def _percent(
    real: SizesOverTime,
    real_ns: Sequence[int],
    simulated: SizesOverTime,
    simulated_ns: Sequence[int],
) -> tuple[float, float]:
    """Return the mean distance of balloon and unused memory, at the real run's moments."""
    pairs = (
        (real.actual_kib, simulated.actual_kib),
        (real.unused_kib, simulated.unused_kib),
    )
    first, second = (
        _mean(
            abs(_at(simulated_ns, line, time_ns) - kib)
            for time_ns, kib in zip(real_ns, truth, strict=True)
        )
        for truth, line in pairs
    )
    whole = real.range_kib / 100
    return round(first / whole, 3), round(second / whole, 3)


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _at(times_ns: Sequence[int], line: Sequence[int], time_ns: int) -> float:
    """Return a line's value at a moment, straight between its entries and level beyond them."""
    after = bisect_left(times_ns, time_ns)
    if after == 0 or after == len(times_ns):
        return float(line[min(after, len(line) - 1)])
    before_ns, after_ns = times_ns[after - 1], times_ns[after]
    part = (time_ns - before_ns) / (after_ns - before_ns)
    return line[after - 1] + (line[after] - line[after - 1]) * part


def _settling(real: RunFigures, simulated: RunFigures) -> Iterator[SettlingError]:
    found = {one.what: one.intervals for one in simulated.settling}
    truth = {one.what: one.intervals for one in real.settling}
    for what in dict.fromkeys((*truth, *found)):
        both = what in truth and what in found
        yield SettlingError(what, round(found[what] - truth[what], 2) if both else None)
