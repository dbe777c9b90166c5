"""How many iterations of a load a second of its vCPU's thread does, followed while it runs.

A duty of 0.2 is to cost a fifth of a pCPU. The cost of a round, however, is not its iterations
alone: an emulated guest's timer, its kernel's way into and out of a sleep, and its agent are
emulated, too, and after each sleep they find the caches as others have left them. Measured, a round
of 4 ms of work cost 0.3 to 1 ms more, and not the same in one minute as in the next. The guest
cannot see it, as it has no clock that stops while its vCPU waits.

So both sides are put together: the guest reports how many iterations it did, and the host how long
the vCPU's thread ran. Iterations for each second of wall time, over seconds of run time for each
second of wall time, is the rate; that the two are read at moments that differ by up to a second
matters little over eight. Time on the run queue is no run time, so that a loop's rounds still
become longer where it has to wait, as its law says.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from virtlab.model.units import NS_PER_S

__all__ = ["WorkRate"]

_WINDOW_S: Final = 8.0
_SPAN_MIN_S: Final = 1.5
# Run times come in steps of 10 ms.
_RAN_MIN_S: Final = 0.2
# What a guest does beside its load is little: further off, something else is at work there.
_OFF_MAX: Final = 2.0


@dataclass(slots=True)
class WorkRate:
    """The rate of one load; `known` is the one that it began with, in iterations a second."""

    known: float
    _done: deque[tuple[float, float]] = field(default_factory=deque)  # s, iterations
    _ran: deque[tuple[float, float]] = field(default_factory=deque)  # s, s

    def reported(self, elapsed_s: float, iterations: float) -> None:
        """Take what the guest had done after some time, by its clock."""
        if not self._done or elapsed_s > self._done[-1][0]:
            _add(self._done, elapsed_s, iterations)

    def ran(self, time_ns: int, run_ns: int) -> None:
        """Take what the vCPU's thread had run at a moment, by the host's clock."""
        if self._done:  # before the first report it may have waited for its load
            _add(self._ran, time_ns / NS_PER_S, run_ns / NS_PER_S)

    def now(self) -> float | None:
        """Return the rate of the last seconds; None where they do not tell."""
        if len(self._done) < 2 or len(self._ran) < 2:
            return None
        (elapsed_s, iterations), (passed_s, run_s) = _grown(self._done), _grown(self._ran)
        if min(elapsed_s, passed_s) < _SPAN_MIN_S or run_s < _RAN_MIN_S:
            return None
        rate = iterations / elapsed_s * passed_s / run_s
        return rate if self.known / _OFF_MAX < rate < self.known * _OFF_MAX else None


def _add(rows: deque[tuple[float, float]], at_s: float, value: float) -> None:
    rows.append((at_s, value))
    while rows[-1][0] - rows[0][0] > _WINDOW_S:
        rows.popleft()


def _grown(rows: deque[tuple[float, float]]) -> tuple[float, float]:
    (first_s, first), (last_s, last) = rows[0], rows[-1]
    return last_s - first_s, last - first
