"""Rubrics: which scenarios a course counts, and the points that their criteria give.

A rubric carries no rules of its own: it gives points to the criteria that its scenarios ask for,
may override their limits, and has a version that changes with any of it. `rubric_file` reads them;
shipped ones are kept once they were read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from virtlab.errors import UsageError
from virtlab.kept import kept
from virtlab.model.scenario import ProgramKind, Scenario
from virtlab.naming import known_or_nearest
from virtlab.resources import testcases_dir

__all__ = ["GeneralItem", "Rubric", "RubricTest", "find_rubric", "rubric_files"]


@dataclass(frozen=True, slots=True)
class GeneralItem:
    """Points for a program as a whole: that it builds, or something that a person looks at."""

    kind: Literal["builds", "by_hand"]
    program: ProgramKind
    label: str
    points: float  # items by hand are never run, and stand outside the points of the rubric


@dataclass(frozen=True, slots=True)
class RubricTest:
    """One scenario and the points that it gives."""

    scenario: Scenario
    source: str  # the scenario's id, or the path of its file: what `virtlab run` takes
    points: Mapping[str, float]  # criterion -> points, in the order of the file
    together: bool  # all of the points or none
    deductions: Mapping[str, float]  # criterion -> points below 0, taken where it fails
    zero_if: tuple[str, ...]  # criteria whose failure leaves 0 points, deductions included
    limits: Mapping[str, Mapping[str, float]]  # criterion -> limits on top of the scenario's

    @property
    def points_max(self) -> float:
        """Return the points of a program that meets everything."""
        return sum(self.points.values())


@dataclass(frozen=True, slots=True)
class Rubric:
    """The tests of a course, their points, and the seeds that they run with."""

    id: str
    version: str  # changes with any limit or point
    title: str
    seeds: tuple[int, ...]  # the mark is the lowest over all of them
    general: tuple[GeneralItem, ...]
    tests: tuple[RubricTest, ...]

    @property
    def points_max(self) -> float:
        """Return the points of a full mark, without the items that are given by hand."""
        built = sum(item.points for item in self.general if item.kind == "builds")
        return built + sum(test.points_max for test in self.tests)


def rubric_files() -> dict[str, Path]:
    """Return the shipped rubric files by id, which is the stem of the file."""
    files = {path.stem: path for path in (testcases_dir() / "rubrics").glob("*.yaml")}
    return dict(sorted(files.items()))


def find_rubric(name_or_path: str) -> Rubric:
    """Return a shipped rubric by its id, or any other by the path of its file.

    Raises:
        UsageError: there is no such rubric; the message names the nearest one.
        InputError: the file cannot be read or has mistakes.
    """
    shipped = rubric_files()
    if name_or_path in shipped:
        return kept(f"rubric-{name_or_path}", lambda: _load(shipped[name_or_path]))
    if os.path.isfile(name_or_path):  # noqa: PTH113  # false, too, of what can be no path
        return _load(name_or_path)
    raise UsageError(
        f"There is no rubric {name_or_path}, neither shipped nor as a file.",
        fix=known_or_nearest(name_or_path, shipped, "rubric"),
    )


def _load(path: Path | str) -> Rubric:
    from virtlab.grading.rubric_file import load_rubric  # 0.2 s that a kept one does not take

    return load_rubric(path)
