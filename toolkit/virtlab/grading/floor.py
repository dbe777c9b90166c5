"""What a rubric gives to programs that know nothing: the floor under every mark.

A rubric is worth no more than what it denies to a program that does nothing, pins everything to
pCPU 0, acts at random or oscillates; so these marks are computed, and stand beside the rubric.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from virtlab.grading.grade import grade_submission
from virtlab.grading.rubric import Rubric
from virtlab.model.scenario import ProgramKind
from virtlab.model.timeline import Timeline

__all__ = ["WEAK_PROGRAMS", "FloorLine", "compute_floor", "floor_json"]

FLOOR_VERSION = 1

# What it does -> the flawed examples that do it. Pinning says nothing about memory.
WEAK_PROGRAMS: Mapping[str, Mapping[ProgramKind, str]] = MappingProxyType(
    {
        "does nothing": {"vcpu_scheduler": "does-nothing", "memory_coordinator": "never-gives"},
        "pins everything to pCPU 0": {"vcpu_scheduler": "all-on-pcpu-0"},
        "acts at random": {
            "vcpu_scheduler": "pins-at-random",
            "memory_coordinator": "sizes-at-random",
        },
        "oscillates": {
            "vcpu_scheduler": "swaps-for-ever",
            "memory_coordinator": "gives-and-takes-in-turn",
        },
    }
)


@dataclass(frozen=True, slots=True)
class FloorLine:
    """What one weak program gets."""

    does: str
    program: ProgramKind
    example: str  # its folder among the flawed examples
    points: float
    points_max: float
    tests: Mapping[str, float]  # scenario -> points


def compute_floor(rubric: Rubric, examples: Path, *, jobs: int = 1) -> list[FloorLine]:
    """Grade the weak programs of a folder of examples with the rubric's own seeds."""
    with tempfile.TemporaryDirectory() as out:
        return list(_lines(rubric, examples, Path(out), jobs))


def floor_json(rubric: Rubric, lines: list[FloorLine]) -> str:
    """Return the floor as it stands beside the rubric."""
    document = {
        "version": FLOOR_VERSION,
        "rubric": rubric.id,
        "rubric_version": rubric.version,
        "seeds": list(rubric.seeds),
        "floor": [_plain(line) for line in lines],
    }
    return json.dumps(document, indent=2) + "\n"


def _lines(rubric: Rubric, examples: Path, out: Path, jobs: int) -> Iterator[FloorLine]:
    for does, programs in WEAK_PROGRAMS.items():
        for kind, example in programs.items():
            if not any(test.scenario.program == kind for test in rubric.tests):
                continue  # a rubric for one of the two programs
            verdict = grade_submission(
                examples / example,
                rubric,
                out / example,
                seeds=rubric.seeds,
                jobs=jobs,
                only=kind,
                monitor_text=_no_monitor,
            ).verdict
            tests = {run.scenario: run.points for run in verdict.runs}
            yield FloorLine(does, kind, example, verdict.points, verdict.points_max, tests)


def _no_monitor(_timeline: Timeline) -> str:
    return ""


def _plain(line: FloorLine) -> dict[str, Any]:
    return {
        "does": line.does,
        "program": line.program,
        "example": line.example,
        "points": line.points,
        "points_max": line.points_max,
        "tests": dict(line.tests),
    }
