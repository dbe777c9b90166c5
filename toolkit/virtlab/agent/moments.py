"""Moments as people write them: 03:00, 2026-01-31T03:00, or 90m ago."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from virtlab.errors import UsageError

__all__ = ["is_ago", "moment_of", "shown", "span_of"]

_AGO: Final = re.compile(r"(\d+)\s*([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment_of(text: str, now_s: float) -> float:
    """Return a moment in seconds since 1970; an hour alone is its last occurrence.

    Args:
        text: an hour, a date with one (in local time unless it says otherwise), or how long ago.
        now_s: in seconds since 1970.

    Raises:
        UsageError: it is none of these.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now_s - int(ago[1]) * _SECONDS[ago[2]]
    try:
        if "-" in text:
            return datetime.fromisoformat(text.strip()).timestamp()
        hour = datetime.strptime(text.strip(), "%H:%M:%S" if text.count(":") > 1 else "%H:%M")
    except ValueError as error:
        raise UsageError(
            f"{text}: that is no moment.", fix="write 03:00, 2026-01-31T03:00, or 90m (ago)."
        ) from error
    now = datetime.fromtimestamp(now_s)
    moment = now.replace(hour=hour.hour, minute=hour.minute, second=hour.second, microsecond=0)
    if moment > now:
        moment -= timedelta(days=1)
    return moment.timestamp()


def is_ago(text: str) -> bool:
    """Tell whether a moment is counted back from now, such as 90m."""
    return _AGO.fullmatch(text.strip()) is not None


def span_of(text: str) -> float:
    """Return how long the moment is that somebody wrote, in seconds: 03:00 is a whole minute."""
    clock = text.strip().rpartition("T")[2]
    return 1.0 if is_ago(text) or clock.count(":") > 1 else 60.0


def shown(wall_s: float) -> str:
    """Return a moment in local time, to the second."""
    return datetime.fromtimestamp(wall_s).strftime("%Y-%m-%d %H:%M:%S")
