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

__all__ = ["app"]

app = typer.Typer(
    name="virtlab",
    help="Write, run and grade vCPU schedulers and memory coordinators.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("new", epilog=EPILOG)(author.new)
app.command("try", epilog=EPILOG)(author.attempt)
app.command("pack", epilog=EPILOG)(author.pack)
app.command("grade", epilog=EPILOG)(grade.grade)
app.command("run", epilog=EPILOG)(grade.run)
app.command("fidelity", epilog=EPILOG)(fidelity.fidelity)
app.command("judge", epilog=EPILOG)(judge.judge)
app.command("diff", epilog=EPILOG)(diff.diff)
app.command("explain", epilog=EPILOG)(explain.explain)
app.command("league", epilog=EPILOG)(league.league)
app.command("report", epilog=EPILOG)(report.report)
app.command("watch", epilog=EPILOG)(watch.watch)
app.command("serve", epilog=EPILOG)(serve.serve)
app.command("shell", epilog=EPILOG)(serve.shell)
app.command("schedule", epilog=EPILOG)(daemons.schedule)
app.command("coordinate", epilog=EPILOG)(daemons.coordinate)
app.command("undo", epilog=EPILOG)(daemons.undo)
app.command("why", epilog=EPILOG)(flight.why)
app.command("replay", epilog=EPILOG)(flight.replay)
app.command("record", epilog=EPILOG)(flight.record)
app.command("doctor", epilog=EPILOG)(doctor.doctor)
app.add_typer(guests.app, name="guests")
app.add_typer(host.app, name="host")
app.add_typer(images.app, name="images")
app.add_typer(lesson.app, name="lesson")
app.add_typer(policies.app, name="policies")
app.add_typer(scenarios.app, name="scenarios")


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
