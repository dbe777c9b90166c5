"""The best placement of loads on pCPUs, and the fewest moves to come near it, by CP-SAT.

Makespan: x[v, p] says that vCPU v sits on pCPU p, each on one; minimise C with, for each pCPU of
speed s, sum of x[v, p] load[v] <= C s. Loads are rounded down to 1/10,000 of a pCPU, so the optimum
of the rounded problem is a floor under the true one, and off by a hundredth of a point a load.

Moves: for each set of loads that was there, a placement with C at most a limit; m[v] = 1 where v
sits outside of its first mask in any of them; minimise the sum of m. A policy that lets a vCPU go
anywhere pays one pin for it and no more, so this is a floor for all policies. Whoever may run
anywhere from the start costs nothing, as Linux moves it for free.

CP-SAT runs on one thread with a limit in its own deterministic time, so that the same model gives
the same answer everywhere. It stops within a thousandth of the optimum; where it comes to its limit
before, its bound is a floor, too.

Source: OR-tools' documentation of CP-SAT; the models are the usual ones of P||Cmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import floor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, CpSolver, IntVar

__all__ = ["EXACT_VCPUS_MAX", "Bound", "fewest_moved", "has_solver", "least_peak"]

EXACT_VCPUS_MAX: Final = 200
_UNITS: Final = 10_000  # in a pCPU
_FULL: Final = 1024  # speeds are whole parts of it, as capacities are
_LIMIT: Final = 0.5  # deterministic seconds of CP-SAT for one model
_GAP: Final = 1e-3  # of the optimum, within which a placement counts as the best


@dataclass(frozen=True, slots=True)
class Bound:
    """What nobody goes below."""

    value: float
    exact: bool  # it can be had, too, to a thousandth


def has_solver() -> bool:
    """Tell whether OR-tools is installed."""
    return find_spec("ortools") is not None


def least_peak(loads: Sequence[float], capacity: Sequence[int]) -> Bound:
    """Return how full the fullest pCPU is at least, with loads placed as well as can be.

    Args:
        loads: in shares of a full pCPU.
        capacity: of each pCPU; 1024 is a full one.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    units = sorted((_units(load) for load in loads), reverse=True)
    peak = model.new_int_var(0, sum(units) * _FULL, "peak")
    seats = _place(model, units, capacity, peak)
    if len(set(capacity)) == 1:  # equal pCPUs: the nth largest load needs no more than n of them
        for number, row in enumerate(seats):
            for seat in row[number + 1 :]:
                model.add(seat == 0)
    for row, best in zip(seats, _largest_first(units, capacity), strict=True):
        for pcpu, here in enumerate(row):
            model.add_hint(here, pcpu == best)
    model.minimize(peak)
    solver = _solver()
    status = solver.solve(model)
    return Bound(solver.best_objective_bound / _UNITS, status == cp_model.OPTIMAL)


def fewest_moved(
    moments: Sequence[Sequence[float]],
    limits: Sequence[float],
    masks: Sequence[frozenset[int] | None],
    capacity: Sequence[int],
) -> Bound:
    """Return how many vCPUs leave their first masks at least.

    Args:
        moments: for each, the load of every vCPU; 0 for one that is not there.
        limits: how full pCPUs may be at each moment.
        masks: where each vCPU may run at first; None: anywhere.
        capacity: of each pCPU; 1024 is a full one.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    moved = [model.new_bool_var("") for _ in masks]
    for loads, limit in zip(moments, limits, strict=True):
        units = [_units(load) for load in loads]
        seats = _place(model, units, capacity, floor(limit * _UNITS) + 1)
        for row, mask, leaves, load in zip(seats, masks, moved, units, strict=True):
            if mask is None or load == 0:
                continue
            for pcpu, seat in enumerate(row):
                if pcpu not in mask:
                    model.add_implication(seat, leaves)
    model.minimize(sum(moved))
    solver = _solver()
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Bound(0.0, exact=False)  # none was found in time, so nothing is known
    return Bound(round(solver.best_objective_bound), status == cp_model.OPTIMAL)


def _place(
    model: CpModel, units: Sequence[int], capacity: Sequence[int], peak: IntVar | int
) -> list[list[IntVar]]:
    """Add loads that sit on one pCPU each, none of which is fuller than the peak."""
    seats = [[model.new_bool_var("") for _ in capacity] for _ in units]
    for row in seats:
        model.add_exactly_one(row)
    for pcpu, speed in enumerate(capacity):
        load = sum(unit * row[pcpu] for unit, row in zip(units, seats, strict=True))
        model.add(load * _FULL <= peak * speed)
    return seats


def _largest_first(units: Sequence[int], capacity: Sequence[int]) -> list[int]:
    """Return a seat for each of falling loads: where it ends up least full, the first of equals."""
    full = [0] * len(capacity)
    seats = []
    for unit in units:
        ends = [(load + unit) / speed for load, speed in zip(full, capacity, strict=True)]
        seat = ends.index(min(ends))
        full[seat] += unit
        seats.append(seat)
    return seats


def _solver() -> CpSolver:
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = _LIMIT
    solver.parameters.relative_gap_limit = _GAP
    return solver


def _units(load: float) -> int:
    return floor(load * _UNITS)
