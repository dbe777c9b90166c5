"""A machine's measurements from beginning to end: what fits, what is left to do, what came of it.

After each run the contribution is written, so that what was measured outlives an interruption and
a later call goes on from there. Nothing is measured twice: a run that counted stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from virtlab import __version__
from virtlab.errors import EnvironmentLackError, UsageError
from virtlab.fidelity.contribution import read_contribution, write_contribution
from virtlab.fidelity.distance import against_aims, distance_of
from virtlab.fidelity.machine import machine_here
from virtlab.fidelity.measure import Programs, measure, simulated_anew
from virtlab.fidelity.plan import Planned, chosen, example, plan
from virtlab.grading.real_host import open_real_host
from virtlab.grading.run import Runner
from virtlab.grading.timing import OnPace, Pacing
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.loads import loops_are_held
from virtlab.hosts.real.requirements import HostFigures, lacks
from virtlab.model.fidelity import (
    CONTRIBUTION_VERSION,
    AimLine,
    Contribution,
    FidelityRun,
    Machine,
    NotRun,
    RunDistance,
)
from virtlab.resources import examples_dir
from virtlab.scenario import scenario_files, shipped_scenarios

__all__ = [
    "Asked",
    "Compared",
    "Outcome",
    "Place",
    "compare_files",
    "compared",
    "run_campaign",
    "this_machine",
]

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured."""

    only: Sequence[str] = ()  # tests and programs; all that fit where empty
    own: Sequence[Path] = ()  # submissions to run instead of the examples
    repeat: int = 1
    minutes: float | None = None
    outside_points_max: float = 10.0
    share: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A real host, and what it runs on."""

    runner: Runner
    figures: HostFigures
    machine: Machine


@dataclass(frozen=True, slots=True)
class Compared:
    """A machine's contribution, and how far the simulated host is from it."""

    contribution: Contribution
    distances: tuple[RunDistance, ...]
    aims: tuple[AimLine, ...]

    @property
    def counted(self) -> bool:
        """Tell whether any run counts."""
        return any(one.disturbed is None for one in self.distances)

    @property
    def within_aims(self) -> bool:
        """Tell whether every run that counts is within all aims, its verdicts included."""
        alike = not any(one.judged_otherwise for one in self.distances if one.disturbed is None)
        return alike and all(line.within == line.runs for line in self.aims)

    def plain(self) -> dict[str, Any]:
        """Return it for JSON, without the figures over time."""
        about = replace(self.contribution, runs=())
        return {
            "contribution": {k: v for k, v in asdict(about).items() if k != "runs"},
            "aims": [asdict(line) for line in self.aims],
            "runs": [asdict(one) for one in self.distances],
        }


@dataclass(slots=True)
class Outcome:
    """What came of measuring."""

    compared: Compared
    interrupted: bool = False
    out_of_time: list[str] = field(default_factory=list)  # runs that were left out, in words


def compared(contribution: Contribution) -> Compared:
    """Return how far the simulated host is from what a machine measured."""
    distances = tuple(distance_of(run) for run in contribution.runs)
    return Compared(contribution, distances, against_aims(distances))


def compare_files(paths: Iterable[Path], progress: Progress = lambda _line: None) -> list[Compared]:
    """Return what contributions say of the simulated host as it is now.

    The simulated side is run anew where test and program are here; else what the file says stands.

    Raises:
        InputError: a file cannot be read.
    """
    found = [read_contribution(path) for path in paths]
    return [compared(_renewed(contribution, progress)) for contribution in found]


@contextmanager
def this_machine(
    uri: str, *, outside_points_max: float, progress: Progress = lambda _line: None
) -> Iterator[Place]:
    """Have this machine's real host for oneself.

    Raises:
        UsageError, EnvironmentLackError: it cannot be had.
    """
    with open_real_host(uri, outside_points_max=outside_points_max, progress=progress) as host:
        with HostConnection(host.socket) as connection:
            machine = machine_here(connection, host.accelerator)
        yield Place(host, host.figures, machine)


def run_campaign(
    asked: Asked,
    place: Place,
    *,
    progress: Progress = lambda _line: None,
    on_pace: OnPace = lambda _scenario, _at_s, _of_s: None,
) -> Outcome:
    """Measure what is asked for.

    Raises:
        UsageError: nothing is named so, or the file to go on with is another machine's.
        InputError: that file cannot be read.
        EnvironmentLackError: what is named does not fit, the host does not do any more, or the
            disk is full.
    """
    found = _begun(asked, place)
    runs = {_key(run): run for run in found.runs}
    todo = [
        planned
        for planned in _planned(asked, found)
        if planned.key not in runs or runs[planned.key].disturbed is not None
    ]
    outcome = Outcome(compared(found))
    try:
        for measured in measure(
            todo, place.runner, place.machine.accelerator,
            minutes=asked.minutes, pacing=Pacing(on_pace=on_pace), progress=progress,
        ):  # fmt: skip
            if measured.run is None:
                outcome.out_of_time.append(_words(measured.planned))
                continue
            runs[measured.planned.key] = measured.run
            found = replace(found, date=_today(), runs=_in_order(runs.values()))
            if asked.share is not None:
                write_contribution(asked.share, found)
    except KeyboardInterrupt:
        outcome.interrupted = True
    outcome.compared = compared(found)
    return outcome


def _begun(asked: Asked, place: Place) -> Contribution:
    """Return what this machine has measured before, or that it has measured nothing yet."""
    shipped = shipped_scenarios()
    fresh = Contribution(
        version=CONTRIBUTION_VERSION,
        virtlab=__version__,
        date=_today(),
        machine=place.machine,
        outside_points_max=asked.outside_points_max,
        tests=len(shipped),
        not_run=tuple(
            NotRun(test.id, "; it ".join(why))
            for test in shipped
            if (why := lacks(test, place.figures))
        ),
        runs=(),
        loops_held=loops_are_held(place.machine.accelerator),
    )
    if asked.share is None or not asked.share.exists():
        if asked.share is not None and not asked.share.absolute().parent.is_dir():
            raise UsageError(
                f"{asked.share}: there is no such folder.", fix="make it, or name another place."
            )
        return fresh
    earlier = read_contribution(asked.share)
    if not _same(earlier.machine, place.machine):
        raise UsageError(
            f"{asked.share} was measured on another machine, or on this one as it was then.",
            fix="name another file.",
        )
    if earlier.loops_held != fresh.loops_held:
        raise UsageError(
            f"{asked.share} was measured with loops that were not held to their duty.",
            fix="name another file, or remove this one.",
        )
    return _renewed(replace(fresh, date=earlier.date, runs=earlier.runs))


def _same(one: Machine, other: Machine) -> bool:
    """Tell whether two descriptions are one machine's; virtual ones get memory as they run."""
    return replace(one, memory_mib=0) == replace(other, memory_mib=0)


def _planned(asked: Asked, found: Contribution) -> list[Planned]:
    examples = examples_dir()
    if not asked.own and not examples.is_dir():
        raise UsageError(
            "The example submissions are not here: only a checkout has them.",
            fix="name programs with --program.",
        )
    lacking = {one.scenario: one.why for one in found.not_run}
    for name in asked.only:
        if name in lacking:
            raise EnvironmentLackError(
                f"{name} cannot run here: it {lacking[name]}.", fix="leave it out of --only."
            )
    fitting = [test for test in shipped_scenarios() if test.id not in lacking]
    return chosen(plan(fitting, examples, own=asked.own, repeat=asked.repeat), asked.only)


def _renewed(contribution: Contribution, progress: Progress = lambda _line: None) -> Contribution:
    """Return a contribution with its simulated side as the laws are now."""
    tests = {test.id: test for test in shipped_scenarios()}
    examples = examples_dir()
    accelerator, runs = contribution.machine.accelerator, []
    with Programs() as programs:
        for run in contribution.runs:
            program = example(run.program, examples)
            if program is None or run.scenario not in tests:
                runs.append(run)
                continue
            progress(f"simulated: {run.scenario}, {run.program}")
            planned = Planned(tests[run.scenario], program, run.number)
            runs.append(simulated_anew(run, planned, accelerator, programs))
    return replace(contribution, runs=tuple(runs))


def _in_order(runs: Iterable[FidelityRun]) -> tuple[FidelityRun, ...]:
    """Return runs in the order of the lab's tests, references before flawed programs."""
    tests = list(scenario_files())
    return tuple(
        sorted(
            runs,
            key=lambda run: (
                tests.index(run.scenario) if run.scenario in tests else len(tests),
                run.program.startswith("flawed/"),
                run.program,
                run.number,
            ),
        )
    )


def _key(run: FidelityRun) -> tuple[str, str, int]:
    return run.scenario, run.program, run.number


def _words(planned: Planned) -> str:
    return f"{planned.scenario.id} with {planned.program.name}"


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
