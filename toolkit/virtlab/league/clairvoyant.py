"""What somebody reaches who knows all guests' needs beforehand: a linear programme.

Sizes a[i, t] of each guest at each second, and what it lacks s[i, t]:

    minimise   sum of s[i, t] + e sum of a[i, t]        e small: of equal shortages, the least idle
    where      s[i, t] >= need[i, t] - a[i, t]
               floor[i] <= a[i, t] <= maximum[i],  a[i, 0] = its size at the start
               a[i, t + 1] - a[i, t] <= up,  a[i, t] - a[i, t + 1] <= down     the balloon's rates
               a[i, t + 1] = a[i, t]            while its balloon is stuck or its lock is held
               sum over i of a[i, t] <= what the host has beyond itself and its reserve

A guest that is off holds nothing, and boots with the size of its description.

It is a yardstick, and in two ways not a bound: a policy may promise more than there is, as long as
guests do not touch it, and here nobody does. And it is kinder than the world: balloons take what is
in use as fast as what is idle, and calls cost no time.

Source: GLOP, OR-tools' simplex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from virtlab.league.memory_measures import Needs
from virtlab.model.faults import GuestFault
from virtlab.model.scenario import GuestSpec, Scenario
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.simulator.balloon import RATES

__all__ = ["Clairvoyant", "foreseen"]

_IDLE_COST: Final = 1e-4  # of a MiB held, where one that is lacking costs 1
_OVER_COST: Final = 1e3  # of a MiB beyond what the host has: only where it begins so


@dataclass(frozen=True, slots=True)
class Clairvoyant:
    """What is reached."""

    shortage_mib_s: float
    idle_mib: float  # above need, over all guests, on average


def foreseen(
    scenario: Scenario, needs: Needs, *, reserve_kib: int, floor_kib: int
) -> Clairvoyant | None:
    """Return what is reached on a scenario; None where the programme could not be solved.

    Args:
        scenario: whose guests they are.
        needs: what they need.
        reserve_kib: what the host keeps for itself.
        floor_kib: what no guest may fall below, unless its maximum is less.
    """
    from ortools.linear_solver.python import model_builder

    model = model_builder.Model()  # type: ignore[no-untyped-call]  # it has no types
    solver = model_builder.Solver("glop")
    steps = len(next(iter(needs.by_guest.values()), ()))
    room = scenario.host.memory_kib - scenario.host.used_kib - reserve_kib
    held: list[list[Any]] = [[] for _ in range(steps)]  # sizes at each second
    lacking: list[Any] = []
    needed_mib = 0.0
    for spec in scenario.guests:
        sizes = _sizes(model, scenario, spec, needs.running[spec.name], floor_kib)
        for step, need_kib in enumerate(needs.by_guest[spec.name]):
            size = sizes[step]
            if size is None:
                continue
            need = need_kib / KIB_PER_MIB
            needed_mib += need
            held[step].append(size)
            lack = model.new_num_var(0.0, need, "")
            model.add(lack + size >= need)
            lacking.append(lack)
    over = [model.new_num_var(0.0, float("inf"), "") for _ in range(steps)]
    for sizes_now, beyond in zip(held, over, strict=True):
        if sizes_now:
            model.add(sum(sizes_now) - beyond <= room / KIB_PER_MIB)
    every = [size for sizes_now in held for size in sizes_now]
    model.minimize(sum(lacking) + _IDLE_COST * sum(every) + _OVER_COST * sum(over))
    if not lacking or solver.solve(model) != model_builder.SolveStatus.OPTIMAL:
        return None
    short = sum(map(solver.value, lacking))
    # Of each guest at each second: size = need - lacking + idle.
    idle = sum(map(solver.value, every)) - needed_mib + short
    return Clairvoyant(round(max(short, 0.0), 3), round(max(idle, 0.0) / steps, 3))


def _sizes(
    model: Any, scenario: Scenario, spec: GuestSpec, running: Sequence[bool], floor_kib: int
) -> list[Any]:
    """Return a guest's size at each second as a variable; None while it is off."""
    low = min(floor_kib, spec.memory_kib, spec.max_memory_kib) / KIB_PER_MIB
    high = spec.max_memory_kib / KIB_PER_MIB
    rates = RATES[scenario.host.balloon]
    up, down = (rate * NS_PER_S / KIB_PER_MIB for rate in (rates.deflate, rates.inflate))
    stuck = _stuck_seconds(scenario, spec.name)
    sizes: list[Any] = []
    for step, runs in enumerate(running):
        if not runs:
            sizes.append(None)
            continue
        before = sizes[-1] if sizes else None
        if before is None:  # it is there for the first second
            begin = spec.memory_kib / KIB_PER_MIB
            sizes.append(model.new_num_var(begin, begin, ""))
            continue
        size = model.new_num_var(low, high, "")
        if step - 1 in stuck:
            model.add(size == before)
        else:
            model.add(size - before <= up)
            model.add(before - size <= down)
        sizes.append(size)
    return sizes


def _stuck_seconds(scenario: Scenario, name: str) -> set[int]:
    """Return the seconds in which nobody can move a guest's balloon."""
    stuck: set[int] = set()
    for event in scenario.events:
        if (
            isinstance(event, GuestFault)
            and event.guest == name
            and event.kind in ("balloon-stuck", "blocked")
        ):
            begin_s = -(-event.time_ns // NS_PER_S)
            end_ns = scenario.duration_ns if event.for_ns is None else event.time_ns + event.for_ns
            stuck |= set(range(begin_s, end_ns // NS_PER_S))
    return stuck
