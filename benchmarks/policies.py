"""Our scheduler: how good and how fast its plans are, how it keeps still, and against Linux alone.

Policies plan for the same hosts: vCPUs of uniform demand that sit anywhere at random, their demands
known from 64 looks. What no placement can beat is from `policies.bounds`. Against Linux left alone
two of ours play every family of the league: p99 of delay in a second, and work done.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import fsum
from random import Random

from benchmarks.figure import Figure
from virtlab.grading.marks import mark_run
from virtlab.grading.rubric import find_rubric
from virtlab.league.contest import Contest, played
from virtlab.league.corpus import chosen_families
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.entrants import chosen_entrants
from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.topology import flat
from virtlab.model.units import NS_PER_S
from virtlab.policies.bounds import fewest_moves, least_busiest
from virtlab.policies.policy import SchedulingPolicy
from virtlab.policies.registry import find_policy
from virtlab.policies.scheduling.even import Even
from virtlab.policies.scheduling.largest_first import LargestFirst
from virtlab.scenario import find_scenario

VCPUS, PCPUS = 10_000, 512
LOOKS = 64
SEEDS = range(5)
NOISY_TICKS = 10_000
MARKED_SEEDS = 100
SIZES = (10, 100, 1_000, 10_000, 100_000)  # vCPUs, twenty to a pCPU
BASELINES = ("largest-first", "greedy", "numad")
ALONE = "leave-alone"
HUNDREDTH = 0.01  # of a second: smaller differences of delays say nothing
FAMILY_SEEDS = range(3001, 3004)  # on which nothing was tuned


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
    return [*shown, *growth(), *against_linux(), noise_only(), lost_points()]


def growth() -> list[Figure]:
    """How long a plan takes from ten vCPUs to a hundred thousand, ours and others'."""
    shown = []
    for size in SIZES:
        host = crowd(0, size, max(size // 20, 2))
        for name in ("even", *BASELINES):
            policy = find_policy(name, "scheduling")()
            for at_s in range(1, 4):
                policy.decide(host.look(at_s, movable=False))
            _, ms = plan_of(policy, host.look(4))
            shown.append(Figure(f"ms a plan, {name}, {size} vCPUs", ms, ""))
    return shown


def against_linux() -> list[Figure]:
    """In how many families ours makes anybody wait longer than Linux alone, or work less."""
    families = chosen_families((), "scheduling")
    entrants = chosen_entrants(("even", "even-wide", ALONE))
    contests = [
        Contest(family, seed, entrants, optimum=False)
        for family in families
        for seed in FAMILY_SEEDS
    ]
    with ProcessPoolExecutor() as processes:
        outcomes = list(processes.map(played, contests, chunksize=4))
    shown = []
    for ours in ("even", "even-wide"):
        above, least, worst = [], 1.0, ""
        for family in families:
            figures = [
                {bout.entrant: bout.figures for bout in outcome.bouts}
                for outcome in outcomes
                if outcome.optimum.family == family.name
            ]
            p99 = [fsum(one[name]["delay_p99"] for one in figures) for name in (ours, ALONE)]
            if p99[0] - p99[1] > HUNDREDTH * len(figures):
                above.append(family.name)
            work = [fsum(one[name]["work_s"] for one in figures) for name in (ours, ALONE)]
            if work[1] > 0.0 and work[0] / work[1] < least:
                least, worst = work[0] / work[1], family.name
        shown += [
            Figure(
                f"families where {ours} waits longer than Linux alone",
                len(above),
                f"of {len(families)}",
                aim=0,
                note=", ".join(above),
            ),
            Figure(f"least work of {ours} against Linux alone", least, "", aim=0.99, note=worst),
        ]
    return shown


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
