"""The physical constants of the simulated host, each to be made larger or smaller for a league.

Laws keep their constants beside their sources, and no law takes them as arguments: nothing but the
question of how much a ranking hangs on them would ever set one. So they are changed in place, in
every module that has them under their name, for the time of one contest; and what laws keep of
earlier results is forgotten before and after. Constants of a scenario are changed in the scenario.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final

from virtlab.model.league import PolicyKind
from virtlab.model.scenario import Scenario
from virtlab.simulator.balloon import Rates

__all__ = ["CONSTANTS", "Constant", "altered", "altered_scenario"]

_BOTH: Final[tuple[PolicyKind, ...]] = ("scheduling", "coordination")
_CPU: Final[tuple[PolicyKind, ...]] = ("scheduling",)
_MEMORY: Final[tuple[PolicyKind, ...]] = ("coordination",)


def _scaled(value: Any, factor: float) -> Any:
    """Return a number so many times as large, of the same kind."""
    return round(value * factor) if isinstance(value, int) else value * factor


def _scaled_chance(value: float, factor: float) -> float:
    return min(value * factor, 1.0)


def _scaled_rates(value: dict[str, Rates], factor: float) -> dict[str, Rates]:
    return {
        kind: Rates(rates.inflate * factor, rates.inflate_busy * factor, rates.deflate * factor)
        for kind, rates in value.items()
    }


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant, and for which policies it could make a difference."""

    name: str
    kinds: tuple[PolicyKind, ...]
    module: str = ""  # in virtlab; empty for one of scenarios
    attribute: str = ""
    change: Callable[[Any, float], Any] = _scaled
    in_scenario: Callable[[Scenario, float], Scenario] | None = None


def _smt(scenario: Scenario, factor: float) -> Scenario:
    """Change what a second busy thread adds to a core."""
    layout = scenario.host.topology
    if layout is None:
        return scenario
    layout = replace(layout, smt_yield=1.0 + (layout.smt_yield - 1.0) * factor)
    return replace(scenario, host=replace(scenario.host, topology=layout))


def _remote(scenario: Scenario, factor: float) -> Scenario:
    """Change how much slower far memory is than near one."""
    layout = scenario.host.topology
    if layout is None:
        return scenario
    layout = replace(layout, remote_latency=1.0 + (layout.remote_latency - 1.0) * factor)
    return replace(scenario, host=replace(scenario.host, topology=layout))


def _swap(scenario: Scenario, factor: float) -> Scenario:
    guests = [replace(one, swap_kib_s=round(one.swap_kib_s * factor)) for one in scenario.guests]
    return replace(scenario, guests=tuple(guests))


CONSTANTS: Final = (
    Constant("cost of a move", _CPU, "simulator.cache_law", "MOVE_COST_NS"),
    Constant("slice of the scheduler", _CPU, "simulator.queue_law", "_BASE_SLICE_NS"),
    Constant("collisions of short loops", _CPU, "simulator.queue_law", "_MET"),
    Constant("time between Linux's rebalances", _CPU, "simulator.placement", "REBALANCE_NS"),
    Constant(
        "chance that a busy vCPU wanders", _CPU, "simulator.placement", "_WANDER_CHANCE",
        change=_scaled_chance,
    ),
    Constant("noise of loads", _CPU, "simulator.noise", "_STEP"),
    Constant("yield of a second thread", _CPU, in_scenario=_smt),
    Constant("latency of far memory", _CPU, in_scenario=_remote),
    Constant("cost of a call", _BOTH, "hosts.clock", "DEFAULT_CALL_COST_NS"),
    Constant("cost of setting a balloon", _MEMORY, "league.memory_run", "_SET_NS"),
    Constant("speed of balloons", _MEMORY, "simulator.balloon", "RATES", change=_scaled_rates),
    Constant("wait of a balloon that finds nothing", _MEMORY, "simulator.balloon",
             "_OUT_OF_PUFF_NS"),
    Constant("delay of a balloon's event", _MEMORY, "simulator.memory_report",
             "_BALLOON_EVENT_NS"),
    Constant("memory that a stalled guest keeps", _MEMORY, "simulator.memory_sizes",
             "FREE_MIN_KIB"),
    Constant("cache that is not given up", _MEMORY, "simulator.memory_sizes", "CACHE_REST_KIB"),
    Constant("speed of guests' swap", _MEMORY, in_scenario=_swap),
    Constant("reserve of the host's kernel", _MEMORY, "simulator.host_memory",
             "HOST_RESERVE_KIB"),
)  # fmt: skip


@contextmanager
def altered(name: str, factor: float) -> Iterator[None]:
    """Let a constant of the simulator be so many times as large in this block."""
    constant = _find(name)
    if not constant.attribute:
        yield
        return
    home = import_module(f"virtlab.{constant.module}")
    value = getattr(home, constant.attribute)
    changed = constant.change(value, factor)
    users = [
        module
        for key, module in sorted(sys.modules.items())
        if key.startswith("virtlab.") and vars(module).get(constant.attribute) is value
    ]
    assert home in users
    _forget()
    for module in users:
        setattr(module, constant.attribute, changed)
    try:
        yield
    finally:
        for module in users:
            setattr(module, constant.attribute, value)
        _forget()


def altered_scenario(scenario: Scenario, name: str, factor: float) -> Scenario:
    """Return a scenario in which a constant of its own is so many times as large."""
    change = _find(name).in_scenario
    return scenario if change is None else change(scenario, factor)


def _find(name: str) -> Constant:
    return next(constant for constant in CONSTANTS if constant.name == name)


def _forget() -> None:
    """Forget what laws have kept of earlier results."""
    for key, module in sorted(sys.modules.items()):
        if key.startswith("virtlab.simulator."):
            for kept in vars(module).values():
                clear = getattr(kept, "cache_clear", None)
                if clear is not None:
                    clear()
