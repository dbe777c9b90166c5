"""One program on one scenario, without a rubric: each criterion judged, no points."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from virtlab import __version__
from virtlab.errors import SubmissionError
from virtlab.grading.marks import plain_run
from virtlab.grading.run import RunRecord, record_without_run, run_program
from virtlab.grading.store import check_target, write_results
from virtlab.grading.tasks import copy_place
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.verdict import RunVerdict
from virtlab.subjects.build import build
from virtlab.subjects.layout import ProgramSource, find_programs
from virtlab.subjects.sandbox import find_sandbox, make_work_directory
from virtlab.subjects.unpack import open_submission

__all__ = ["run_single"]


def run_single(
    scenario: Scenario,
    path: Path,
    *,
    source: str,
    seed: int,
    out: Path | None = None,
    overwrite: bool = False,
    monitor_text: Callable[[Timeline], str],
) -> RunVerdict:
    """Run the program that a scenario asks for, and judge it criterion by criterion.

    Args:
        scenario: what to run it on.
        path: a submission, or a file that is the program itself.
        source: the scenario as the user named it, for the command that replays the run.
        seed: of the run.
        out: folder for the timeline and the logs; nothing is written where None.
        overwrite: an older folder of ours may be replaced.
        monitor_text: renders the course's monitor lines.

    Raises:
        SubmissionError: the program is not in the submission.
        UsageError, EnvironmentLackError: the evidence cannot be written.
    """
    if out is not None:
        check_target(out, overwrite=overwrite)
    root = make_work_directory()
    try:
        submission = open_submission(path, copy_place(path, root))
        found = find_programs(submission.root, kind=scenario.program)
        if scenario.program not in found:
            raise SubmissionError(
                f"{path}: there is no {scenario.program} in it, which {scenario.id} asks for.",
                fix=f"name it {scenario.program}.c, or put it into a folder with a Makefile.",
            )
        record = _record(scenario, found[scenario.program], submission.root, seed)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    verdict = plain_run(
        record.timeline,
        program=submission.name,
        replay=f"virtlab run {source} {submission.name} --seed {seed}",
    )
    if out is not None:
        with write_results(out, overwrite=overwrite) as writer:
            writer.file("run-verdict.json", json.dumps(asdict(verdict), indent=2).encode() + b"\n")
            writer.run_info({"virtlab": __version__, "sandbox": record.layers})
            writer.run(
                record.timeline,
                monitor=monitor_text(record.timeline),
                stdout=record.stdout,
                stderr=record.stderr,
            )
    return verdict


def _record(scenario: Scenario, source: ProgramSource, root: Path, seed: int) -> RunRecord:
    """Build the program and run it; one that cannot be built is a record too."""
    sandbox = find_sandbox()
    program = build(source, root, sandbox)
    if program.ok:
        return run_program(scenario, program, root, sandbox, seed=seed)
    reason = f"{scenario.program} was not built: {program.first_error or 'see its log'}"
    outcome = ProgramOutcome("program_fault", "not_built", reason, 0)
    return record_without_run(scenario, seed, outcome)
