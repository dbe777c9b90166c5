"""A recorded load under another policy, on the simulator.

The host, its guests and their loads are those of the recording (`agent.fitting`), so policies are
compared on the same load. The policy of the recording runs beside the other: how far its run is
from what was recorded says how far the simulator is to be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from virtlab.agent.journal import RecordedTick
from virtlab.agent.outcome import figures_of
from virtlab.agent.recorded import snapshot_of
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.memory_run import run_coordinator
from virtlab.league.memory_sensor import MemoryLimits
from virtlab.model.plan import Plan
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB

__all__ = ["Replayed", "recorded", "replayed"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One run in figures, over all its ticks."""

    name: str
    ticks: int
    changes: int
    # Of schedulers: how full the busiest pCPU was, how far pCPUs were apart, how long vCPUs waited.
    busiest_share: float | None = None
    spread_points: float | None = None
    delay_share_p99: float | None = None
    # Of coordinators: the least unused memory of any guest, guests' memory, and what was swapped.
    unused_mib_least: float | None = None
    size_mib: float | None = None


class _Meter:
    """Collects figures tick by tick."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._figures: dict[str, list[float]] = {}
        self._changes = 0
        self._ticks = 0

    def take(self, snapshot: Any, changes: int) -> None:
        self._ticks += 1
        self._changes += changes
        if isinstance(snapshot, CpuSnapshot):
            if any(vcpu.run_share is not None for vcpu in snapshot.vcpus):
                for name, value in figures_of(snapshot).items():
                    self._figures.setdefault(name, []).append(value)
            delays = [v.delay_share for v in snapshot.vcpus if v.delay_share is not None]
            self._figures.setdefault("delay", []).extend(delays)
            return
        unused = [guest.unused_kib for guest in snapshot.guests if guest.unused_kib is not None]
        if unused:
            self._figures.setdefault("unused", []).append(min(unused) / KIB_PER_MIB)
        size_kib = sum(guest.actual_kib for guest in snapshot.guests)
        self._figures.setdefault("size", []).append(size_kib / KIB_PER_MIB)

    def result(self) -> Replayed:
        mean = {name: sum(each) / len(each) for name, each in self._figures.items() if each}
        delays = sorted(self._figures.get("delay", ()))
        unused = self._figures.get("unused")
        return Replayed(
            name=self._name,
            ticks=self._ticks,
            changes=self._changes,
            busiest_share=_rounded(mean.get("busiest_share"), 3),
            spread_points=_rounded(mean.get("spread_points"), 2),
            delay_share_p99=_rounded(delays[math.ceil(0.99 * len(delays)) - 1], 4)
            if delays
            else None,
            unused_mib_least=None if unused is None else round(min(unused), 1),
            size_mib=_rounded(mean.get("size"), 1),
        )


def recorded(ticks: Sequence[RecordedTick], name: str) -> Replayed:
    """Return what was recorded, in the figures of a run."""
    meter = _Meter(name)
    for tick in ticks:
        done = [result for result in tick.parts["came"].values() if result == "done"]
        meter.take(snapshot_of(tick), len(done))
    return meter.result()


def replayed(
    scenario: Scenario, policy: Any, name: str, *, first: CpuSnapshot | MemorySnapshot
) -> Replayed:
    """Return what a policy makes of a recorded load.

    Args:
        scenario: of the recording.
        policy: a fresh one.
        name: for the result.
        first: of the recorded snapshots; it says what a coordinator had to keep.
    """
    meter = _Meter(name)

    def on_tick(snapshot: CpuSnapshot | MemorySnapshot, plan: Plan[Any]) -> None:
        meter.take(snapshot, len(plan.actions))

    shown: Callable[..., None] = on_tick
    if isinstance(first, CpuSnapshot):
        run_scheduler(scenario, policy, on_tick=shown)
    else:
        limits = MemoryLimits(
            reserve_kib=first.host_reserve_kib,
            floor_kib=0,
            floors_kib={guest.guest: guest.floor_kib for guest in first.guests},
            shares={guest.guest: guest.shares for guest in first.guests},
        )
        run_coordinator(scenario, policy, limits=limits, on_tick=shown)
    return meter.result()


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
