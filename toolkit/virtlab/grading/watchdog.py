"""Tell a program that computes or blocks for ever from one that is merely busy.

Virtual time stands still while a program computes, so a tick that never ends has to be bounded in
real resources. Processor time is the fair measure of computing: a slow or busy machine uses no
more of it. Real time only bounds a program that is blocked without using the processor.

A whole run is bounded, too, as a program may compute or wait a little again and again and give
signs of life in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Stall", "Watchdog", "WatchdogLimits"]


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """What a program may use between two signs of life (a libvirt call or a sleep), and in all."""

    # An ordinary tick takes microseconds; ten seconds forgive a sanitizer and a slow machine.
    cpu_s: float = 10.0
    # Nothing that a blocked program waits for can come: its world is on the same clock.
    blocked_s: float = 10.0
    # A machine under heavy load may not schedule the program at all; then it is not its fault.
    real_s: float = 120.0
    # In all. Runs of the course take a second or two; 120 ticks may compute 2.5 s each.
    run_cpu_s: float = 300.0
    # In all, beyond what computing took, the lab's included, on a machine that gives everybody a
    # twentieth of a processor.
    run_real_s: float = 300.0

    def in_real_time(self) -> WatchdogLimits:
        """Return what is left of them for a run that real time ends, whose sleeps nobody tells."""
        return WatchdogLimits(self.cpu_s, math.inf, math.inf, math.inf, math.inf)


_SHARE = 20


@dataclass(frozen=True, slots=True)
class Stall:
    """Why a program is taken to be stuck."""

    what: str


class Watchdog:
    """Watch signs of life; the caller tells the time and the processor time used."""

    def __init__(self, limits: WatchdogLimits) -> None:
        self._limits = limits
        self._begun: tuple[float, float] | None = None  # real and processor time at the first look
        self._sign = -1
        self._since_real_s = 0.0
        self._since_cpu_s = 0.0
        self._seen_cpu_s = 0.0
        self._idle_since_s = 0.0

    def look(
        self, *, sign_of_life: int, real_s: float, cpu_s: float, lab_cpu_s: float = 0.0
    ) -> Stall | None:
        """Return why the program is stuck, or None.

        Args:
            sign_of_life: a number that grows with each call or sleep of the program.
            real_s: monotonic real time.
            cpu_s: processor time that the program has used so far.
            lab_cpu_s: processor time that the lab has used so far.
        """
        if (stall := self._look_at_all(real_s, cpu_s, lab_cpu_s)) is not None:
            return stall
        if sign_of_life != self._sign:
            self._sign = sign_of_life
            self._since_real_s = self._idle_since_s = real_s
            self._since_cpu_s = self._seen_cpu_s = cpu_s
            return None
        if cpu_s > self._seen_cpu_s:
            self._seen_cpu_s = cpu_s
            self._idle_since_s = real_s
        limits = self._limits
        if cpu_s - self._since_cpu_s > limits.cpu_s:
            return Stall(f"it computed for {limits.cpu_s:g} s without a libvirt call or a sleep")
        if real_s - self._idle_since_s > limits.blocked_s:
            return Stall(f"it was blocked for {limits.blocked_s:g} s on something that cannot come")
        if real_s - self._since_real_s > limits.real_s:
            return Stall(f"it gave no sign of life for {limits.real_s:g} s")
        return None

    def _look_at_all(self, real_s: float, cpu_s: float, lab_cpu_s: float) -> Stall | None:
        """Return what is too much of the whole run, or None."""
        computed_s = cpu_s + lab_cpu_s
        if self._begun is None:
            self._begun = (real_s, computed_s)
        limits = self._limits
        if cpu_s > limits.run_cpu_s:
            return Stall(f"it computed for more than {limits.run_cpu_s:g} s in all")
        granted_s = limits.run_real_s + _SHARE * (computed_s - self._begun[1])
        if real_s - self._begun[0] > granted_s:
            return Stall(f"its waits took more than {limits.run_real_s:g} s of real time in all")
        return None
