"""The published floor is the one that comes out, and no rubric is won without work."""

import json
from pathlib import Path

import pytest

from virtlab.grading.floor import WEAK_PROGRAMS, compute_floor, floor_json
from virtlab.grading.rubric import find_rubric, rubric_files

FLAWED = Path(__file__).parents[2] / "examples" / "submissions" / "flawed"


@pytest.mark.parametrize("name", rubric_files())
def test_the_floor_beside_the_rubric_is_what_weak_programs_get(name: str) -> None:
    rubric = find_rubric(name)
    published = rubric_files()[name].with_suffix(".floor.json").read_text()

    assert published == floor_json(rubric, compute_floor(rubric, FLAWED)), "run `make floor`"


def test_each_rubric_has_a_floor_of_its_version() -> None:
    for name, path in rubric_files().items():
        floor = json.loads(path.with_suffix(".floor.json").read_text())

        assert (floor["rubric"], floor["rubric_version"]) == (name, find_rubric(name).version)
        assert {line["does"] for line in floor["floor"]} == set(WEAK_PROGRAMS)
        assert all(line["points"] < line["points_max"] for line in floor["floor"])
