"""The `virtlab` command: its sub-commands, and how failures become messages and exit codes."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated, NoReturn

import typer

from virtlab import __version__
from virtlab.cli import (
    author,
    diff,
    doctor,
    explain,
    grade,
    host,
    judge,
    policies,
    report,
    scenarios,
    serve,
)
from virtlab.cli.exit_codes import EPILOG, ExitCode
from virtlab.errors import VirtlabError

__all__ = ["app", "main"]

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
app.command("judge", epilog=EPILOG)(judge.judge)
app.command("diff", epilog=EPILOG)(diff.diff)
app.command("explain", epilog=EPILOG)(explain.explain)
app.command("report", epilog=EPILOG)(report.report)
app.command("serve", epilog=EPILOG)(serve.serve)
app.command("shell", epilog=EPILOG)(serve.shell)
app.command("doctor", epilog=EPILOG)(doctor.doctor)
app.add_typer(host.app, name="host")
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


def main() -> NoReturn:
    """Run the command line; end the process with an exit code that `--help` lists."""
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.POINTS_LOST
    except OSError as error:
        print(f"virtlab: the results could not be printed: {error}", file=sys.stderr)
        code = ExitCode.ENVIRONMENT
    sys.stderr.flush()
    # Folders, pools and sockets are closed where they were opened. Taking the interpreter apart as
    # well would cost a tenth of the time of a test.
    os._exit(code)


def _run() -> int:
    """Run the command line; return the exit code, once failures have become messages."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.FULL_MARKS
    except VirtlabError as error:
        print(f"virtlab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("virtlab: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left, as `head` does: nothing is wrong, and nobody listens.
        return ExitCode.POINTS_LOST
    except OSError as error:
        print(f"virtlab: {error}", file=sys.stderr)
        return ExitCode.ENVIRONMENT
    except Exception:
        logging.getLogger(__name__).exception("a bug in virtlab")
        print(
            "virtlab: this is a bug in virtlab, not in your program; "
            "please report it with the lines above",
            file=sys.stderr,
        )
        return ExitCode.BUG
    return ExitCode.FULL_MARKS


if __name__ == "__main__":
    main()
