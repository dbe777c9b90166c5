"""How far long work is: bytes done of all, how fast, and how long it still takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["OnStep", "Pace", "Step", "in_words"]

_WINDOW_S: Final = 15.0  # over which speed is measured
_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True, slots=True)
class Step:
    """Where work is."""

    what: str  # such as "downloading noble amd64 20260321"
    done_bytes: int
    total_bytes: int
    left_s: float | None  # None as long as nobody can tell

    def __str__(self) -> str:
        share = 100 * self.done_bytes // self.total_bytes if self.total_bytes else 0
        left = "" if self.left_s is None else f", {_duration(self.left_s)} left"
        return (
            f"{self.what}: {share} %, {in_words(self.done_bytes)} of "
            f"{in_words(self.total_bytes)}{left}"
        )


OnStep = Callable[[Step], None]


class Pace:
    """Tells steps of one piece of work to somebody, with the time that is left at its speed."""

    def __init__(
        self,
        what: str,
        total_bytes: int,
        on_step: OnStep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total_bytes = total_bytes
        self._on_step = on_step
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, done_bytes: int) -> None:
        """Tell how much is done by now."""
        now = self._clock()
        self._seen.append((now, done_bytes))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        gained = done_bytes - before
        left = None
        if gained > 0 and now > since:
            left = (self._total_bytes - done_bytes) * (now - since) / gained
        self._on_step(Step(self._what, done_bytes, self._total_bytes, left))


def in_words(size_bytes: int) -> str:
    """Return a size as people read it, such as 592.1 MiB."""
    for unit, name in _UNITS:
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes} bytes"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
