"""The sub-commands of `virtlab` and what they have in common."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from virtlab import __version__
from virtlab.cli import (
    author,
    daemons,
    diff,
    doctor,
    explain,
    fidelity,
    flight,
    grade,
    guests,
    host,
    images,
    judge,
    league,
    lesson,
    policies,
    report,
    scenarios,
    serve,
    watch,
)
from virtlab.cli.exit_codes import EPILOG
from virtlab.cli.front_page import DAEMONS, LEADS, LOOK, MACHINE, FrontPage

__all__ = ["app"]

app = typer.Typer(
    name="virtlab",
    cls=FrontPage,
    help="Write, run and grade vCPU schedulers and memory coordinators.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_WRITE, _GRADE = LEADS
app.command(
    "new",
    epilog=EPILOG,
    rich_help_panel=_WRITE,
    short_help="Make a program to start from; it builds, runs and measures.",
)(author.new)
app.command(
    "try",
    epilog=EPILOG,
    rich_help_panel=_WRITE,
    short_help="Grade it while you write, at every save with --watch.",
)(author.attempt)
app.command(
    "pack",
    epilog=EPILOG,
    rich_help_panel=_WRITE,
    short_help="Check a submission, and make the course's zip of it.",
)(author.pack)
app.command(
    "grade",
    epilog=EPILOG,
    rich_help_panel=_GRADE,
    short_help="Grade submissions by a rubric, and explain every point.",
)(grade.grade)
app.command(
    "run", epilog=EPILOG, rich_help_panel=_GRADE, short_help="Run one program on one test."
)(grade.run)
app.command("fidelity", epilog=EPILOG, rich_help_panel=MACHINE)(fidelity.fidelity)
app.command("judge", epilog=EPILOG, rich_help_panel=LOOK)(judge.judge)
app.command("diff", epilog=EPILOG, rich_help_panel=LOOK)(diff.diff)
app.command(
    "explain",
    epilog=EPILOG,
    rich_help_panel=_WRITE,
    short_help="Say what a criterion or a test is for, and what fails it.",
)(explain.explain)
app.command("league", epilog=EPILOG, rich_help_panel=LOOK)(league.league)
app.command(
    "report",
    epilog=EPILOG,
    rich_help_panel=_GRADE,
    short_help="Make a page with charts, or what other systems read.",
)(report.report)
app.command("watch", epilog=EPILOG, rich_help_panel=LOOK)(watch.watch)
app.command("serve", epilog=EPILOG, rich_help_panel=LOOK)(serve.serve)
app.command("shell", epilog=EPILOG, rich_help_panel=LOOK)(serve.shell)
app.command("schedule", epilog=EPILOG, rich_help_panel=DAEMONS)(daemons.schedule)
app.command("coordinate", epilog=EPILOG, rich_help_panel=DAEMONS)(daemons.coordinate)
app.command("undo", epilog=EPILOG, rich_help_panel=DAEMONS)(daemons.undo)
app.command("why", epilog=EPILOG, rich_help_panel=DAEMONS)(flight.why)
app.command("replay", epilog=EPILOG, rich_help_panel=DAEMONS)(flight.replay)
app.command("record", epilog=EPILOG, rich_help_panel=DAEMONS)(flight.record)
app.command("doctor", epilog=EPILOG, rich_help_panel=MACHINE)(doctor.doctor)
app.add_typer(guests.app, name="guests", rich_help_panel=MACHINE)
app.add_typer(host.app, name="host", rich_help_panel=MACHINE)
app.add_typer(images.app, name="images", rich_help_panel=MACHINE)
app.add_typer(
    lesson.app,
    name="lesson",
    rich_help_panel=_WRITE,
    short_help="Run short lessons, each with one thing to change.",
)
app.add_typer(policies.app, name="policies", rich_help_panel=LOOK)
app.add_typer(scenarios.app, name="scenarios", rich_help_panel=LOOK)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"virtlab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what the lab does to stderr.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
