"""`virtlab fidelity`: the distance between the simulated host and a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.exit_codes import ExitCode
from virtlab.cli.show import pace_line, print_folded, print_json
from virtlab.cli.where import OutsideMax
from virtlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from virtlab.fidelity.campaign import Compared

__all__ = ["fidelity"]


def fidelity(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="A test or a program; may be given several times."),
    ] = None,
    program: Annotated[
        list[Path] | None,
        typer.Option("--program", help="A submission to run instead of the example programs."),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, max=100, help="How often each program runs.")
    ] = 1,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=1.0, help="Begin no run that would end later than this."),
    ] = None,
    uri: Annotated[
        str, typer.Option("--uri", help="Of the libvirtd, as for --host real=URI.")
    ] = "qemu:///system",
    outside_max: OutsideMax = 10.0,
    share: Annotated[
        Path | None,
        typer.Option(
            "--share",
            help="A file for what is measured, written after each run. Where it is there "
            "already, what it holds counts, and only the rest is measured.",
            show_default=False,
        ),
    ] = None,
    contributions: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Measure nothing; compare with what such a file holds."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", help="A page in Markdown whose table is renewed.", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Run the same programs on a real host and the simulated one, and say how far they differ.

    Exits with 0 where all errors are within the project's aims, with 1 where some are not, and
    with 4 where no run counts. It takes as long as the tests last: --minutes bounds it.

    Example: virtlab fidelity --only reference-c --minutes 20 --share mine.json
    """
    from virtlab.fidelity.campaign import Asked, compare_files, run_campaign, this_machine
    from virtlab.fidelity.page import page_with_table
    from virtlab.grading.interrupts import one_interrupt

    page = None if write is None else page_with_table(write)
    if contributions and (share is not None or program or only):
        raise UsageError("--from measures nothing.", fix="leave --share, --program and --only out.")
    interrupted = False
    left: Sequence[str] = ()
    with one_interrupt(), pace_line("on a real host") as line:
        if contributions:
            found = compare_files(contributions, line.show)
        else:
            asked = Asked(only or (), program or (), repeat, minutes, outside_max, share)
            with this_machine(uri, outside_points_max=outside_max, progress=line.show) as place:
                outcome = run_campaign(asked, place, progress=line.show, on_pace=line)
            found, interrupted = [outcome.compared], outcome.interrupted
            left = outcome.out_of_time
    if left:
        print(f"virtlab: no time was left for {len(left)} runs, {left[0]} first", file=sys.stderr)
    _show(found, as_json=as_json)
    if write is not None and not any(one.counted for one in found):
        print(f"virtlab: {write} stays as it is, as no run counts", file=sys.stderr)
    elif write is not None and page is not None:
        from virtlab.grading.results_folder import write_file
        from virtlab.reports.fidelity import fidelity_page

        table = fidelity_page([(one.contribution, one.distances, one.aims) for one in found])
        write_file(write, page.with_table(table))
    if interrupted:
        print("virtlab: interrupted", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(_exit_code(found))


def _show(found: Sequence[Compared], *, as_json: bool) -> None:
    if as_json:
        print_json({"version": 1, "machines": [one.plain() for one in found]})
        return
    from virtlab.reports.fidelity import fidelity_lines

    for number, one in enumerate(found):
        if number:
            print()
        print_folded(fidelity_lines(one.contribution, one.distances, one.aims))


def _exit_code(found: Sequence[Compared]) -> int:
    if not any(one.counted for one in found):
        return ExitCode.ENVIRONMENT
    within = all(one.within_aims for one in found)
    return ExitCode.FULL_MARKS if within else ExitCode.POINTS_LOST
