"""Rubric files: their shape, reading one, and what may be wrong with it.

Mistakes are reported as those of scenario files are, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.config import JsonDict

from virtlab.errors import InputError, Problem, ScenarioError
from virtlab.grading.phase_check import too_short
from virtlab.grading.rubric import GeneralItem, Rubric, RubricTest
from virtlab.model.criteria import CRITERIA, limits_of
from virtlab.model.scenario import Scenario
from virtlab.naming import known_or_nearest
from virtlab.scenario import load_scenario, scenario_files
from virtlab.scenario.criteria_checks import criterion_problem, limit_problems
from virtlab.scenario.located_yaml import Document, KeyPath, read_document
from virtlab.scenario.problems import problems_of, raise_if_any
from virtlab.scenario.schema import (
    DIALECT,
    FileModel,
    Id,
    LimitsFile,
    SchemaVersion,
    Text,
    limits_schema,
)

__all__ = ["load_rubric", "rubric_schema"]


# The shape of the file.

_Points = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
_Deduction = Annotated[float, Field(lt=0, ge=-1000, allow_inf_nan=False)]
_CRITERION_KEYS: JsonDict = {"propertyNames": {"enum": list(CRITERIA)}}


def _overrides_schema(schema: JsonDict) -> None:
    schema["properties"] = {name: limits_schema(name) for name in CRITERIA}
    schema["additionalProperties"] = False


class GeneralFile(FileModel):
    """Points for a program as a whole."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["builds"]}, {"required": ["by_hand"]}]}
    )

    builds: Literal["vcpu_scheduler", "memory_coordinator"] | None = Field(
        default=None, examples=["vcpu_scheduler"], description="the program that has to build"
    )
    by_hand: Literal["vcpu_scheduler", "memory_coordinator"] | None = Field(
        default=None,
        examples=["vcpu_scheduler"],
        description="the program of which a person judges something; not counted in the mark",
    )
    label: Text = Field(examples=["vcpu_scheduler compiles"], description="one line for reports")
    points: _Points = Field(examples=[1], description="points that it gives")


class TestFile(FileModel):
    """One scenario and the points that it gives."""

    scenario: str = Field(
        min_length=1,
        max_length=500,
        examples=["cpu-1-all-on-one"],
        description="id of a shipped scenario, or the path of a file, relative to this one",
    )
    points: dict[str, _Points] = Field(
        min_length=1,
        examples=[{"balanced": 0.5, "stable": 0.5}],
        description="points of each criterion that is met",
        json_schema_extra=_CRITERION_KEYS,
    )
    together: bool = Field(
        default=False,
        examples=[True],
        description="the points are given all together or not at all",
    )
    deductions: dict[str, _Deduction] = Field(
        default={},
        examples=[{"reaches-maximum": -0.25}],
        description="points below 0 for each criterion that is not met",
        json_schema_extra=_CRITERION_KEYS,
    )
    zero_if: list[str] = Field(
        default=[],
        examples=[["guest-alive"]],
        description="criteria whose failure leaves 0 points for the test, deductions included",
        json_schema_extra={"items": {"enum": list(CRITERIA)}},
    )
    limits: dict[str, LimitsFile] = Field(
        default={},
        examples=[{"balanced": {"sd_points_max": 5}}],
        description="limits of this test that differ from the scenario's and the rubric's",
        json_schema_extra=_overrides_schema,
    )


class RubricFile(FileModel):
    """The tests of a course, their points, and the seeds that they run with."""

    schema_version: SchemaVersion
    id: Id = Field(examples=["fall-2026"], description="name of the rubric")
    version: Text = Field(
        examples=["1"], description="changes whenever a limit, a point or a scenario changes"
    )
    title: Text = Field(examples=["Fall 2026"], description="one line for reports")
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        min_length=1,
        max_length=100,
        examples=[[1, 2, 3]],
        description="each test runs once with each seed, and the lowest mark counts",
    )
    limits: dict[str, LimitsFile] = Field(
        default={},
        examples=[{"balanced": {"sd_points_max": 5}}],
        description="limits of all tests that differ from the scenarios'",
        json_schema_extra=_overrides_schema,
    )
    general: list[GeneralFile] = Field(
        default=[],
        examples=[[{"builds": "vcpu_scheduler", "label": "compiles", "points": 1}]],
        description="points for the programs as a whole",
    )
    tests: list[TestFile] = Field(
        min_length=1,
        examples=[[{"scenario": "cpu-1-all-on-one", "points": {"balanced": 0.5}}]],
        description="the tests, in the order of the report",
    )


_Model = TypeVar("_Model", bound=FileModel)
_NO_ITEM = GeneralFile.model_construct(builds="vcpu_scheduler", by_hand=None)
_NO_TEST = TestFile.model_construct(scenario="", points={})


def rubric_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a rubric file, with descriptions."""
    return {"$schema": DIALECT, **RubricFile.model_json_schema(), "title": "virtlab rubric"}


# Reading.


def load_rubric(path: Path | str) -> Rubric:
    """Return the rubric in a file, with its scenarios loaded.

    Raises:
        InputError: the file cannot be read.
        ScenarioError: it, or a scenario that it names, has mistakes; all of them are listed.
    """
    document = read_document(Path(path), "rubric")
    problems = list(document.problems)
    try:
        file = RubricFile.model_validate(document.data)
    except ValidationError as err:
        problems += problems_of(document, RubricFile, err)
        file = _salvaged(document)
    scenarios, unusable = _scenarios(document, file)
    raise_if_any([*problems, *unusable, *_contradictions(document, file, scenarios)])
    return _built(file, scenarios)


def _salvaged(document: Document) -> RubricFile:
    """Return what of a malformed rubric is well formed, so that one mistake hides no other.

    An entry that is malformed becomes an empty one, so that the others keep their index.
    """
    data = document.data
    limits, seeds = data.get("limits"), data.get("seeds")
    return RubricFile.model_construct(
        seeds=[seed for seed in seeds if type(seed) is int] if isinstance(seeds, list) else [],
        limits=_sound_limits(limits),
        general=[_sound(GeneralFile, item, _NO_ITEM) for item in _entries(data.get("general"))],
        tests=[_sound(TestFile, item, _NO_TEST) for item in _entries(data.get("tests"))],
    )


def _entries(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _sound_limits(value: object) -> dict[str, LimitsFile]:
    try:
        return TypeAdapter(dict[str, LimitsFile]).validate_python(value, strict=True)
    except ValidationError:
        return {}


def _sound(model: type[_Model], item: object, instead: _Model) -> _Model:
    try:
        return model.model_validate(item)
    except ValidationError:
        return instead  # reported with the whole file


def _scenarios(document: Document, file: RubricFile) -> tuple[dict[str, Scenario], list[Problem]]:
    """Return the scenarios that a rubric names, and what is wrong with the names or the files."""
    shipped = scenario_files()
    found: dict[str, Scenario] = {}
    ids: dict[str, str] = {}  # and by which name it was given
    problems: list[Problem] = []
    for index, test in enumerate(file.tests):
        if test is _NO_TEST:
            continue
        path: KeyPath = ("tests", index, "scenario")
        if test.scenario in found:
            what = f"scenario {test.scenario} is counted twice."
            problems.append(document.problem(path, what, "remove one of the two tests."))
            continue
        beside = Path(document.file).parent / test.scenario
        if test.scenario not in shipped and not beside.is_file():
            what = f"scenario {test.scenario} is neither shipped nor a file beside this one."
            fix = known_or_nearest(test.scenario, shipped, "scenario")
            problems.append(document.problem(path, what, fix))
            continue
        try:
            scenario = load_scenario(shipped.get(test.scenario, beside))
        except ScenarioError as err:
            problems += err.problems
        except InputError as err:
            what = str(err).splitlines()[0]
            problems.append(document.problem(path, what, "check the path and its permissions."))
        else:
            if (same := ids.setdefault(scenario.id, test.scenario)) != test.scenario:
                what = f"scenario {test.scenario} has the id {scenario.id}, as {same} has."
                problems.append(document.problem(path, what, "give it an id of its own."))
            else:
                found[test.scenario] = scenario
    return found, problems


def _contradictions(
    document: Document, file: RubricFile, scenarios: Mapping[str, Scenario]
) -> list[Problem]:
    tests = (
        _test(document, ("tests", index), test, scenarios.get(test.scenario), file.limits)
        for index, test in enumerate(file.tests)
    )
    return list(
        chain(
            _seeds(document, file),
            _overrides(document, ("limits",), file.limits),
            _general(document, file),
            chain.from_iterable(tests),
        )
    )


def _seeds(document: Document, file: RubricFile) -> Iterator[Problem]:
    for position, seed in enumerate(file.seeds):
        if seed in file.seeds[:position]:
            what = f"seed {seed} is listed twice."
            yield document.problem(("seeds", position), what, "list it once.")


def _general(document: Document, file: RubricFile) -> Iterator[Problem]:
    for index, item in enumerate(file.general):
        if (item.builds is None) == (item.by_hand is None):
            what = "an item has either `builds` or `by_hand`."
            yield document.problem(("general", index), what, "write one of the two keys.")


def _overrides(
    document: Document, path: KeyPath, limits: Mapping[str, Mapping[str, float]]
) -> Iterator[Problem]:
    for name, values in limits.items():
        unknown = criterion_problem(document, (*path, name), name)
        if unknown is not None:
            yield unknown
        else:
            yield from limit_problems(document, (*path, name), name, values)


def _test(
    document: Document,
    path: KeyPath,
    test: TestFile,
    scenario: Scenario | None,
    limits: Mapping[str, LimitsFile],
) -> Iterator[Problem]:
    named: list[tuple[KeyPath, str]] = [
        *(((*path, "points", name), name) for name in test.points),
        *(((*path, "deductions", name), name) for name in test.deductions),
        *(((*path, "zero_if", position), name) for position, name in enumerate(test.zero_if)),
    ]
    seen: set[str] = set()
    for where, name in named:
        unknown = criterion_problem(document, where, name)
        if unknown is not None:
            yield unknown
        elif scenario is not None and name not in {c.name for c in scenario.criteria}:
            what = f"scenario {scenario.id} does not judge {name}."
            yield document.problem(where, what, f"add {name} to the scenario's criteria.")
        if name in seen:
            what = f"criterion {name} counts twice in this test."
            yield document.problem(where, what, "name it under one key only.")
        seen.add(name)
    if test.together and len(test.points) < 2:
        what = "one criterion alone is not given together with another."
        yield document.problem((*path, "together"), what, "remove this key.")
    flawed = list(_overrides(document, (*path, "limits"), test.limits))
    yield from flawed
    if scenario is not None and "balanced" in seen and not flawed:
        yield from _short_phases(document, path, scenario, _merged(limits, test.limits))


def _short_phases(
    document: Document,
    path: KeyPath,
    scenario: Scenario,
    limits: Mapping[str, Mapping[str, float]],
) -> Iterator[Problem]:
    """Refuse limits that leave no window to judge; those that are unknown are told elsewhere."""
    known = limits_of("balanced")
    balanced = {name: value for name, value in limits.get("balanced", {}).items() if name in known}
    if any(asked.name == "balanced" for asked in scenario.criteria):
        what = too_short(scenario, balanced)
        if what is not None:
            fix = "give the test its own `limits`, with a smaller window_s or settle_intervals."
            yield document.problem(path, what, fix)


def _built(file: RubricFile, scenarios: Mapping[str, Scenario]) -> Rubric:
    return Rubric(
        id=file.id,
        version=file.version,
        title=file.title,
        seeds=tuple(file.seeds),
        general=tuple(_general_item(item) for item in file.general),
        tests=tuple(
            RubricTest(
                scenario=scenarios[test.scenario],
                source=test.scenario,
                points={k: float(v) for k, v in test.points.items()},
                together=test.together,
                deductions={k: float(v) for k, v in test.deductions.items()},
                zero_if=tuple(test.zero_if),
                limits=_merged(file.limits, test.limits),
            )
            for test in file.tests
        ),
    )


def _general_item(item: GeneralFile) -> GeneralItem:
    if item.builds is not None:
        return GeneralItem("builds", item.builds, item.label, float(item.points))
    assert item.by_hand is not None  # _general has seen to it
    return GeneralItem("by_hand", item.by_hand, item.label, float(item.points))


def _merged(
    *layers: Mapping[str, Mapping[str, float]],
) -> Mapping[str, Mapping[str, float]]:
    """Return the limits of several layers, later ones winning, criterion by criterion."""
    merged: dict[str, dict[str, float]] = {}
    for layer in layers:
        for name, values in layer.items():
            merged.setdefault(name, {}).update({k: float(v) for k, v in values.items()})
    return merged
