"""From a timeline to what charts draw: seconds, per cent and MiB, and no more than a screen shows.

Everything here is plain and becomes JSON in the page. Moments that several lines share stand once.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = [
    "Line",
    "Lines",
    "guest_memory",
    "host_memory",
    "least_size",
    "mean_of",
    "pins",
    "placement",
    "spread",
    "targets",
    "utilisation",
    "vcpu_names",
]

_MOMENTS_MAX = 1200  # about one a pixel
_JITTER_NS = NS_PER_S // 20  # a real host samples a little early or late


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over the same moments."""

    times_s: tuple[float, ...]
    lines: tuple[Line, ...]
    unit: str


def utilisation(timeline: Timeline, window_s: float) -> Lines:
    """Return each pCPU's use over the windows in which balance is judged, at their starts."""
    windows = list(_windows(timeline, window_s))
    return Lines(
        tuple(_seconds(timeline.times_ns[first]) for first, _ in windows),
        tuple(
            Line(f"pCPU {number}", tuple(_per_cent(timeline, busy, *one) for one in windows))
            for number, busy in enumerate(timeline.pcpu_busy_ns)
        ),
        "%",
    )


def spread(used: Lines, *, relative: bool) -> Lines:
    """Return the standard deviation of the pCPUs' use: in points, or in per cent of the mean."""
    values = []
    for at_once in zip(*(line.values for line in used.lines), strict=True):
        mean = math.fsum(at_once) / len(at_once)
        squares = math.fsum((value - mean) ** 2 for value in at_once)
        deviation = math.sqrt(squares / len(at_once))
        values.append(round(100 * deviation / mean if relative and mean else deviation, 2))
    unit = "% of the mean" if relative else "points"
    return Lines(used.times_s, (Line("standard deviation", tuple(values)),), unit)


def mean_of(used: Lines) -> Line:
    """Return what each pCPU would have if all had the same."""
    columns = zip(*(line.values for line in used.lines), strict=True)
    return Line("even", tuple(round(math.fsum(each) / len(each), 1) for each in columns))


def vcpu_names(timeline: Timeline) -> list[str]:
    """Return what each vCPU is called, in the order of guests."""
    return [
        _vcpu_name(guest, number) for guest in timeline.guests for number in range(len(guest.vcpus))
    ]


def placement(timeline: Timeline) -> list[dict[str, Any]]:
    """Return where each vCPU sat, as stretches of time on one pCPU."""
    times = timeline.times_ns
    stretches = []
    for guest in timeline.guests:
        for number, vcpu in enumerate(guest.vcpus):
            begun = 0
            for index in range(1, len(times)):
                if index < len(times) - 1 and vcpu.pcpu[index] == vcpu.pcpu[begun]:
                    continue
                if vcpu.pcpu[begun] >= 0:
                    stretches.append(
                        {
                            "vcpu": _vcpu_name(guest, number),
                            "pcpu": f"pCPU {vcpu.pcpu[begun]}",
                            "t": _seconds(times[begun]),
                            "end": _seconds(times[index]),
                        }
                    )
                begun = index
    return stretches


def pins(timeline: Timeline) -> list[dict[str, Any]]:
    """Return every affinity that was set."""
    known = {guest.name: guest for guest in timeline.guests}
    return [
        {
            "t": _seconds(pin.time_ns),
            "vcpu": _vcpu_name(known[pin.guest], pin.vcpu),
            "to": ", ".join(map(str, pin.pcpus)),
            "what": _pin_words(pin.by, effective=pin.effective),
        }
        for pin in timeline.pins
        if pin.guest in known
    ]


def guest_memory(timeline: Timeline, guest: GuestTrack) -> Lines:
    """Return a guest's balloon, what is unused in it, and what its loads hold."""
    columns = {
        "balloon": guest.actual_kib,
        "unused": guest.unused_kib,
        "workload": guest.consumer_kib,
    }
    return _memory(timeline, columns)


def least_size(timeline: Timeline, guest: GuestTrack, unused_kib: int) -> Lines:
    """Return the least size with which a guest has so much unused, up to its maximum.

    What it has in use is what its balloon leaves it, less what is unused. The guest's own maximum
    is the most that anybody can give.
    """
    least = tuple(
        min(actual - unused + unused_kib, guest.max_memory_kib) if running else 0
        for actual, unused, running in zip(
            guest.actual_kib, guest.unused_kib, guest.running, strict=True
        )
    )
    return _memory(timeline, {"least": least})


def host_memory(timeline: Timeline) -> Lines:
    """Return what the host has free, and what it has swapped out."""
    columns = {"free": timeline.host_free_kib, "swap in use": timeline.host_swap_kib}
    return _memory(timeline, columns)


def targets(timeline: Timeline, guest: GuestTrack) -> list[dict[str, Any]]:
    """Return every size that a guest's balloon was asked for."""
    return [
        {
            "t": _seconds(call.time_ns),
            "mib": _mib(call.target_kib),
            "what": f"target set by the {call.by}",
        }
        for call in timeline.memory_calls
        if call.guest == guest.name
    ]


def _windows(timeline: Timeline, window_s: float) -> Iterator[tuple[int, int]]:
    """Yield the first and last sample of each window, as `grading` cuts them."""
    times = timeline.times_ns
    length_ns = max(round(window_s * NS_PER_S), timeline.interval_ns)
    for first in range(0, len(times), _stride(len(times))):
        last = bisect_left(times, times[first] + length_ns - _JITTER_NS)
        if last >= len(times):
            return
        yield first, last


def _per_cent(timeline: Timeline, busy: Sequence[int], first: int, last: int) -> float:
    span_ns = timeline.times_ns[last] - timeline.times_ns[first]
    return round(100 * (busy[last] - busy[first]) / span_ns, 1)


def _memory(timeline: Timeline, columns: dict[str, tuple[int, ...]]) -> Lines:
    chosen = range(0, len(timeline.times_ns), _stride(len(timeline.times_ns)))
    return Lines(
        tuple(_seconds(timeline.times_ns[index]) for index in chosen),
        tuple(
            Line(name, tuple(_mib(column[index]) for index in chosen))
            for name, column in columns.items()
        ),
        "MiB",
    )


def _stride(moments: int) -> int:
    return max(math.ceil(moments / _MOMENTS_MAX), 1)


def _vcpu_name(guest: GuestTrack, number: int) -> str:
    return guest.name if len(guest.vcpus) == 1 else f"{guest.name} vCPU {number}"


def _pin_words(by: str, *, effective: bool) -> str:
    if by == "scenario":
        return "pinned by the scenario"
    return "moved by the program" if effective else "pinned as it was"


def _seconds(time_ns: int) -> float:
    return round(time_ns / NS_PER_S, 2)


def _mib(kib: int) -> float:
    return round(kib / KIB_PER_MIB, 1)
