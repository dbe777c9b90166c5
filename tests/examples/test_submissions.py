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
from virtlab.grading.run import run_program
from virtlab.grading.watchdog import WatchdogLimits
from virtlab.model.criteria import CRITERIA
from virtlab.model.scenario import ProgramKind, Scenario
from virtlab.model.verdict import RunVerdict
from virtlab.reports.terminal import run_text
from virtlab.scenario import find_scenario, load_scenario, scenario_files
from virtlab.subjects.build import BuildResult, build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

SUBMISSIONS = Path(__file__).parents[2] / "examples" / "submissions"
FLAWED = sorted(path.name for path in (SUBMISSIONS / "flawed").iterdir() if path.is_dir())
GOOD = ["reference-c", "reference-python"]
# test_generality.py says which flawed programs the others are for; the smaller forms ask the same.
COURSE = [
    name
    for name in scenario_files()
    if not name.startswith(("general-", "topology-")) and not name.endswith("-2pcpu")
]
SEED = 1
# A quarter of a second is a thousand times what these programs need for a tick.
IMPATIENT = WatchdogLimits(cpu_s=0.25, blocked_s=5, real_s=60)


class Expected(BaseModel):
    """What EXPECTED.yaml says."""

    model_config = ConfigDict(extra="forbid")
    flaw: str
    why: str
    program: ProgramKind
    outcome: str | dict[str, str] = "completed"  # of all scenarios, or of those that differ
    says: list[str] = []  # words that the report uses somewhere
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


def scenario_for(name: str, scenario: str) -> Scenario:
    """Return a shipped scenario, or the one beside the program where it has that id."""
    own = SUBMISSIONS / "flawed" / name / "scenario.yaml"
    if own.exists() and (loaded := load_scenario(own)).id == scenario:
        return loaded
    return find_scenario(scenario)


def ran(scenario: Scenario, program: BuildResult, root: Path) -> RunVerdict:
    record = run_program(scenario, program, root, find_sandbox(), seed=SEED, watchdog=IMPATIENT)
    return plain_run(record.timeline, program=root.name, replay="")


@pytest.mark.parametrize("name", FLAWED)
def test_a_flawed_program_loses_exactly_what_its_file_says(name: str, work: Path) -> None:
    wanted = expected(name)
    program = built(SUBMISSIONS / "flawed" / name, wanted.program, work)

    if wanted.loses == "everything":
        assert not program.ok
        assert wanted.outcome == "not_built"
        assert_says(wanted, str(program.first_error))
        return
    runs = {
        scenario: ran(scenario_for(name, scenario), program, work / wanted.program)
        for scenario in wanted.loses
    }

    lost = {
        scenario: [result.name for result in run.criteria if result.status != "passed"]
        for scenario, run in runs.items()
    }
    assert lost == wanted.loses
    assert {scenario: run.outcome for scenario, run in runs.items()} == outcomes(wanted)
    told = [*program.notes, *(run_text(run, width=10_000) for run in runs.values())]
    assert_says(wanted, "\n".join(told))


def outcomes(wanted: Expected) -> dict[str, str]:
    """Return the outcome of each scenario."""
    if isinstance(wanted.outcome, str):
        return dict.fromkeys(wanted.loses, wanted.outcome)
    assert wanted.outcome.keys() <= set(wanted.loses)
    return {scenario: wanted.outcome.get(scenario, "completed") for scenario in wanted.loses}


def assert_says(wanted: Expected, report: str) -> None:
    """Hold the report to naming what is wrong, in words that a learner can look for."""
    assert [words for words in wanted.says if words not in report] == []


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("scenario", scenario_files())
def test_a_good_program_meets_every_criterion(name: str, scenario: str, work: Path) -> None:
    kind = find_scenario(scenario).program
    program = built(SUBMISSIONS / name, kind, work)

    run = ran(find_scenario(scenario), program, work / kind)

    assert [(r.name, r.reason) for r in run.criteria if r.status != "passed"] == []
    assert not any(result.borderline for result in run.criteria)


def test_the_one_that_balances_on_cumulative_time_fails_by_that_alone(work: Path) -> None:
    kind: ProgramKind = "vcpu_scheduler"
    shutil.copytree(SUBMISSIONS / "flawed" / "balances-on-cumulative-time", work / "mended")
    source = work / "mended" / "vcpu_scheduler.py"
    text = source.read_text()
    round_end = "    for _ in range(int(sys.argv[1])):\n"
    assert text.count(round_end) == 1
    recent = (
        "    start_s, start_ns = time.monotonic(), {n: d.info()[4] for n, d in domains.items()}\n"
    )
    source.write_text(text.replace(round_end, recent + round_end))

    run = ran(find_scenario("cpu-7-load-changes"), built(work / "mended", kind, work), work / kind)

    assert [result.reason for result in run.criteria if result.status != "passed"] == []


def test_each_flawed_program_is_judged_on_every_scenario_of_the_course() -> None:
    for name in FLAWED:
        wanted = expected(name)
        # A program that hangs does so in each test alike, at the cost of its processor time.
        if wanted.loses == "everything" or wanted.outcome == "hung":
            continue
        counted = {one for one in COURSE if find_scenario(one).program == wanted.program}
        own = SUBMISSIONS / "flawed" / name / "scenario.yaml"
        if own.exists():
            counted.add(load_scenario(own).id)
        assert set(wanted.loses) == counted, name


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

    assert failed >= set(COURSE)
