"""From what came of a grading to the exit code of the command that did it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from virtlab.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from virtlab.model.verdict import RunVerdict, Verdict

__all__ = ["code_of_runs", "code_of_verdicts"]


def code_of_verdicts(verdicts: Sequence[Verdict], *, interrupted: bool = False) -> int:
    """Return the exit code of gradings: what the lab failed in is neither full marks nor a loss."""
    if interrupted:
        return ExitCode.INTERRUPTED
    full = all(verdict.points >= verdict.points_max for verdict in verdicts)
    return _code([run for verdict in verdicts for run in verdict.runs], full=full)


def code_of_runs(runs: Sequence[RunVerdict]) -> int:
    """Return the exit code of single runs, judged criterion by criterion."""
    met = all(result.status == "passed" for run in runs for result in run.criteria)
    return _code(runs, full=met)


def _code(runs: Sequence[RunVerdict], *, full: bool) -> int:
    faults = [run for run in runs if run.status == "lab_fault"]
    if faults:
        machine = all(run.outcome in ("disturbed", "host_lacking") for run in faults)
        return ExitCode.ENVIRONMENT if machine else ExitCode.BUG
    return ExitCode.FULL_MARKS if full else ExitCode.POINTS_LOST
