"""`virtlab new`, `virtlab try` and `virtlab pack`: for who writes a program."""

from __future__ import annotations

import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.defaults import DEFAULT_RUBRIC, RESULTS_FOLDER
from virtlab.cli.exit_codes import ExitCode
from virtlab.cli.show import page_options, print_where, progress_line
from virtlab.cli.verdict_code import code_of_verdicts
from virtlab.errors import VirtlabError

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["attempt", "new", "pack"]

_LOOK_EVERY_S = 0.02


class Kind(StrEnum):
    """What to write."""

    VCPU_SCHEDULER = "vcpu-scheduler"
    MEMORY_COORDINATOR = "memory-coordinator"


class Lang(StrEnum):
    """The languages of starters."""

    C = "c"
    PYTHON = "python"
    POLICY = "policy"


def new(
    kind: Annotated[Kind, typer.Argument(help="What to write.", show_default=False)],
    name: Annotated[
        Path,
        typer.Argument(
            help="The submission's folder, such as First_Last_p1; made where it is missing.",
            show_default=False,
        ),
    ],
    lang: Annotated[Lang, typer.Option("--lang", help="The language.")] = Lang.C,
) -> None:
    """Make a program to start from: it builds, runs and measures; deciding is yours.

    Example: virtlab new vcpu-scheduler First_Last_p1 --lang python
    """
    from virtlab.subjects.starters import FOLDERS, make_starter

    program = next(one for one in FOLDERS if one == kind.replace("-", "_"))
    made = make_starter(program, name, lang.value)
    for path in made.files:
        print(path)
    print()
    print("Next:")
    print(f"  1. virtlab try {name}                 see what it gets as it is")
    print(f"  2. edit {made.source}, at YOUR PART")
    print(f"  3. virtlab try {name} --watch         graded again at every save")
    print("virtlab explain CRITERION says what is asked for; virtlab pack makes the zip.")


def attempt(
    program: Annotated[Path, typer.Argument(help="As for grade.", show_default=False)],
    tests: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEST]...",
            help="Ids of scenarios; all of the rubric's for the programs that are there if left "
            "out.",
            show_default=False,
        ),
    ] = None,
    rubric: Annotated[
        str, typer.Option("--rubric", help="Id of a shipped rubric, or the path of a file.")
    ] = DEFAULT_RUBRIC,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and try again at every save, until Ctrl-C.")
    ] = False,
) -> None:
    """Grade a program that is being written, in short.

    Example: virtlab try First_Last_p1 cpu-1-all-on-one --watch
    """
    if not watch:
        raise typer.Exit(_tried(program, tests or [], rubric))
    seen = _state(program)
    while True:
        try:
            if _tried(program, tests or [], rubric) == ExitCode.INTERRUPTED:
                raise typer.Exit(ExitCode.INTERRUPTED)
        except VirtlabError as error:
            print(f"virtlab: {error}", file=sys.stderr)
        print(f"-- {time.strftime('%H:%M:%S')}: waiting for a save; Ctrl-C ends", flush=True)
        seen = _changed(program, seen)
        if sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="")


def pack(
    submission: Annotated[
        Path, typer.Argument(metavar="DIR", help="The submission's folder.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write.  [default: DIR.zip]", show_default=False),
    ] = None,
) -> None:
    """Check a submission, and make the course's zip of it.

    Example: virtlab pack First_Last_p1
    """
    from virtlab.subjects.packing import pack as packed

    name = submission.resolve().name
    done = packed(submission, out or Path(f"{name}.zip"))
    print(done.archive)
    for file in done.files:
        print(f"  {file}")
    for file in done.left_out:
        print(f"virtlab: left out: {file}", file=sys.stderr)
    for warning in done.warnings:
        print(f"virtlab: {warning}", file=sys.stderr)


def _tried(program: Path, tests: list[str], rubric: str) -> int:
    """Grade once, print it in short, and return the exit code."""
    from dataclasses import replace

    from virtlab.errors import UsageError
    from virtlab.grading.grade import grade_submission
    from virtlab.grading.rubric import find_rubric
    from virtlab.naming import known_or_nearest
    from virtlab.reports.monitor import monitor_text
    from virtlab.reports.terminal import verdict_text

    marks = find_rubric(rubric)
    known = [test.scenario.id for test in marks.tests]
    for name in tests:
        if name not in known:
            raise UsageError(
                f"{marks.id} has no test {name!r}.", fix=known_or_nearest(name, known, "test")
            )
    if tests:
        chosen = tuple(test for test in marks.tests if test.scenario.id in tests)
        marks = replace(marks, tests=chosen, general=())
    out = Path(RESULTS_FOLDER) / (program.resolve().name or "submission")
    with progress_line(program.name) as on_step:
        done = grade_submission(
            program,
            marks,
            out,
            seeds=list(marks.seeds),
            jobs=1 if len(marks.tests) == 1 else os.cpu_count() or 1,
            overwrite=True,
            monitor_text=monitor_text,
            on_step=on_step,
            present_only=True,
        )
    print(verdict_text(done.verdict, **page_options()), end="")
    print_where(program, out, lost=done.verdict.points < done.verdict.points_max)
    return code_of_verdicts([done.verdict], interrupted=done.interrupted)


def _changed(path: Path, before: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Wait for a save, and for its end: an editor may empty a file before it writes."""
    last = before
    while True:
        time.sleep(_LOOK_EVERY_S)
        now = _state(path)
        if now != before and now == last:
            return now
        last = now


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Return what tells whether any file of a program was saved."""
    return sorted(_stamps(path))


def _stamps(path: Path) -> Iterator[tuple[str, int, int]]:
    if not path.is_dir():
        yield from _stamp(path)
        return
    for place, folders, names in os.walk(path):  # what cannot be listed is passed over
        folders[:] = [
            name for name in folders if not name.startswith(".") and name != RESULTS_FOLDER
        ]
        for name in names:
            yield from _stamp(Path(place) / name)


def _stamp(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the stamp of a file, unless an editor is just replacing it."""
    try:
        status = path.lstat()  # editors lock with links that lead nowhere
    except OSError:
        return
    yield str(path), status.st_mtime_ns, status.st_size
