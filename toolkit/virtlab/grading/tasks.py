"""What a worker does: build one program, or run it on one test, and hand back what came of it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from virtlab.errors import EnvironmentLackError
from virtlab.grading.marks import BuildOutcome, mark_run, mark_without_run
from virtlab.grading.replay import replay_command
from virtlab.grading.results_folder import is_full_disk
from virtlab.grading.run import Runner, RunRecord, record_without_run, run_program
from virtlab.grading.sanitised import Sanitised, build_sanitised
from virtlab.grading.store import ResultWriter
from virtlab.grading.timing import Pacing
from virtlab.model.finding import SanitiserReport
from virtlab.model.scenario import ProgramKind
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.verdict import RunVerdict
from virtlab.subjects.build import BuildResult, build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import Sandbox

if TYPE_CHECKING:  # reading rubric files takes pydantic, which is slow to import
    from virtlab.grading.rubric import RubricTest

__all__ = [
    "Built",
    "MonitorText",
    "TestDone",
    "build_in_copy",
    "build_outcome",
    "run_test",
]

MonitorText = Callable[[Timeline], str]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Built:
    """A program, or the lack of one, and where it runs."""

    program: BuildResult | None
    root: Path  # our own copy of the submission
    sandbox: Sandbox
    sanitised: Sanitised | None = None  # where the user has asked for it


@dataclass(frozen=True, slots=True)
class TestDone:
    """One run, judged and on disk."""

    verdict: RunVerdict
    layers: tuple[str, ...]
    real_s: float


def build_in_copy(
    submission: Path, kind: ProgramKind, root: Path, sandbox: Sandbox, *, sanitise: bool = False
) -> Built:
    """Build one program of a submission in a copy of its own, so that two builds never meet."""
    try:
        shutil.copytree(submission, root)
    except OSError as error:
        if is_full_disk(error):
            raise _no_room(f"{kind} could not be built") from error
        raise
    program = build(find_programs(root, kind=kind)[kind], root, sandbox)
    sanitised = None
    if sanitise and program.ok:
        work = root.with_name(f"{root.name}-sanitised")
        sanitised = build_sanitised(submission, kind, work, sandbox)
    return Built(program, root, sandbox, sanitised)


def build_outcome(kind: ProgramKind, result: BuildResult) -> BuildOutcome:
    """Return what a rubric needs to know about a build."""
    if result.ok:
        return BuildOutcome(True, "; ".join([f"{kind} was built", *result.notes]))
    return BuildOutcome(False, f"{kind} was not built: {result.first_error or 'see its log'}")


def run_test(
    test: RubricTest,
    built: Built,
    outcome: BuildOutcome,
    seed: int,
    name: str,
    given: str,
    writer: ResultWriter,
    monitor_text: MonitorText,
    pacing: Pacing,
    runner: Runner = run_program,
) -> TestDone:
    """Run one test with one seed, write its folder, and return its verdict."""
    if built.program is None or not built.program.ok:
        kind = "not_found" if built.program is None else "not_built"
        lacking = ProgramOutcome("program_fault", kind, outcome.reason, 0)
        replay = replay_command(test.source, given, seed)
        verdict = mark_without_run(test, seed, lacking, program=name, replay=replay)
        return TestDone(verdict, (), 0.0)
    record = _record(test, built.program, built, seed, pacing, runner)
    writer.run(
        record.timeline,
        monitor=monitor_text(record.timeline),
        stdout=record.stdout,
        stderr=record.stderr,
    )
    report = None
    if built.sanitised is not None:
        report, said = _listen(built.sanitised, test, seed, record)
        writer.sanitiser_log(record.timeline, said)
    verdict = mark_run(
        test,
        record.timeline,
        program=name,
        replay=replay_command(test.source, given, seed, record.timeline),
    )
    return TestDone(replace(verdict, sanitiser=report), record.layers, record.real_s)


def _listen(
    sanitised: Sanitised, test: RubricTest, seed: int, plain: RunRecord
) -> tuple[SanitiserReport, bytes]:
    """Run a test once more to be listened to; where that fails, the mark stands all the same."""
    if plain.timeline.outcome.status == "lab_fault":
        return SanitiserReport("it could not be run as it is either"), b""
    try:
        return sanitised.listen(test.scenario, seed, plain)
    except EnvironmentLackError as lack:
        return SanitiserReport(str(lack).splitlines()[0]), b""
    except Exception as error:
        if isinstance(error, OSError) and is_full_disk(error):
            raise _no_room(f"{test.scenario.id} could not be run") from error
        _log.exception("the sanitised run of %s with seed %d was lost", test.scenario.id, seed)
        return SanitiserReport(_lab_failed(error)), b""


def _record(
    test: RubricTest,
    program: BuildResult,
    built: Built,
    seed: int,
    pacing: Pacing,
    runner: Runner,
) -> RunRecord:
    """Run a test; a failure of the lab's own is an outcome too, and takes no other run along."""
    try:
        return runner(test.scenario, program, built.root, built.sandbox, seed=seed, pacing=pacing)
    except EnvironmentLackError as lack:
        outcome = ProgramOutcome("lab_fault", "host_lacking", str(lack), 0)
        return record_without_run(test.scenario, seed, outcome)
    except Exception as error:
        if isinstance(error, OSError) and is_full_disk(error):
            raise _no_room(f"{test.scenario.id} could not be run") from error
        _log.exception("the run of %s with seed %d was lost", test.scenario.id, seed)
        outcome = ProgramOutcome("lab_fault", "lab_error", _lab_failed(error), 0)
        return record_without_run(test.scenario, seed, outcome)


def _lab_failed(error: Exception) -> str:
    # Not in its own words: they may name a folder, which is another one each time.
    because = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return f"the lab failed: {type(error).__name__}{because}"


def _no_room(what: str) -> EnvironmentLackError:
    return EnvironmentLackError(
        f"The disk is full: {what}.",
        fix="free some space, or set TMPDIR to a folder on another disk.",
    )
