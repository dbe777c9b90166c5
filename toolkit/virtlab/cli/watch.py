"""`virtlab watch`: a run in a terminal view, played like a film."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.errors import EnvironmentLackError, InputError, UsageError

if TYPE_CHECKING:
    from virtlab.model.timeline import Timeline
    from virtlab.model.verdict import RunVerdict

__all__ = ["watch"]


def watch(
    what: Annotated[
        str,
        typer.Argument(
            help="A scenario, where a PROGRAM is given; else a folder or a timeline.json that "
            "`virtlab grade` or `run --out` has left.",
            show_default=False,
        ),
    ],
    program: Annotated[
        Path | None, typer.Argument(help="As for grade: it is run first.", show_default=False)
    ] = None,
    test: Annotated[
        str | None,
        typer.Option("--test", help="Which test of a whole grading.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The scenario's own if left out.")
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", min=0.5, max=50, help="Scenario seconds in a real one.")
    ] = 5.0,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print the course's monitor lines instead.")
    ] = False,
) -> None:
    """Watch a run: pCPUs and guests, what was moved and when, and where a criterion failed.

    Where stdout is no terminal it prints the course's monitor lines. Example: virtlab watch
    cpu-1-all-on-one examples/submissions/reference-c
    """
    if program is not None and test is not None:
        raise UsageError("--test chooses from a grading; a PROGRAM is run on one scenario.")
    if program is None and seed is not None and test is None:
        raise UsageError("--seed needs --test, or a PROGRAM.", fix="name the test as well.")
    timeline = _recorded(Path(what), test, seed) if program is None else _run(what, program, seed)
    if plain or not sys.stdout.isatty():
        from virtlab.reports.monitor import monitor_text

        print(monitor_text(timeline), end="")
        return
    _play(timeline, program, Path(what), speed)


def _play(timeline: Timeline, program: Path | None, what: Path, speed: float) -> None:
    try:
        from virtlab.reports.live.view import RunView
    except ModuleNotFoundError as error:
        raise EnvironmentLackError(
            f"the terminal view needs {error.name}, which is not installed.",
            fix="pip install 'virtlab[watch]', or use --plain",
        ) from error
    from virtlab.cli.show import page_options
    from virtlab.reports.live.lines import GLYPHS, PLAIN_GLYPHS

    if not timeline.times_ns:
        raise InputError("nothing was recorded: the run ended before its first moment.")
    options = page_options()
    RunView(
        timeline,
        _judged(timeline, program or what),
        speed=speed,
        glyphs=PLAIN_GLYPHS if options["ascii_only"] else GLYPHS,
        colour=options["colour"],
    ).run()


def _judged(timeline: Timeline, named: Path) -> RunVerdict:
    from virtlab.grading.marks import plain_run

    return plain_run(timeline, program=named.resolve().name, replay="")


def _run(scenario: str, program: Path, seed: int | None) -> Timeline:
    from virtlab.grading.interrupts import one_interrupt
    from virtlab.grading.preparation import Preparation, likely_kind
    from virtlab.grading.run import run_program
    from virtlab.grading.single import record_of
    from virtlab.grading.timing import REAL_PACE
    from virtlab.scenario import find_scenario

    described = find_scenario(scenario)
    with one_interrupt(), Preparation(program, likely_kind(scenario)) as preparation:
        run_seed = described.seed if seed is None else seed
        return record_of(described, preparation, run_seed, REAL_PACE, run_program).timeline


def _recorded(path: Path, test: str | None, seed: int | None) -> Timeline:
    from virtlab.grading.store import read_timeline

    return read_timeline(_timeline_file(path, test, seed))


def _timeline_file(path: Path, test: str | None, seed: int | None) -> Path:
    """Return the one timeline that is meant.

    Raises:
        InputError: there is none.
        UsageError: there are several.
    """
    if path.is_file():
        return path
    if (path / "timeline.json").is_file():
        return path / "timeline.json"
    found = sorted((path / "runs").glob("*/timeline.json"))
    if not found:
        raise InputError(
            f"{path}: there is no run in it.",
            fix="name a folder that `virtlab grade` has left, or a scenario and a program",
        )
    ending = "" if seed is None else f"-seed-{seed}"
    meant = [
        file
        for file in found
        if test is None or (file.parent.name.startswith(f"{test}-seed-"))
        if file.parent.name.endswith(ending)
    ]
    if len(meant) == 1:
        return meant[0]
    names = ", ".join(file.parent.name for file in meant or found)
    if not meant:
        raise UsageError(f"{path} has no run of {test}{ending}.", fix=f"use one of {names}")
    raise UsageError(f"{path} holds {len(meant)} runs: {names}.", fix="choose by --test and --seed")
