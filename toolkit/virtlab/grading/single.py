"""One program on one scenario, without a rubric: each criterion judged, no points."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from virtlab import __version__
from virtlab.grading.marks import plain_run
from virtlab.grading.preparation import Preparation
from virtlab.grading.replay import replay_command
from virtlab.grading.results_folder import check_target
from virtlab.grading.run import Runner, RunRecord, record_without_run, run_program
from virtlab.grading.store import write_results
from virtlab.grading.timing import REAL_PACE, Pacing
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.verdict import RunVerdict
from virtlab.subjects.one_core import one_core

__all__ = ["record_of", "run_single"]


def run_single(
    scenario: Scenario,
    preparation: Preparation,
    *,
    source: str,
    seed: int,
    out: Path | None = None,
    overwrite: bool = False,
    monitor_text: Callable[[Timeline], str],
    pacing: Pacing = REAL_PACE,
    sanitise: bool = False,
    runner: Runner = run_program,
) -> RunVerdict:
    """Run the program that a scenario asks for, and judge it criterion by criterion.

    Args:
        scenario: what to run it on.
        preparation: the submission, on its way to a program.
        source: the scenario as the user named it, for the command that replays the run.
        seed: of the run.
        out: folder for the timeline and the logs; nothing is written where None.
        overwrite: an older folder of ours may be replaced.
        monitor_text: renders the course's monitor lines.
        pacing: of a run on the paced clock.
        sanitise: run a C program once more, built with sanitisers.
        runner: where it runs; on the simulated host if left out.

    Raises:
        SubmissionError: the program is not in the submission.
        UsageError, EnvironmentLackError: the evidence cannot be written, or a real host does not
            do for it.
    """
    if out is not None:
        check_target(out, overwrite=overwrite)
    record = record_of(scenario, preparation, seed, pacing, runner)
    verdict = plain_run(
        record.timeline,
        program=preparation.name,
        replay=replay_command(source, preparation.given, seed, record.timeline),
    )
    said = b""
    if sanitise and preparation.built(scenario.program, scenario.id).ok:
        with one_core():
            report, said = preparation.sanitised(scenario.program).listen(scenario, seed, record)
        verdict = replace(verdict, sanitiser=report)
    if out is not None:
        with write_results(out, overwrite=overwrite) as writer:
            writer.file("run-verdict.json", json.dumps(asdict(verdict), indent=2).encode() + b"\n")
            writer.run_info(
                {"virtlab": __version__, "sandbox": record.layers, "clock": verdict.clock}
            )
            writer.run(
                record.timeline,
                monitor=monitor_text(record.timeline),
                stdout=record.stdout,
                stderr=record.stderr,
            )
            writer.sanitiser_log(record.timeline, said)
    return verdict


def record_of(
    scenario: Scenario, preparation: Preparation, seed: int, pacing: Pacing, runner: Runner
) -> RunRecord:
    """Run the program once it is built; one that cannot be built is a record too."""
    program = preparation.built(scenario.program, scenario.id)
    if program.ok:
        # Alone on the machine, as far as we know; gradings side by side are left to the kernel. On
        # a real host program and guests share the pCPUs as they do in earnest.
        with one_core() if runner is run_program else nullcontext():
            return runner(
                scenario,
                program,
                preparation.root,
                preparation.sandbox,
                seed=seed,
                pacing=pacing,
            )
    reason = f"{scenario.program} was not built: {program.first_error or 'see its log'}"
    outcome = ProgramOutcome("program_fault", "not_built", reason, 0)
    return record_without_run(scenario, seed, outcome)
