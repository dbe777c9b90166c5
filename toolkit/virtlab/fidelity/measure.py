"""The same program on both hosts, one planned run after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from virtlab.fidelity.alike import as_found, replayed
from virtlab.fidelity.figures import acts_of, held_kib_of, run_figures
from virtlab.fidelity.plan import Planned
from virtlab.grading.preparation import Preparation
from virtlab.grading.run import Runner, run_program
from virtlab.grading.single import record_of
from virtlab.grading.timing import REAL_PACE, Pacing
from virtlab.model.fidelity import Act, FidelityRun, RunFigures
from virtlab.model.scenario import ProgramKind, Scenario

__all__ = ["MeasuredRun", "Programs", "measure", "simulated_anew"]

_AROUND_S: Final = 25  # what guests take to come and go, emulated


class Programs(ExitStack):
    """Programs made ready to run, each built once; to be used in a `with` block."""

    def __init__(self) -> None:
        super().__init__()
        self._ready: dict[tuple[Path, ProgramKind], Preparation] = {}

    def of(self, planned: Planned) -> Preparation:
        """Return the program of a planned run.

        Raises:
            SubmissionError: it cannot be read.
        """
        path, kind = planned.program.path, planned.scenario.program
        if (path, kind) not in self._ready:
            self._ready[path, kind] = self.enter_context(Preparation(path, kind))
        return self._ready[path, kind]


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What came of a planned run; None where no time was left for it."""

    planned: Planned
    run: FidelityRun | None


def measure(
    runs: Sequence[Planned],
    runner: Runner,
    accelerator: str,
    *,
    minutes: float | None = None,
    pacing: Pacing = REAL_PACE,
    progress: Callable[[str], None] = lambda _line: None,
) -> Iterator[MeasuredRun]:
    """Make planned runs on both hosts, and yield each when it is done.

    Args:
        runs: what to do, in this order.
        runner: runs programs on the real host.
        accelerator: on which its guests run.
        minutes: begin no run that would not end within so much time; None: all are made.
        pacing: who is told how far a run is.
        progress: told of each run as it begins.

    Raises:
        EnvironmentLackError: the host does not do any more.
    """
    began_s = time.monotonic()
    with Programs() as programs:
        for number, planned in enumerate(runs, start=1):
            ends_s = time.monotonic() - began_s + planned.scenario.duration_s + _AROUND_S
            if minutes is not None and ends_s > minutes * 60:
                yield MeasuredRun(planned, None)
                continue
            progress(f"{number} of {len(runs)}: {planned.scenario.id}, {planned.program.name}")
            preparation = programs.of(planned)
            run = _on_both(planned, preparation, runner, accelerator, pacing)
            yield MeasuredRun(planned, run)


def simulated_anew(
    run: FidelityRun, planned: Planned, accelerator: str, programs: Programs
) -> FidelityRun:
    """Return a run that was measured before with its simulated side as the laws are now."""
    scenario = as_found(planned.scenario, run.held_kib, accelerator)
    simulated = _simulated(scenario, programs.of(planned))
    return replace(run, simulated=simulated, same_acts=_same_acts(scenario, run.acts))


def _on_both(
    planned: Planned, preparation: Preparation, runner: Runner, accelerator: str, pacing: Pacing
) -> FidelityRun:
    scenario = planned.scenario
    record = record_of(scenario, preparation, scenario.seed, pacing, runner)
    held_kib, acts = held_kib_of(record.timeline), acts_of(record.timeline)
    alike = as_found(scenario, held_kib, accelerator)
    outcome = record.timeline.outcome
    return FidelityRun(
        scenario=scenario.id,
        program=planned.program.name,
        number=planned.number,
        disturbed=outcome.reason if outcome.status == "lab_fault" else None,
        outside_percent=record.outside_percent,
        held_kib=held_kib,
        acts=acts,
        real=run_figures(record.timeline),
        simulated=_simulated(alike, preparation),
        same_acts=_same_acts(alike, acts),
    )


def _simulated(scenario: Scenario, preparation: Preparation) -> RunFigures:
    record = record_of(scenario, preparation, scenario.seed, REAL_PACE, run_program)
    return run_figures(record.timeline)


def _same_acts(scenario: Scenario, acts: Sequence[Act]) -> RunFigures:
    return run_figures(replayed(scenario, acts))
