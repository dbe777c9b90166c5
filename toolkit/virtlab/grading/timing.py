"""How time passes in a run: in lockstep with the program, or at a pace of real time.

One rule decides. A program runs in lockstep where the clock library reaches it and all that it
starts; any other runs on the paced clock, from its start. That it cannot be reached shows before
the run, in the program's file, or in it: when it starts a program that is out of reach, or when a
process without the library speaks to libvirt. What was recorded up to then is thrown away.

On the paced clock the program's sleeps are real, so at a pace of 10 a sleep of one second is ten
seconds of the host. Two such runs are never quite the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from virtlab.grading.interrupts import check_interrupt
from virtlab.grading.paced_clock import PacedRunClock
from virtlab.grading.watchdog import WatchdogLimits
from virtlab.hosts.clock import HostClock
from virtlab.model.timeline import ClockKind, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.subjects.clock_server import ClockServer
from virtlab.subjects.launch import Process

__all__ = [
    "GRACE_INTERVALS",
    "REAL_PACE",
    "Lockstep",
    "OnPace",
    "OutOfReachError",
    "Paced",
    "Pacing",
    "RunClock",
    "Timing",
    "pace_option",
]

OnPace = Callable[[str, int, int], None]  # the scenario's id, its second now, and of how many

# Virtual time between two signals at the end: enough for two looks at a flag.
GRACE_INTERVALS = 3
# Once the program was asked to stop there is nothing left to compute: real patience is short.
_ENDING_LIMITS = WatchdogLimits(
    cpu_s=2.0, blocked_s=2.0, real_s=20.0, run_cpu_s=math.inf, run_real_s=60.0
)
# On the paced clock time itself ends the program.
_NO_LIMITS = WatchdogLimits(math.inf, math.inf, math.inf, math.inf, math.inf)


_MEDDLED = (
    "It spoke to the lab's clock as the lab's own library never does, and was cut off from it."
)


class OutOfReachError(Exception):
    """The program cannot be run in lockstep; the text says why, as the end of a sentence."""


def _untold(_scenario: str, _at_s: int, _of_s: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How fast runs on the paced clock go, and who is told how far they are."""

    pace: float = 1.0  # virtual seconds in one real second
    on_pace: OnPace = _untold

    def notes(self, reason: str) -> tuple[str, ...]:
        """Return what belongs beside the verdict of a run that the paced clock served."""
        first = (
            f"It ran on the paced clock, {self.pace:g} virtual s in a real one, as {reason}; "
            "such runs are not the same each time."
        )
        if self.pace == 1.0:
            return (first,)
        return (first, f"Its own sleeps were real: a second of them is {self.pace:g} s here.")


REAL_PACE = Pacing()


def pace_option(timeline: Timeline) -> str:
    """Return what a command that repeats a recorded run needs in addition."""
    if timeline.clock == "real":
        return " --host real"
    return "" if timeline.pace == 1.0 else f" --pace {timeline.pace:g}"


class RunClock(HostClock, Protocol):
    """The clock of a run."""

    waits: int  # a sign of life: how many sleeps the program has done, where that is known

    def set_end(self, ns: int) -> None:
        """Set the instant at which the program is to be told to stop."""

    def allow_until(self, ns: int) -> None:
        """Let time go on to a later end."""

    def step_realtime(self, ns: int) -> None:
        """Let the calendar clock that the program sees jump."""

    def turn(self) -> float | None:
        """Do what is due; return the seconds until the next call, None if that is open."""

    def close(self) -> None:
        """Free everything."""


class Timing(Protocol):
    """What of a run depends on its clock."""

    kind: ClockKind
    pace: float  # of the paced clock; 1 in lockstep, where it means nothing
    limits: WatchdogLimits
    ending_limits: WatchdogLimits

    @property
    def clock(self) -> RunClock:
        """Return what tells and moves the time."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what belongs beside the verdict."""

    def files(self, seen: Path) -> dict[str, Path | None]:
        """Return the clock's part of the program's environment, from where it sees the folder."""

    def admit(self, pid: int) -> str | None:
        """Return why a process may not speak to the host, or None."""

    def targets(self, process: Process) -> list[int]:
        """Return the processes of the program, to be signalled."""

    def grace_ns(self, interval_s: int) -> int:
        """Return the virtual time between two signals at the end."""

    def look(self, scenario: str, duration_ns: int) -> None:
        """Do what is due now and then."""


class Lockstep:
    """Time moves while the program waits."""

    kind: ClockKind = "lockstep"
    pace = 1.0
    ending_limits = _ENDING_LIMITS

    def __init__(
        self,
        clock: ClockServer,
        limits: WatchdogLimits,
        on_out_of_reach: Callable[[str], None],
    ) -> None:
        """Take the clock, and what is told when a process turns out to be out of its reach."""
        self.clock = clock
        self.limits = limits
        self._on_out_of_reach = on_out_of_reach

    @property
    def notes(self) -> tuple[str, ...]:
        """Return whether the program meddled with its clock."""
        return (_MEDDLED,) if self.clock.refused else ()

    def files(self, seen: Path) -> dict[str, Path | None]:
        """Return where the program finds the clock's socket and page."""
        return {
            "clock_socket": seen / self.clock.socket_path.name,
            "clock_page": seen / self.clock.page_path.name,
        }

    def admit(self, pid: int) -> str | None:
        """Refuse who is not under the clock: what it gets would be nonsense."""
        if self.clock.is_registered(pid):
            return None
        self._on_out_of_reach("a process of it speaks to libvirt without the clock library")
        return "this process is not under the virtual clock"

    def targets(self, process: Process) -> list[int]:
        """Return every process under the clock."""
        return sorted(self.clock.pids)

    def grace_ns(self, interval_s: int) -> int:
        """Return some intervals."""
        return GRACE_INTERVALS * interval_s * NS_PER_S

    def look(self, scenario: str, duration_ns: int) -> None:
        """Do nothing: such a run is over at once."""


class Paced:
    """Time moves with real time."""

    kind: ClockKind = "paced"
    ending_limits = _NO_LIMITS

    def __init__(
        self, clock: PacedRunClock, pacing: Pacing, reason: str, limits: WatchdogLimits
    ) -> None:
        """Take the clock, and why it is this one."""
        self.clock = clock
        self.pace = pacing.pace
        self.notes = pacing.notes(reason)
        self.limits = limits.in_real_time()
        self._pacing = pacing

    def files(self, seen: Path) -> dict[str, Path | None]:
        """Return nothing: the library then leaves time real."""
        return {}

    def admit(self, pid: int) -> str | None:
        """Admit everybody."""
        return None

    def targets(self, process: Process) -> list[int]:
        """Return the program and all that descends from it."""
        return sorted(process.program_pids())

    def grace_ns(self, interval_s: int) -> int:
        """Return some intervals of the program's own, which are real."""
        return round(GRACE_INTERVALS * interval_s * NS_PER_S * self._pacing.pace)

    def look(self, scenario: str, duration_ns: int) -> None:
        """Tell how far the run is, and end it where the user has interrupted."""
        check_interrupt()
        at_ns = min(self.clock.now_ns, duration_ns)
        self._pacing.on_pace(scenario, at_ns // NS_PER_S, duration_ns // NS_PER_S)
