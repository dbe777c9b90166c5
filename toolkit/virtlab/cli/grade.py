"""`virtlab grade` and `virtlab run`: submissions under a rubric, or one program on one scenario."""

from __future__ import annotations

import logging
import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.defaults import DEFAULT_RUBRIC, RESULTS_FOLDER
from virtlab.cli.exit_codes import ExitCode
from virtlab.cli.show import (
    PaceLine,
    pace_line,
    page_options,
    print_json,
    print_where,
    progress_line,
)
from virtlab.cli.verdict_code import code_of_runs, code_of_verdicts
from virtlab.cli.where import SIMULATED, Host, OutsideMax, is_real, runner_of
from virtlab.errors import EnvironmentLackError, SubmissionError, UsageError, VirtlabError

if TYPE_CHECKING:
    from collections.abc import Callable

    from virtlab.grading.grade import GradedSubmission
    from virtlab.grading.rubric import Rubric
    from virtlab.model.verdict import RunVerdict, Verdict

__all__ = ["grade", "run"]

_SEEDS_MAX = 1000
_NAME_BYTES = 200


class Program(StrEnum):
    """The two programs of the course."""

    VCPU_SCHEDULER = "vcpu_scheduler"
    MEMORY_COORDINATOR = "memory_coordinator"


Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=2**31 - 1, help="First seed; the rubric's where not given."),
]
Pace = Annotated[
    float,
    typer.Option(
        "--pace",
        min=0.001,
        max=1000.0,
        help="Virtual seconds in a real one, for programs that cannot run in lockstep: static "
        "ones and Go. Their own sleeps stay real.",
    ),
]
Sanitise = Annotated[
    bool,
    typer.Option(
        "--sanitize",
        help="Run C programs once more, built with AddressSanitizer and UBSan; what they find "
        "is told and costs no points.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace older results of virtlab in --out.")
]


def grade(
    programs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PROGRAM",
            help="Submissions: a folder, a zip or tar archive, a .c or .py file, an executable.",
            show_default=False,
        ),
    ],
    rubric: Annotated[
        str, typer.Option("--rubric", help="Id of a shipped rubric, or the path of a file.")
    ] = DEFAULT_RUBRIC,
    seed: Seed = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=1, max=_SEEDS_MAX, help="How many seeds; the lowest mark counts."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=256, help="Runs side by side; all cores.")
    ] = None,
    only: Annotated[
        Program | None, typer.Option("--only", help="Grade the tests of one program alone.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for the results, one folder in it for each submission.  "
            "[default: virtlab-results]",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Take over what --out holds of this rubric and these seeds, by the submissions' "
            "names, and grade the others.",
        ),
    ] = False,
    pace: Pace = 1.0,
    sanitise: Sanitise = False,
    host: Host = SIMULATED,
    outside_max: OutsideMax = 10.0,
    gradescope: Annotated[
        Path | None,
        typer.Option(
            "--gradescope",
            help="Gradescope's results.json of one submission, written anew as each test ends.",
            show_default=False,
        ),
    ] = None,
    hints: Annotated[
        bool, typer.Option("--hints/--no-hints", help="Say where to look next for a lost point.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Grade submissions by a rubric, and explain every point.

    Example: virtlab grade First_Last_p1.zip
    """
    from dataclasses import asdict

    from virtlab.grading.grade import asked_for, grade_submission
    from virtlab.grading.resume import graded_before
    from virtlab.grading.rubric import find_rubric
    from virtlab.grading.timing import Pacing
    from virtlab.reports.monitor import monitor_text
    from virtlab.reports.terminal import verdict_text

    if gradescope is not None and len(programs) > 1:
        raise UsageError(
            f"--gradescope is for one submission, and {len(programs)} are named.",
            fix="grade them one by one, as Gradescope does.",
        )
    if resume and overwrite:
        raise UsageError("--resume keeps results and --overwrite does not.", fix="name one.")
    marks = find_rubric(rubric)
    chosen = list(marks.seeds) if seed is None and seeds is None else _seeds(seed, seeds, marks)
    root = out or Path(RESULTS_FOLDER)
    graded: list[GradedSubmission] = []
    failed: list[tuple[Path, VirtlabError]] = []
    interrupted = False
    real = is_real(host)
    shown = PaceLine("on a real host") if real else PaceLine()
    # What a real host cannot offer is refused before anything is unpacked or built.
    tests = [test for test in marks.tests if only in (None, test.scenario.program)]
    with runner_of(host, outside_max, shown.show, [test.scenario for test in tests]) as runner:
        asked = asked_for(
            only=None if only is None else only.value,
            pacing=Pacing(pace, shown),
            sanitise=sanitise,
            runner=runner,
            hints=hints,
        )
        for path, name in zip(programs, _folder_names(programs), strict=True):
            kept = graded_before(root / name, marks, chosen, asked) if resume else None
            if kept is not None and not kept.interrupted:
                graded.append(kept)
                print(f"virtlab: {path}: graded before, {root / name}", file=sys.stderr)
                continue
            try:
                with progress_line(path.name) as on_step:
                    one = grade_submission(
                        path,
                        marks,
                        root / name,
                        seeds=chosen,
                        jobs=1 if real else jobs or os.cpu_count() or 1,
                        only=None if only is None else only.value,
                        # The default folder is the lab's own; one that the user named is not.
                        overwrite=overwrite or out is None or kept is not None,
                        monitor_text=monitor_text,
                        on_step=on_step,
                        pacing=Pacing(pace, shown),
                        sanitise=sanitise,
                        runner=runner,
                        on_verdict=_gradescope_writer(gradescope),
                        hints=hints,
                    )
            except KeyboardInterrupt:
                interrupted = True
                print("virtlab: interrupted", file=sys.stderr)
                break
            except Exception as error:
                if gradescope is not None and isinstance(error, SubmissionError):
                    _write_refusal(gradescope, error)
                if isinstance(error, BrokenPipeError) or (
                    len(programs) == 1 and not isinstance(error, VirtlabError)
                ):
                    raise
                # The others of a class are graded nevertheless.
                failed.append((path, _explained(path, error)))
                print(f"virtlab: {failed[-1][1]}", file=sys.stderr)
                continue
            graded.append(one)
            if not as_json:
                print(verdict_text(one.verdict, **page_options()), end="")
                lost = one.verdict.points < one.verdict.points_max
                print_where(path, root / name, lost=lost)
            for note in one.notes:
                print(f"virtlab: {path}: {note}", file=sys.stderr)
            interrupted = one.interrupted
            if interrupted:
                break
    if as_json:
        print_json(
            {
                "version": 1,
                "verdicts": [asdict(one.verdict) for one in graded],
                "failed": [
                    {"submission": str(path), "exit_code": error.exit_code, "error": str(error)}
                    for path, error in failed
                ],
            }
        )
    for note in dict.fromkeys(note for one in graded for note in one.weaknesses):
        print(f"virtlab: {note}", file=sys.stderr)
    if failed and len(programs) > 1:
        names = ", ".join(str(path) for path, _ in failed)
        print(f"virtlab: {len(failed)} of {len(programs)} not graded: {names}", file=sys.stderr)
    code = code_of_verdicts([one.verdict for one in graded], interrupted=interrupted)
    if code in (ExitCode.FULL_MARKS, ExitCode.POINTS_LOST):
        code = max([code, *(error.exit_code for _, error in failed)])
    raise typer.Exit(code)


def run(
    scenario: Annotated[
        str,
        typer.Argument(help="Id of a shipped scenario, or the path of a file.", show_default=False),
    ],
    program: Annotated[Path, typer.Argument(help="As for grade.", show_default=False)],
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the evidence; none where not given.")
    ] = None,
    overwrite: Overwrite = False,
    pace: Pace = 1.0,
    sanitise: Sanitise = False,
    host: Host = SIMULATED,
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, max=1000, help="How many times, on a real host.")
    ] = 1,
    outside_max: OutsideMax = 10.0,
    as_json: Json = False,
) -> None:
    """Run one program on one scenario, and judge each criterion.

    Example: virtlab run cpu-1-all-on-one examples/submissions/reference-c
    """
    from dataclasses import asdict

    from virtlab.grading.interrupts import one_interrupt
    from virtlab.grading.preparation import Preparation, likely_kind

    real = is_real(host)
    if repeat > 1 and not real:
        raise UsageError(
            "--repeat: runs on the simulated host are the same each time.", fix="add --host real"
        )
    with (
        one_interrupt(),
        pace_line("on a real host" if real else "on the paced clock") as on_pace,
        Preparation(program, likely_kind(scenario)) as preparation,
    ):
        # Loaded while the compiler is at work.
        from virtlab.grading.single import run_single
        from virtlab.grading.timing import Pacing
        from virtlab.reports.monitor import monitor_text
        from virtlab.reports.terminal import load_page_parts, run_text
        from virtlab.scenario import find_scenario

        if not as_json:
            load_page_parts()
        described = find_scenario(scenario)
        with runner_of(host, outside_max, on_pace.show, [described]) as runner:
            verdicts = [
                run_single(
                    described,
                    preparation,
                    source=scenario,
                    seed=described.seed if seed is None else seed,
                    out=out if out is None or repeat == 1 else out / str(number),
                    overwrite=overwrite,
                    monitor_text=monitor_text,
                    pacing=Pacing(pace, on_pace),
                    sanitise=sanitise,
                    runner=runner,
                )
                for number in range(1, repeat + 1)
            ]
    if repeat > 1:
        _show_spread(verdicts, as_json=as_json)
    elif as_json:
        print_json({"version": 1, **asdict(verdicts[0])})
    else:
        print(run_text(verdicts[0], **page_options()), end="")
    raise typer.Exit(code_of_runs(verdicts))


def _show_spread(verdicts: list[RunVerdict], *, as_json: bool) -> None:
    """Print several runs of one program: each, and what they have in common."""
    from dataclasses import asdict

    from virtlab.grading.spread import spread_of
    from virtlab.reports.spread import spread_text
    from virtlab.reports.terminal import run_text

    spreads = spread_of(verdicts)
    if as_json:
        found = {
            "version": 1,
            "runs": [asdict(verdict) for verdict in verdicts],
            "spread": [asdict(spread) for spread in spreads],
        }
        print_json(found)
        return
    for verdict in verdicts:
        print(run_text(verdict, **page_options()))
    print(spread_text(spreads), end="")


def _gradescope_writer(path: Path | None) -> Callable[[Verdict], None]:
    """Return what writes a verdict for Gradescope, where that is asked for."""
    if path is None:
        return lambda _verdict: None
    from virtlab.grading.results_folder import write_file
    from virtlab.reports.gradescope import gradescope_json

    began_s = time.monotonic()
    return lambda verdict: write_file(
        path, gradescope_json(verdict, real_s=time.monotonic() - began_s)
    )


def _write_refusal(path: Path, error: SubmissionError) -> None:
    """Tell who handed in what cannot be graded, and why: the exit code tells Gradescope only."""
    from virtlab.grading.results_folder import write_file
    from virtlab.reports.gradescope import refusal_json

    write_file(path, refusal_json(str(error)))


def _explained(path: Path, error: Exception) -> VirtlabError:
    """Return the failure of one submission of several as one that has a message and a code."""
    if isinstance(error, VirtlabError):
        return error
    if isinstance(error, OSError):
        return EnvironmentLackError(f"{path}: {error}")
    logging.getLogger(__name__).error("a bug in virtlab", exc_info=error)
    return VirtlabError(f"{path}: not graded, by a bug in virtlab; please report the lines above")


def _seeds(first: int | None, count: int | None, rubric: Rubric) -> list[int]:
    """Return the seeds that the options ask for, the rubric's own first one by default."""
    start = rubric.seeds[0] if first is None else first
    return list(range(start, start + (count or 1)))


def _folder_names(programs: list[Path]) -> list[str]:
    """Return a folder name for each submission; equal names are told apart by a number."""
    names: list[str] = []
    for path in programs:
        # Unlike Path.resolve it takes links that lead nowhere; the intake tells them.
        stem = os.path.basename(os.path.realpath(path)) or "submission"  # noqa: PTH119
        for suffix in (".zip", ".tgz", ".gz", ".xz", ".bz2", ".tar"):
            stem = stem.removesuffix(suffix) or stem
        # The folder is written under a longer name, and no name may have more than 255 bytes.
        stem = os.fsdecode(os.fsencode(stem)[:_NAME_BYTES])
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names
