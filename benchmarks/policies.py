"""Our scheduler: how good and how fast its plans are, and whether it keeps still.

`even` and `largest-first` plan for the same host: vCPUs of uniform demand that sit anywhere at
random, their demands known from 64 looks. What no placement can beat is from `policies.bounds`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from benchmarks.figure import Figure
from virtlab.grading.marks import mark_run
from virtlab.grading.rubric import find_rubric
from virtlab.league.cpu_run import run_scheduler
from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.topology import flat
from virtlab.model.units import NS_PER_S
from virtlab.policies.bounds import fewest_moves, least_busiest
from virtlab.policies.policy import SchedulingPolicy
from virtlab.policies.scheduling.even import Even
from virtlab.policies.scheduling.largest_first import LargestFirst
from virtlab.scenario import find_scenario

VCPUS, PCPUS = 10_000, 512
LOOKS = 64
SEEDS = range(5)
NOISY_TICKS = 10_000
MARKED_SEEDS = 100


@dataclass(frozen=True)
class Crowd:
    """vCPUs at random on a large host."""

    demands: Sequence[float]
    homes: Sequence[int]
    pcpus: int = PCPUS

    def look(self, at_s: int, *, movable: bool = True) -> CpuSnapshot:
        masks = [frozenset({pcpu}) for pcpu in range(self.pcpus)]
        vcpus = tuple(
            VcpuView(VcpuKey(f"vm{n:06}", 0), masks[home], home, demand, 0.0, movable=movable)
            for n, (demand, home) in enumerate(zip(self.demands, self.homes, strict=True))
        )
        return CpuSnapshot(at_s * NS_PER_S, NS_PER_S, flat(self.pcpus, 1 << 30), vcpus)

    def busiest(self, plan: CpuPlan) -> float:
        seats = list(self.homes)
        for pin in plan.actions:
            seats[int(pin.vcpu.guest[2:])] = min(pin.pcpus)
        loads = [0.0] * self.pcpus
        for seat, demand in zip(seats, self.demands, strict=True):
            loads[seat] += demand
        return max(loads)

    def fewest(self, busiest: float) -> int:
        by_pcpu: list[list[float]] = [[] for _ in range(self.pcpus)]
        for home, demand in zip(self.homes, self.demands, strict=True):
            by_pcpu[home].append(demand)
        return fewest_moves([(loads, 0.0) for loads in by_pcpu], busiest)


def crowd(seed: int, vcpus: int = VCPUS, pcpus: int = PCPUS) -> Crowd:
    random = Random(seed)
    demands = [random.uniform(0.06, 1.0) for _ in range(vcpus)]
    return Crowd(demands, [random.randrange(pcpus) for _ in range(vcpus)], pcpus)


def plan_of(policy: SchedulingPolicy, host: CpuSnapshot) -> tuple[CpuPlan, float]:
    """Return a plan, and the ms of processor time that it took."""
    began = time.process_time()
    plan = policy.decide(host)
    return plan, 1000 * (time.process_time() - began)


def scheduler() -> list[Figure]:
    figures: dict[str, list[float]] = {}
    for seed in SEEDS:
        host = crowd(seed)
        even = Even()
        for at_s in range(1, LOOKS):
            even.decide(host.look(at_s, movable=False))  # it may only watch
        looked = host.look(LOOKS)
        ours, ours_ms = plan_of(even, looked)
        largest, largest_ms = plan_of(LargestFirst(), looked)
        floor = least_busiest(host.demands, [0.0] * PCPUS, [1.0] * PCPUS)
        busiest = host.busiest(ours)
        # Demands that stay as they are, after the plan: what a tick costs while nothing is done.
        moved = {int(pin.vcpu.guest[2:]): min(pin.pcpus) for pin in ours.actions}
        settled = replace(host, homes=[moved.get(n, home) for n, home in enumerate(host.homes)])
        _, still_ms = plan_of(even, settled.look(LOOKS + 1))
        for name, value in {
            "ms a plan": ours_ms,
            "ms a still tick": still_ms,
            "ms, largest first": largest_ms,
            "over largest first's time": ours_ms / largest_ms,
            "busiest over bound": busiest / floor,
            "busiest over bound, largest first": host.busiest(largest) / floor,
            "moves over fewest": len(ours.actions) / host.fewest(busiest),
            "moves, largest first": len(largest.actions),
        }.items():
            figures.setdefault(name, []).append(value)
    aims = {"ms a plan": 20.0, "busiest over bound": 1.001, "moves over fewest": 1.1}
    shown = [
        Figure(f"{name}, {VCPUS} vCPUs", statistics.median(values), "", aim=aims.get(name))
        for name, values in figures.items()
    ]
    return [*shown, noise_only(), lost_points()]


def noise_only() -> Figure:
    """How often somebody is moved on an even host, over many ticks of noise."""
    scenario = replace(find_scenario("cpu-3-balanced"), duration_s=NOISY_TICKS)
    pins = run_scheduler(scenario, Even()).pins
    return Figure(f"moves in {NOISY_TICKS} ticks of noise", len(pins), "", 0)


def lost_points() -> Figure:
    """How many tests of all rubrics, on all seeds, did not get full points."""
    lost = 0
    for rubric in ("fall-2026", "rubric-2023", "generality"):
        for test in find_rubric(rubric).tests:
            if test.scenario.program != "vcpu_scheduler":
                continue
            for seed in range(MARKED_SEEDS):
                timeline = run_scheduler(test.scenario, Even(), seed=seed)
                marks = mark_run(test, timeline, program="even", replay="")
                lost += marks.points < test.points_max
    return Figure(f"tests of three rubrics not full, {MARKED_SEEDS} seeds", lost, "", 0)
