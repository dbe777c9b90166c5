"""The example submissions: good ones get full marks, each flawed one loses exactly what it says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from virtlab.grading.marks import plain_run
from virtlab.grading.rubric import find_rubric
from virtlab.grading.run import run_program
from virtlab.grading.watchdog import WatchdogLimits
from virtlab.model.criteria import CRITERIA
from virtlab.model.scenario import ProgramKind
from virtlab.model.verdict import RunVerdict
from virtlab.scenario import find_scenario, shipped_scenarios
from virtlab.subjects.build import BuildResult, build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox, make_work_directory
from virtlab.subjects.unpack import open_submission

SUBMISSIONS = Path(__file__).parents[2] / "examples" / "submissions"
FLAWED = sorted(path.name for path in (SUBMISSIONS / "flawed").iterdir() if path.is_dir())
GOOD = ["reference-c", "reference-python"]
SEED = 1
# A quarter of a second is a thousand times what these programs need for a tick.
IMPATIENT = WatchdogLimits(cpu_s=0.25, blocked_s=5, real_s=60)


class Expected(BaseModel):
    """What EXPECTED.yaml says."""

    model_config = ConfigDict(extra="forbid")
    flaw: str
    why: str
    program: ProgramKind
    outcome: str = "completed"
    loses: dict[str, list[str]] | Literal["everything"]


def expected(name: str) -> Expected:
    text = (SUBMISSIONS / "flawed" / name / "EXPECTED.yaml").read_text()
    return TypeAdapter(Expected).validate_python(yaml.safe_load(text))


@pytest.fixture
def work() -> Iterator[Path]:
    """Give a folder that the programs' user can reach; pytest's own folders are private."""
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def built(submission: Path, kind: ProgramKind, work: Path) -> BuildResult:
    root = work / kind
    open_submission(submission, root)
    return build(find_programs(root)[kind], root, find_sandbox())


def ran(scenario: str, program: BuildResult, root: Path, seed: int = SEED) -> RunVerdict:
    record = run_program(
        find_scenario(scenario), program, root, find_sandbox(), seed=seed, watchdog=IMPATIENT
    )
    return plain_run(record.timeline, program=root.name, replay="")


@pytest.mark.parametrize("name", FLAWED)
def test_a_flawed_program_loses_exactly_what_its_file_says(name: str, work: Path) -> None:
    wanted = expected(name)
    program = built(SUBMISSIONS / "flawed" / name, wanted.program, work)

    if wanted.loses == "everything":
        assert not program.ok
        return
    runs = {scenario: ran(scenario, program, work / wanted.program) for scenario in wanted.loses}

    lost = {
        scenario: [result.name for result in run.criteria if result.status != "passed"]
        for scenario, run in runs.items()
    }
    assert lost == wanted.loses
    assert {run.outcome for run in runs.values()} == {wanted.outcome}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("scenario", [scenario.id for scenario in shipped_scenarios()])
def test_a_good_program_meets_every_criterion(name: str, scenario: str, work: Path) -> None:
    kind = find_scenario(scenario).program
    program = built(SUBMISSIONS / name, kind, work)

    run = ran(scenario, program, work / kind)

    assert [(r.name, r.reason) for r in run.criteria if r.status != "passed"] == []
    assert not any(result.borderline for result in run.criteria)


def test_each_flawed_program_is_judged_on_every_test_of_the_rubric() -> None:
    tests = find_rubric("fall-2026").tests
    for name in FLAWED:
        wanted = expected(name)
        # A program that hangs does so in each test alike, at the cost of its processor time.
        if wanted.loses == "everything" or wanted.outcome == "hung":
            continue
        counted = {t.scenario.id for t in tests if t.scenario.program == wanted.program}
        assert counted <= set(wanted.loses), name


def test_each_criterion_is_lost_by_a_flawed_program() -> None:
    lost: set[str] = set()
    for name in FLAWED:
        loses = expected(name).loses
        if loses != "everything":
            lost |= {criterion for criteria in loses.values() for criterion in criteria}

    assert lost == set(CRITERIA)


def test_each_shipped_scenario_is_failed_by_a_flawed_program() -> None:
    failed: set[str] = set()
    for name in FLAWED:
        loses = expected(name).loses
        if loses != "everything":
            failed |= {scenario for scenario, criteria in loses.items() if criteria}

    assert failed == {scenario.id for scenario in shipped_scenarios()}
