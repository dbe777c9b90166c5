"""Closed loops as real processes, and what Linux gave each of them in quiet windows of time.

The loops are bound to CPUs, and calibrated in iterations of work so that each, alone, runs its duty
of the time. What they ran and how long they waited on a run queue is read from
/proc/PID/schedstat. A window counts as quiet where nobody else used the CPUs for more than
`OTHERS_MAX` and the hypervisor took nothing away; others are measured again some times.
Where control groups can be made, the loops' group outweighs everybody else's by 256 to 1, so that
what others run fills the gaps rather than delays the loops.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.control_groups import ControlGroup, used_per_cpu_ns

__all__ = ["OTHERS_MAX", "Loop", "LoopRunner", "Window"]

OTHERS_MAX = 0.02  # of one CPU
_STOLEN_MAX = 0.01
_TRIES = 2  # of a window, until it is quiet
_WINDOW_S = 1.0
_SETTLE_S = 0.3
_PERIODS_MIN = 25  # that a window lasts at least
_CALIBRATIONS = 3
_STEAL = 7  # in a line of /proc/stat, as the one before `guest`
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system and both kinds of interrupts
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, order=True)
class Loop:
    """One closed loop; duty 1 never sleeps."""

    duty: float
    period_ms: float = 0.5
    nice: int = 0
    shares: int | None = None  # of a control group of its own
    quota: float | None = None  # of a control group of its own, as a share of one CPU
    # The number of its guest, whose vCPUs have a group each within one, as libvirt makes them.
    guest: int | None = None
    at: int | None = None  # the one of the set's CPUs to which it is bound; None: all of them

    @property
    def grouped(self) -> bool:
        """Tell whether it needs a control group of its own."""
        return self.shares is not None or self.quota is not None or self.guest is not None

    @property
    def sleep_ns(self) -> int:
        """Return how long it sleeps in each period."""
        return round((1.0 - self.duty) * self.period_ms * 1e6)


@dataclass(frozen=True, slots=True)
class Window:
    """What one window of time gave: shares of it, for each loop."""

    run: tuple[float, ...]
    delay: tuple[float, ...]
    others: float  # what others used of the busiest CPU
    stolen: float

    @property
    def quiet(self) -> bool:
        """Tell whether nobody disturbed it."""
        return self.others <= OTHERS_MAX and self.stolen <= _STOLEN_MAX


@dataclass(slots=True)
class LoopRunner:
    """Runs sets of loops; `program` is the compiled loop.c."""

    program: Path
    group: ControlGroup | None
    _iterations: dict[tuple[float, float], int] = field(default_factory=dict)
    _ns_each: float = 0.0

    def windows(self, loops: Sequence[Loop], cpus: Sequence[int], count: int) -> list[Window]:
        """Return so many windows of a set, each from other phases; quiet ones where possible."""
        for loop in loops:
            self._calibrate(loop, cpus[0])
        found = []
        for phases in _phases(len(loops), count):
            tries = []
            for _ in range(_TRIES):
                tries.append(self._window(loops, cpus, phases))
                if tries[-1].quiet:
                    break
            found.append(min(tries, key=lambda window: (not window.quiet, window.others)))
        return found

    def _calibrate(self, loop: Loop, cpu: int) -> None:
        """Find the iterations with which the loop alone runs its duty, waits left out."""
        key = (loop.duty, loop.period_ms)
        if key in self._iterations:
            return
        if not self._ns_each:
            command: list[str | Path] = [self.program]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            self._ns_each = int(done.stdout) / 1000
        self._iterations[key] = round(loop.duty * loop.period_ms * 1e6 / self._ns_each)
        for _ in range(_CALIBRATIONS if loop.duty < 1.0 else 0):
            window = self._window([Loop(loop.duty, loop.period_ms)], [cpu], [0.0])
            duty = window.run[0] / (1.0 - window.delay[0])
            # Calls and wake-ups take their time too; work / sleep tells what is missing.
            missing = loop.duty / (1.0 - loop.duty) - duty / (1.0 - duty)
            more = round(loop.sleep_ns * missing / self._ns_each)
            self._iterations[key] = max(self._iterations[key] + more, 1)

    def _window(
        self, loops: Sequence[Loop], cpus: Sequence[int], phases: Sequence[float]
    ) -> Window:
        longest_s = max(loop.period_ms for loop in loops) / 1000
        window_s = max(_WINDOW_S, _PERIODS_MIN * longest_s)
        groups = _Groups(self.group)
        processes = []
        try:
            for loop, phase in zip(loops, phases, strict=True):
                group = groups.of(loop)
                own = cpus if loop.at is None else [cpus[loop.at]]
                iterations = self._iterations[loop.duty, loop.period_ms]
                wait_ns = int(phase * loop.period_ms * 1e6)
                processes.append(
                    subprocess.Popen(
                        [self.program, str(iterations), str(loop.sleep_ns), str(wait_ns)],
                        preexec_fn=partial(_join, frozenset(own), loop.nice, group),
                    )
                )
            time.sleep(_SETTLE_S)
            return _watched([each.pid for each in processes], cpus, window_s)
        finally:
            for process in processes:
                process.kill()
                process.wait()
            groups.remove()


def _phases(loops: int, windows: int) -> list[list[float]]:
    """Return for each window in which phase each loop begins: all phases of each are met alike.

    Long loops keep the phases in which they began, and those say how long they wait.
    """
    rng = Random(0)
    orders = [rng.sample(range(windows), windows) for _ in range(loops)]
    return [[(own[n] + rng.random()) / windows for own in orders] for n in range(windows)]


class _Groups:
    """The control groups of one window's loops, within one that outweighs all others."""

    def __init__(self, outer: ControlGroup | None) -> None:
        self._outer = outer
        self._guests: dict[int, ControlGroup] = {}
        self._made: list[ControlGroup] = []

    def of(self, loop: Loop) -> ControlGroup | None:
        """Return the group that a loop is to join; None where none can be made."""
        outer = self._outer
        if outer is None or not loop.grouped:
            return outer
        name, shares = f"{len(self._made)}", loop.shares or 1024
        if loop.guest is None:
            return self._kept(outer.within(name, shares=shares, quota=loop.quota))
        if loop.guest not in self._guests:
            self._guests[loop.guest] = self._kept(outer.within(name, shares=shares))
        vcpu = f"{len(self._made)}"
        return self._kept(self._guests[loop.guest].within(vcpu, quota=loop.quota))

    def remove(self) -> None:
        """Remove all of them; their processes are gone."""
        for group in reversed(self._made):
            group.remove()

    def _kept(self, group: ControlGroup) -> ControlGroup:
        self._made.append(group)
        return group


def _join(cpus: frozenset[int], nice: int, group: ControlGroup | None) -> None:
    """Bind the process that becomes the loop."""
    os.sched_setaffinity(0, cpus)
    if nice:
        os.nice(nice)
    if group is not None:
        group.processes.write_text("0")


def _watched(pids: Sequence[int], cpus: Sequence[int], window_s: float) -> Window:
    before = _counters(pids, cpus)
    time.sleep(window_s)
    after = _counters(pids, cpus)
    span = after.now_ns - before.now_ns
    run = _shares(before.run_ns, after.run_ns, span)
    used = _shares(before.used_ns, after.used_ns, span)
    stolen = _shares(before.stolen_ns, after.stolen_ns, span)
    return Window(
        run,
        _shares(before.delay_ns, after.delay_ns, span),
        others=max(sum(used) - sum(run), 0.0),
        stolen=max(stolen),
    )


@dataclass(frozen=True, slots=True)
class _Counters:
    now_ns: int
    run_ns: Sequence[int]
    delay_ns: Sequence[int]
    used_ns: Sequence[int]  # by CPU
    stolen_ns: Sequence[int]


def _counters(pids: Sequence[int], cpus: Sequence[int]) -> _Counters:
    stats = [Path(f"/proc/{pid}/schedstat").read_text().split() for pid in pids]
    now_ns = time.monotonic_ns()
    tick_ns = _NS // os.sysconf("SC_CLK_TCK")
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    ticks = {line[0]: [int(word) for word in line[1:]] for line in lines if line[0][:3] == "cpu"}
    used = used_per_cpu_ns()
    by_ticks = [sum(ticks[f"cpu{cpu}"][n] for n in _BUSY) * tick_ns for cpu in cpus]
    return _Counters(
        now_ns,
        [int(words[0]) for words in stats],
        [int(words[1]) for words in stats],
        by_ticks if used is None else [used[cpu] for cpu in cpus],
        [ticks[f"cpu{cpu}"][_STEAL] * tick_ns for cpu in cpus],
    )


def _shares(before: Sequence[int], after: Sequence[int], span_ns: int) -> tuple[float, ...]:
    return tuple((b - a) / span_ns for a, b in zip(before, after, strict=True))
