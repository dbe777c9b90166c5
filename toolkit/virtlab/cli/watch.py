"""`virtlab watch`: a run in a terminal view, played like a film, or a host as it is now."""

from __future__ import annotations

import contextlib
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.errors import EnvironmentLackError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from virtlab.hosts.live import LiveHost
    from virtlab.model.scenario import ProgramKind
    from virtlab.model.timeline import Timeline
    from virtlab.model.verdict import RunVerdict

__all__ = ["watch"]


class Matter(StrEnum):
    """What of a host is shown."""

    CPUS = "cpus"
    MEMORY = "memory"


def watch(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A scenario, where a PROGRAM is given; else a folder or a timeline.json that "
            "`virtlab grade` or `run --out` has left. None with --connect.",
            show_default=False,
        ),
    ] = None,
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
    connect: Annotated[
        str | None,
        typer.Option(
            "--connect",
            metavar="URI",
            help="A host as it is now, such as qemu:///system; nothing on it is changed.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[
        Matter, typer.Option("--show", help="With --connect, what is shown first.")
    ] = Matter.CPUS,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print the course's monitor lines instead.")
    ] = False,
) -> None:
    """Watch a run or a host: pCPUs and guests, what was moved and when, and where it failed.

    Where stdout is no terminal it prints the course's monitor lines. Example: virtlab watch
    cpu-1-all-on-one examples/submissions/reference-c
    """
    if connect is not None:
        if what is not None:
            raise UsageError("--connect watches a host, and no run.", fix="leave out the run.")
        _watch_host(connect, show, plain=plain or not sys.stdout.isatty())
        return
    if what is None:
        raise UsageError(
            "there is nothing to watch.",
            fix="name a scenario and a program, a folder of results, or a host by --connect URI.",
        )
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


def _watch_host(uri: str, matter: Matter, *, plain: bool) -> None:
    """Look at a host until the view is left, or until Ctrl-C."""
    from virtlab.hosts.live import LOOKS_KEPT, LiveHost
    from virtlab.hosts.real.connection import HostConnection, socket_of
    from virtlab.model.units import NS_PER_S
    from virtlab.reports.monitor import PERIODS_NS, monitor_block

    kind: ProgramKind = "memory_coordinator" if matter is Matter.MEMORY else "vcpu_scheduler"
    host = LiveHost(lambda: HostConnection(socket_of(uri)), kind)
    if not plain:
        _follow(host, uri)
        return
    number, before = 0, None
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        while True:
            seen = host.look()
            number, last = number + 1, len(seen.times_ns) - 1
            print(monitor_block(seen, number, last, before), end="", flush=True)
            # The look that comes next is one further, unless the oldest is forgotten for it.
            before = last - (len(seen.times_ns) == LOOKS_KEPT)
            time.sleep(PERIODS_NS[kind] / NS_PER_S)


def _follow(host: LiveHost, uri: str) -> None:
    first = host.look()
    with _terminal_parts():
        from virtlab.reports.live.host_view import HostView
    from virtlab.cli.show import page_options
    from virtlab.reports.live.lines import GLYPHS, PLAIN_GLYPHS

    options = page_options()
    HostView(
        first,
        host.look,
        _judged(first, uri),
        glyphs=PLAIN_GLYPHS if options["ascii_only"] else GLYPHS,
        colour=options["colour"],
    ).run()


@contextlib.contextmanager
def _terminal_parts() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentLackError(
            f"the terminal view needs {error.name}, which is not installed.",
            fix="pip install 'virtlab[watch]', or use --plain",
        ) from error


def _play(timeline: Timeline, program: Path | None, what: Path, speed: float) -> None:
    with _terminal_parts():
        from virtlab.reports.live.view import RunView
    from virtlab.cli.show import page_options
    from virtlab.reports.live.lines import GLYPHS, PLAIN_GLYPHS

    if not timeline.times_ns:
        raise InputError("nothing was recorded: the run ended before its first moment.")
    options = page_options()
    RunView(
        timeline,
        _judged(timeline, (program or what).resolve().name),
        speed=speed,
        glyphs=PLAIN_GLYPHS if options["ascii_only"] else GLYPHS,
        colour=options["colour"],
    ).run()


def _judged(timeline: Timeline, name: str) -> RunVerdict:
    from virtlab.grading.marks import plain_run

    return plain_run(timeline, program=name, replay="")


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
