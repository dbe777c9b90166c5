"""What the exit codes of `virtlab` mean."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["EPILOG", "ExitCode"]


class ExitCode(IntEnum):
    """Exit codes; `VirtlabError.exit_code` uses the same numbers."""

    FULL_MARKS = 0
    POINTS_LOST = 1
    USAGE = 2
    BAD_INPUT = 3
    ENVIRONMENT = 4
    BUG = 70
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 full marks or done; 1 points lost; 2 wrong usage; 3 bad input file or "
    "unreadable submission; 4 the machine lacks something; 70 a bug in virtlab; 130 interrupted."
)
