"""The published floors are what comes out, and no rubric is won without work.

Each weak program is run once and marked under every rubric, with the first of the published seeds;
`make floor` runs it with all of them.
"""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from virtlab.grading.floor import FLOOR_SEEDS, WEAK_PROGRAMS, WeakProgram, weak_verdicts
from virtlab.grading.floor_file import floor_path
from virtlab.grading.rubric import find_rubric, rubric_files
from virtlab.reports.floors import floors_page

FLAWED = Path(__file__).parents[2] / "examples" / "submissions" / "flawed"
RUBRICS = [find_rubric(name) for name in rubric_files()]


def published(rubric: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(floor_path(rubric).read_text())
    return document


@pytest.mark.parametrize("weak", WEAK_PROGRAMS, ids=lambda weak: weak.example)
def test_the_floors_beside_the_rubrics_are_what_a_weak_program_gets(weak: WeakProgram) -> None:
    verdicts = weak_verdicts(weak, RUBRICS, FLAWED, FLOOR_SEEDS[0])

    for rubric, verdict in verdicts.items():
        line = next(one for one in published(rubric)["floor"] if one["example"] == weak.example)
        assert line["points"][0] == verdict.points, f"{rubric}: run `make floor`"
        first = {name: points[0] for name, points in line["tests"].items()}
        assert first == {run.scenario: run.points for run in verdict.runs}


def test_each_rubric_has_a_floor_of_its_version() -> None:
    for rubric in RUBRICS:
        floor = published(rubric.id)

        assert (floor["rubric"], floor["rubric_version"]) == (rubric.id, rubric.version)
        assert floor["seeds"] == list(FLOOR_SEEDS)
        kinds = {test.scenario.program for test in rubric.tests}
        assert [line["example"] for line in floor["floor"]] == [
            weak.example for weak in WEAK_PROGRAMS if weak.program in kinds
        ]


def test_the_page_shows_what_stands_beside_the_rubrics() -> None:
    page = (FLAWED.parents[2] / "docs" / "reference" / "floors.md").read_text()

    assert page == floors_page([published(rubric.id) for rubric in RUBRICS]), "run `make floor`"


def test_no_weak_program_wins_a_rubric_with_any_seed() -> None:
    for rubric in RUBRICS:
        for line in published(rubric.id)["floor"]:
            assert len(line["points"]) == len(FLOOR_SEEDS)
            assert max(line["points"]) < line["points_max"]
            assert line["lowest"] == min(line["points"])
            assert line["median"] == statistics.median(line["points"])


def test_who_does_nothing_is_paid_for_generality_only_where_nothing_is_to_be_done() -> None:
    floor = published("generality")["floor"]

    paid = {
        name
        for line in floor
        if line["does"] == "does nothing"
        for name, points in line["tests"].items()
        if max(points) > 0
    }
    assert paid == {"general-4-no-guest", "general-5-one-guest", "general-11-empty-host"}


def test_weak_programs_get_little_beyond_what_the_course_gives_for_standing_still() -> None:
    for rubric in RUBRICS:
        built = {i.program: i.points for i in rubric.general if i.kind == "builds"}
        for line in published(rubric.id)["floor"]:
            # The course's own rubrics give points for stability that balance has no part in.
            apart = sum(
                test.points.get("stable", 0.0)
                for test in rubric.tests
                if test.scenario.program == line["program"] and rubric.id != "generality"
            )
            earned = line["lowest"] - built.get(line["program"], 0.0) - apart
            assert earned <= 0.2 * line["points_max"], (rubric.id, line["does"])
