"""The `virtlab` command: how failures become messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from io import TextIOWrapper
from typing import NoReturn

from virtlab.cli.exit_codes import ExitCode
from virtlab.errors import UsageError, VirtlabError

__all__ = ["main"]

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def main() -> NoReturn:
    """Run the command line; end the process with an exit code that `--help` lists."""
    _open_closed_files()
    if isinstance(sys.stdout, TextIOWrapper):
        # A submission's name may be any bytes, and the terminal may know few letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.POINTS_LOST
    except OSError as error:
        _tell(f"the results could not be printed: {error.strerror or error}")
        code = ExitCode.ENVIRONMENT
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # Folders, pools and sockets are closed where they were opened. Taking the interpreter apart as
    # well would cost a tenth of the time of a test.
    os._exit(code)


def _run() -> int:
    """Run the command line; return the exit code, once failures have become messages."""
    try:
        from virtlab.cli.app import app  # here, so that an early Ctrl-C is no traceback

        _refuse_empty(sys.argv[1:])
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.FULL_MARKS
    except VirtlabError as error:
        _tell(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _tell("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left, as `head` does: nothing is wrong, and nobody listens.
        return ExitCode.POINTS_LOST
    except OSError as error:
        _tell(_explained(error))
        return ExitCode.ENVIRONMENT
    except Exception:
        with contextlib.suppress(OSError):
            logging.getLogger(__name__).exception("a bug in virtlab")
        _tell(
            "this is a bug in virtlab, not in your program; please report it with the lines above"
        )
        return ExitCode.BUG
    return ExitCode.FULL_MARKS


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse an argument without a letter, which as a path would be the folder one stands in."""
    for place, argument in enumerate(arguments, start=1):
        if not argument:
            raise UsageError(
                f"argument {place} is empty.", fix="give it a value; is a shell variable unset?"
            )


def _open_closed_files() -> None:
    """Give what was closed at the start (`>&-`) a file that keeps nothing.

    Otherwise the next file that is opened would be the output of this process and of those that it
    starts, and what they say would lie between the results.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _tell(message: str) -> None:
    """Say something on stderr, if anything can be said there."""
    with contextlib.suppress(OSError):
        print(f"virtlab: {message}", file=sys.stderr, flush=True)


def _explained(error: OSError) -> str:
    """Return a failure of the system that nothing more is known of, with what mends most such."""
    what = f"{error.strerror or error}"
    if error.filename is not None:
        what += f": {os.fsdecode(error.filename)}"
    if error.errno in _NO_ROOM:
        return f"{what}\n  fix: free some space where results, output and temporary files go."
    if error.errno in _NOT_ALLOWED:
        return f"{what}\n  fix: name a place that you may write to."
    if error.errno == errno.ENOENT and not _working_folder_is_there():
        return "the folder that you are in is gone.\n  fix: cd to one that exists."
    return what


def _working_folder_is_there() -> bool:
    try:
        return bool(os.getcwd())  # noqa: PTH109  # nothing but whether there is one
    except OSError:
        return False


if __name__ == "__main__":
    main()
