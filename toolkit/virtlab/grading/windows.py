"""Where judgement looks: phases, windows and intervals of a recorded run.

A phase is the time between two changes of load. Windows lie whole inside a phase and begin at
each sample; a sample stands for the host right after everything that happened at its moment.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S

__all__ = [
    "Phase",
    "Window",
    "interval_samples",
    "phases",
    "spread_points",
    "utilisation_points",
    "windows",
]

# A real host samples a few milliseconds early or late; the simulated one never does.
_JITTER_NS = NS_PER_S // 20


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of constant load: from `start_ns` up to, but not including, `end_ns`."""

    number: int  # from 1
    start_ns: int
    end_ns: int
    deadline_ns: int  # from here on the host has to be settled
    recorded: bool  # the record reaches the phase's end

    @property
    def name(self) -> str:
        """Return the phase in words, such as 0-14 s."""
        return f"{self.start_ns / NS_PER_S:g}-{self.end_ns / NS_PER_S:g} s"


@dataclass(frozen=True, slots=True)
class Window:
    """Two samples with the time between them."""

    first: int  # index into times_ns
    last: int
    start_ns: int
    end_ns: int

    @property
    def start_s(self) -> float:
        """Return the window's start in seconds of scenario time."""
        return self.start_ns / NS_PER_S

    @property
    def name(self) -> str:
        """Return the window in words, such as 10-12 s."""
        return f"{self.start_ns / NS_PER_S:g}-{self.end_ns / NS_PER_S:g} s"


def phases(timeline: Timeline, settle_intervals: float) -> list[Phase]:
    """Return the phases of a run, in order of time."""
    starts = timeline.phases_ns or (0,)
    ends = (*starts[1:], timeline.duration_ns)
    last_ns = timeline.times_ns[-1] if timeline.times_ns else 0
    settle_ns = round(settle_intervals * timeline.interval_ns)
    return [
        # The last sample may lie an interval before the end, where a real host was slow.
        Phase(number, start, end, start + settle_ns, last_ns >= end - timeline.interval_ns)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
    ]


def windows(timeline: Timeline, phase: Phase, window_s: float) -> Iterator[Window]:
    """Yield every window of a phase: of `window_s`, or of the interval where that is longer."""
    length_ns = max(round(window_s * NS_PER_S), timeline.interval_ns)
    times = timeline.times_ns
    for first in range(bisect_left(times, phase.start_ns), len(times)):
        last = bisect_left(times, times[first] + length_ns - _JITTER_NS)
        if last >= len(times) or times[last] > phase.end_ns + _JITTER_NS:
            return
        yield Window(first, last, times[first], times[last])


def utilisation_points(timeline: Timeline, window: Window) -> list[float]:
    """Return the utilisation of each pCPU over a window, in points from 0 to 100."""
    span_ns = window.end_ns - window.start_ns
    return [
        100 * (busy[window.last] - busy[window.first]) / span_ns for busy in timeline.pcpu_busy_ns
    ]


def spread_points(values: list[float]) -> float:
    """Return the population standard deviation of some figures."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def interval_samples(timeline: Timeline) -> list[int]:
    """Return the index of the sample at each boundary of an interval, from time 0 on."""
    times, found = timeline.times_ns, []
    for boundary_ns in range(0, timeline.duration_ns + 1, timeline.interval_ns):
        index = bisect_left(times, boundary_ns - _JITTER_NS)
        if index >= len(times):
            break
        found.append(index)
    return found
