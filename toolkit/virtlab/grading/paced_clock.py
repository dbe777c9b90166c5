"""The clock of a run that real time moves, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from virtlab.hosts.simulated.paced import LONGEST_TURN_S, PacedClock
from virtlab.model.units import NS_PER_S

__all__ = ["PacedRunClock"]


class PacedRunClock:
    """Virtual time that follows real time up to an end."""

    waits = 0

    def __init__(
        self,
        pace: float,
        advance: Callable[[int], None],
        on_end: Callable[[], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start at virtual time 0.

        Args:
            pace: virtual seconds in one real second.
            advance: moves the host to a virtual instant.
            on_end: called once when the end is reached.
            monotonic_ns: the machine's clock.
        """
        self._pace = pace
        self._clock = PacedClock(pace, advance, monotonic_ns)
        self._on_end = on_end
        self._end_ns = 0
        self._end_told = True  # none is set

    @property
    def now_ns(self) -> int:
        """Return the instant to which the host was moved last."""
        return self._clock.now_ns

    def charge(self, ns: int) -> None:
        """Move the host to the present; a call costs real time here, and no other."""
        self._clock.charge(ns)

    def set_end(self, ns: int) -> None:
        """Set the instant at which the program is told to stop."""
        self._end_ns = ns
        self._end_told = False

    def allow_until(self, ns: int) -> None:
        """Set a later end, at which `on_end` is called again."""
        self.set_end(ns)

    def step_realtime(self, ns: int) -> None:
        """Leave the machine's calendar clock alone: the program reads that one."""

    def turn(self) -> float:
        """Move the host to the present, tell of the end, and return how long to wait at most."""
        self._clock.catch_up()
        if self._end_told:
            return LONGEST_TURN_S
        left_s = (self._end_ns - self._clock.now_ns) / NS_PER_S / self._pace
        if left_s <= 0:
            self._end_told = True
            self._on_end()
            return 0.0
        return min(left_s, LONGEST_TURN_S)

    def close(self) -> None:
        """Free nothing: there is nothing."""
