"""The whole league: simulated hours in a second, on one core and on two.

All policies on all families; twenty seeds on two cores, and fewer on one, as their rate is the
same. What could be had at best is worked out too, as in `virtlab league`, and takes its part.
"""

from __future__ import annotations

import os
import sys
import time

from benchmarks.figure import Figure
from virtlab.league.corpus import chosen_families, drawn_scenario
from virtlab.league.entrants import chosen_entrants
from virtlab.league.season import Step, held
from virtlab.model.league import League

SEEDS = {1: 3, 2: 20}  # by cores


def rates() -> list[Figure]:
    cores = len(os.sched_getaffinity(0))
    return [
        _rate(jobs, seeds)
        if jobs <= cores
        else Figure(f"simulated hours a second, {jobs} cores", None, "h", note=f"{cores} here")
        for jobs, seeds in SEEDS.items()
    ]


def _rate(jobs: int, seeds: int) -> Figure:
    plan = League(
        chosen_entrants([]), chosen_families([]), tuple(range(1001, 1001 + seeds)), bouts=()
    )
    families = {family.name: family for family in plan.families}
    began = time.monotonic()
    league = held(plan, jobs=jobs, on_step=_tell)
    took_s = time.monotonic() - began
    length_s = {name: drawn_scenario(family, 1).duration_s for name, family in families.items()}
    simulated_s = sum(length_s[bout.family] for bout in league.bouts)
    lost = sum(bout.failure is not None for bout in league.bouts)
    return Figure(
        f"simulated hours a second, {jobs} cores"
        if jobs > 1
        else "simulated hours a second, 1 core",
        simulated_s / 3600 / took_s,
        "h",
        note=f"{len(league.bouts)} runs of {len(plan.entrants)} policies on {len(families)} "
        f"families with {seeds} seeds: {simulated_s / 3600:.0f} h in {took_s:.0f} s; {lost} failed",
    )


def _tell(step: Step) -> None:
    if step.done % 100 == 0:
        print(f"  {step.done} of {step.total} contests", file=sys.stderr)
