"""What a rubric gives to programs that know nothing: the floor under every mark.

A rubric is worth no more than what it denies to a program that does nothing, pins everything to
pCPU 0, acts at random or oscillates; so these marks are computed with several seeds, as luck has a
part in them, and stand beside the rubric.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from virtlab.grading.rubric import Rubric
from virtlab.grading.trial import build_for_trial
from virtlab.grading.workers import open_workers
from virtlab.model.scenario import ProgramKind
from virtlab.model.verdict import Verdict

__all__ = [
    "FLOOR_SEEDS",
    "WEAK_PROGRAMS",
    "FloorLine",
    "WeakProgram",
    "compute_floors",
    "floor_json",
    "weak_verdicts",
]

FLOOR_VERSION = 2
FLOOR_SEEDS = tuple(range(1, 12))  # an odd number, so that the median is a mark


@dataclass(frozen=True, slots=True)
class WeakProgram:
    """A flawed example, and what it does."""

    does: str
    program: ProgramKind
    example: str  # its folder among the flawed examples


# Pinning says nothing about memory.
WEAK_PROGRAMS = (
    WeakProgram("does nothing", "vcpu_scheduler", "does-nothing"),
    WeakProgram("does nothing", "memory_coordinator", "never-gives"),
    WeakProgram("pins everything to pCPU 0", "vcpu_scheduler", "all-on-pcpu-0"),
    WeakProgram("acts at random", "vcpu_scheduler", "pins-at-random"),
    WeakProgram("acts at random", "memory_coordinator", "sizes-at-random"),
    WeakProgram("oscillates", "vcpu_scheduler", "swaps-for-ever"),
    WeakProgram("oscillates", "memory_coordinator", "gives-and-takes-in-turn"),
)


@dataclass(frozen=True, slots=True)
class FloorLine:
    """What one weak program gets under one rubric, with each seed."""

    weak: WeakProgram
    points: tuple[float, ...]
    points_max: float
    tests: Mapping[str, tuple[float, ...]]  # scenario -> points

    @property
    def lowest(self) -> float:
        """Return the mark, which is the lowest of several seeds."""
        return min(self.points)

    @property
    def median(self) -> float:
        """Return what it gets with a seed like another."""
        return statistics.median(self.points)


def compute_floors(
    rubrics: Sequence[Rubric], examples: Path, seeds: Sequence[int], *, jobs: int = 1
) -> dict[str, list[FloorLine]]:
    """Grade the weak programs of a folder of examples under rubrics, by the rubrics' ids."""
    with open_workers(jobs) as workers:
        futures = {
            (weak, seed): workers.submit(weak_verdicts, weak, rubrics, examples, seed)
            for weak in WEAK_PROGRAMS
            for seed in seeds
        }
        for _ in workers.finished(list(futures.values())):
            pass  # all are needed before the first line is whole
    return {
        rubric.id: [
            _line(weak, [futures[weak, seed].result()[rubric.id] for seed in seeds])
            for weak in WEAK_PROGRAMS
            if _tests(rubric, weak.program)
        ]
        for rubric in rubrics
    }


def weak_verdicts(
    weak: WeakProgram, rubrics: Sequence[Rubric], examples: Path, seed: int
) -> Mapping[str, Verdict]:
    """Return what one weak program gets with one seed, by the ids of the rubrics that test it."""
    with build_for_trial(examples / weak.example, weak.program) as trial:
        return {
            rubric.id: trial.verdict(rubric, [seed])
            for rubric in rubrics
            if _tests(rubric, weak.program)
        }


def floor_json(rubric: Rubric, lines: Sequence[FloorLine], seeds: Sequence[int]) -> str:
    """Return the floor as it stands beside the rubric."""
    document = {
        "version": FLOOR_VERSION,
        "rubric": rubric.id,
        "rubric_version": rubric.version,
        "seeds": list(seeds),
        "floor": [_plain(line) for line in lines],
    }
    return _numbers_in_a_row(json.dumps(document, indent=2)) + "\n"


def _tests(rubric: Rubric, program: ProgramKind) -> bool:
    return any(test.scenario.program == program for test in rubric.tests)


def _line(weak: WeakProgram, verdicts: Sequence[Verdict]) -> FloorLine:
    tests: dict[str, list[float]] = {}
    for verdict in verdicts:
        for run in verdict.runs:
            tests.setdefault(run.scenario, []).append(run.points)
    return FloorLine(
        weak,
        tuple(verdict.points for verdict in verdicts),
        verdicts[0].points_max,
        MappingProxyType({name: tuple(points) for name, points in tests.items()}),
    )


def _plain(line: FloorLine) -> dict[str, Any]:
    return {
        "does": line.weak.does,
        "program": line.weak.program,
        "example": line.weak.example,
        "lowest": line.lowest,
        "median": line.median,
        "points_max": line.points_max,
        "points": list(line.points),
        "tests": {name: list(points) for name, points in line.tests.items()},
    }


def _numbers_in_a_row(text: str) -> str:
    """Write each list of numbers on one line, as a table is read."""
    return re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
