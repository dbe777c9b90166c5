"""The shipped scenarios and rubrics, and the published schemas."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from virtlab.grading.rubric import find_rubric, rubric_files
from virtlab.grading.rubric_file import rubric_schema
from virtlab.model.criteria import CRITERIA
from virtlab.model.scenario import StartWorkload
from virtlab.model.workload import Duty
from virtlab.scenario import load_scenario, scenario_files, scenario_schema

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
_SCENARIOS = sorted(scenario_files().items())


def test_the_courses_eleven_are_shipped() -> None:
    tests = find_rubric("fall-2026").tests
    numbers = [test.scenario.id.split("-")[:2] for test in tests]

    assert numbers == [["cpu", str(n)] for n in range(1, 8)] + [
        ["memory", str(n)] for n in range(1, 5)
    ]


@pytest.mark.parametrize(("name", "path"), _SCENARIOS)
def test_each_shipped_scenario_loads_and_asks_known_criteria(name: str, path: Path) -> None:
    scenario = load_scenario(path)

    assert scenario.id == name
    assert {criterion.name for criterion in scenario.criteria} <= CRITERIA.keys()
    if name != "general-14-late-change":  # whose change the course's length does not leave room for
        assert (scenario.interval_s, scenario.duration_s) in ((1, 30), (2, 240))
    names = [guest.name for guest in scenario.guests]
    assert len(names) <= 1 or names != sorted(names)


@pytest.mark.parametrize(
    "name", ["cpu-5-heavy-and-light", "cpu-7-load-changes", "general-7-ids-unlike-names"]
)
def test_dealing_by_id_or_name_puts_two_heavy_guests_together(name: str) -> None:
    scenario = load_scenario(scenario_files()[name])
    duty: dict[str, float] = {}
    for event in scenario.events:
        if isinstance(event, StartWorkload) and isinstance(event.workload, Duty):
            duty[event.guest] = event.workload.duty
    by_id = [guest.name for guest in scenario.guests]

    for order in (by_id, sorted(by_id)):
        deals = (
            [(order[i], order[i + 4]) for i in range(4)],
            [(order[2 * i], order[2 * i + 1]) for i in range(4)],
            [(order[i], order[7 - i]) for i in range(4)],
        )
        for pairs in deals:
            assert any(duty[a] == duty[b] == 0.36 for a, b in pairs)


@pytest.mark.parametrize(
    ("file", "schema"),
    [("scenario.schema.json", scenario_schema), ("rubric.schema.json", rubric_schema)],
)
def test_the_published_schema_is_the_one_in_use(
    file: str, schema: Callable[[], dict[str, Any]]
) -> None:
    published = json.loads((_REFERENCE / file).read_text())

    jsonschema.Draft202012Validator.check_schema(published)
    assert published == schema()


def test_the_schemas_accept_what_is_shipped() -> None:
    for files, schema in ((scenario_files(), scenario_schema()), (rubric_files(), rubric_schema())):
        validator = jsonschema.Draft202012Validator(schema)
        for path in files.values():
            validator.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("name", [name for name in scenario_files() if name.endswith("-2pcpu")])
def test_a_smaller_form_asks_what_the_courses_test_asks(name: str) -> None:
    scenario = load_scenario(scenario_files()[name])
    original = load_scenario(scenario_files()[name.removesuffix("-2pcpu")])

    assert scenario.scaled_from == original.id
    assert scenario.host.pcpus == 2
    assert scenario.criteria == original.criteria
    assert (scenario.duration_s, scenario.interval_s) == (original.duration_s, original.interval_s)
    assert scenario.phases_ns() == original.phases_ns()
