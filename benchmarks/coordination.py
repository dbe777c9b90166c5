"""Coordination policies: what a decision costs as hosts grow, and how well guests are off.

The second is measured on the families of `virtlab.league.memory_families` and `memory_held_out`,
on seeds on which nothing was tuned. Beside our shortage stand that of the best baseline in the same
family, and what a clairvoyant reaches; `closed` is how much of the way from the one to the other
ours goes. No budgets: the table is to be read, and it says where ours is behind.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from random import Random

from benchmarks.figure import Figure
from virtlab.league.clairvoyant import foreseen
from virtlab.league.memory_families import FAMILIES, family_scenario
from virtlab.league.memory_held_out import HELD_OUT
from virtlab.league.memory_measures import Measures, Needs, measured, needs_of
from virtlab.league.memory_run import COURSE_LIMITS, run_coordinator
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import NS_PER_S, mib
from virtlab.policies.policy import CoordinationPolicy
from virtlab.policies.registry import BUILT_IN, find_policy

OURS = "steady"
BASELINES = sorted(
    name for name, (kind, _) in BUILT_IN.items() if kind == "coordination" and name != OURS
)
SIZES = (10, 100, 1_000, 10_000)
TICKS = 8
SEEDS = range(11, 16)


def figures() -> list[Figure]:
    return [*growth(), *families()]


def growth() -> list[Figure]:
    """Return how long a decision takes, for hosts of more and more guests."""
    found = []
    for name in (OURS, *BASELINES):
        for guests in SIZES if name == OURS else SIZES[-1:]:
            took_s = statistics.median(_decisions_s(_new(name), guests))
            found.append(Figure(f"decision of {name}, {guests:,} guests", 1000 * took_s, "ms"))
    return found


def families() -> list[Figure]:
    """Return our shortage and idle memory in each family, beside the best baseline's."""
    found = []
    for family in (*FAMILIES, *HELD_OUT):
        scenarios = [family_scenario(family, seed) for seed in SEEDS]
        needs = [needs_of(one, reserve_kib=COURSE_LIMITS.reserve_kib) for one in scenarios]
        runs = {
            name: [
                measured(run_coordinator(scenario, _new(name)), need)
                for scenario, need in zip(scenarios, needs, strict=True)
            ]
            for name in (OURS, *BASELINES)
        }
        reached = [_reached(one, need) for one, need in zip(scenarios, needs, strict=True)]
        least = statistics.fmean(reached)
        best = min(BASELINES, key=lambda name: (_short(runs[name]), _idle(runs[name]), name))
        found += [
            Figure(
                f"shortage, {family}",
                _short(runs[OURS]),
                "MiB s",
                note=f"best baseline {best} {_short(runs[best]):,.0f}, clairvoyant {least:,.0f}"
                f"{_closed(_short(runs[OURS]), _short(runs[best]), least)}, "
                f"nothing done {_short(runs['static']):,.0f}",
            ),
            Figure(
                f"idle memory, {family}",
                _idle(runs[OURS]),
                "MiB",
                note=f"{best} {_idle(runs[best]):,.0f}; calls {_calls(runs[OURS]):.0f} and "
                f"{_calls(runs[best]):.0f}; kills {_kills(runs[OURS])} and {_kills(runs[best])}",
            ),
        ]
    return found


def _reached(scenario: Scenario, needs: Needs) -> float:
    """Return what somebody would lack who knew all needs beforehand, or nobody can do without."""
    best = foreseen(
        scenario,
        needs,
        reserve_kib=COURSE_LIMITS.reserve_kib,
        floor_kib=COURSE_LIMITS.floor_kib,
    )
    return needs.least_mib_s if best is None else best.shortage_mib_s


def _closed(ours: float, best: float, least: float) -> str:
    gap = best - least
    return f", closed {(best - ours) / gap:.0%}" if gap > 1.0 else ""


def _new(name: str) -> CoordinationPolicy:
    policy: CoordinationPolicy = find_policy(name, "coordination")()
    return policy


def _short(runs: list[Measures]) -> float:
    return statistics.fmean(run.shortage_mib_s for run in runs)


def _idle(runs: list[Measures]) -> float:
    return statistics.fmean(run.idle_mib for run in runs)


def _calls(runs: list[Measures]) -> float:
    return statistics.fmean(run.calls for run in runs)


def _kills(runs: list[Measures]) -> int:
    return sum(run.kills for run in runs)


def _decisions_s(policy: CoordinationPolicy, guests: int) -> list[float]:
    """Return how long each of some decisions took, on a host that does what it is asked."""
    rng = Random("decisions")
    seen = tuple(_guest(f"guest-{number:05}", rng) for number in range(guests))
    took_s = []
    for tick in range(TICKS):
        look = MemorySnapshot(
            time_ns=30 * tick * NS_PER_S,
            interval_ns=30 * NS_PER_S,
            host_total_kib=guests * mib(2048),
            host_free_kib=guests * mib(64),
            guests=seen,
            host_reserve_kib=mib(200),
        )
        began = time.process_time()
        plan = policy.decide(look)
        took_s.append(time.process_time() - began)
        sizes = {resize.guest: resize.memory_kib for resize in plan.actions}
        seen = tuple(_later(guest, sizes.get(guest.guest), rng) for guest in seen)
    return took_s


def _guest(name: str, rng: Random) -> GuestMemory:
    size_kib, used_kib = mib(rng.randrange(512, 2048)), mib(rng.randrange(150, 500))
    return GuestMemory(
        guest=name,
        actual_kib=size_kib,
        max_kib=mib(4096),
        floor_kib=mib(200),
        rss_kib=size_kib,
        report_age_ns=0,
        unused_kib=size_kib - used_kib,
        usable_kib=size_kib - used_kib,
        available_kib=size_kib - mib(64),
        swap_in_kib=0,
        swap_out_kib=0,
        major_faults=0,
    )


def _later(guest: GuestMemory, size_kib: int | None, rng: Random) -> GuestMemory:
    """Return a guest half a minute later: at the size it was asked for, with more or less used."""
    size_kib = guest.actual_kib if size_kib is None else size_kib
    used_kib = guest.actual_kib - (guest.unused_kib or 0)
    unused_kib = max(size_kib - max(used_kib + mib(rng.randrange(-40, 41)), mib(100)), 0)
    return replace(
        guest,
        actual_kib=size_kib,
        target_kib=size_kib,
        rss_kib=size_kib,
        unused_kib=unused_kib,
        usable_kib=unused_kib,
        available_kib=size_kib - mib(64),
    )
