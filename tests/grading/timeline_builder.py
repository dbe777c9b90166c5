"""Hand-made timelines: what a host would have recorded, from a few figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from virtlab.model.timeline import (
    EventRecord,
    GuestTrack,
    MemoryCall,
    PinCall,
    ProgramOutcome,
    Timeline,
    VcpuTrack,
)
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib, seconds

COMPLETED = ProgramOutcome("ok", "completed", "ran to the end", 0)


@dataclass
class CpuLab:
    """Guests of one vCPU with a load each; pins move it at once, and nothing collides."""

    pcpus: int = 4
    loads: Sequence[float] = (20.0,) * 8  # points, one guest each
    start: Sequence[tuple[int, ...]] = ((0,),) * 8  # the first pCPU of a mask is where it sits
    pins: Sequence[tuple[float, int, tuple[int, ...]]] = ()  # s, guest index, mask
    by: str = "program"
    phases_s: Sequence[float] = (0,)
    # Points of a guest's load at a second, where they change: (guest index, s) -> points.
    load_at: Callable[[int, int], float] | None = None
    loaded: bool = True
    interval_s: int = 1
    duration_s: int = 30
    recorded_s: int | None = None
    outcome: ProgramOutcome = COMPLETED
    criteria: Sequence[Mapping[str, Any]] = ()

    def timeline(self) -> Timeline:
        last_s = self.duration_s if self.recorded_s is None else self.recorded_s
        masks, pins = list(self.start), []
        pcpu = [mask[0] for mask in masks]
        busy = [[0] for _ in range(self.pcpus)]
        run: list[list[int]] = [[0] for _ in masks]
        sat = [[at] for at in pcpu]
        waiting = sorted(self.pins, key=lambda pin: pin[0])
        for second in range(last_s):
            while waiting and waiting[0][0] < second + 1:
                at_s, guest, mask = waiting.pop(0)
                pins.append(
                    PinCall(
                        seconds(at_s),
                        f"aos_vm{guest + 1}",
                        0,
                        mask,
                        mask != masks[guest],
                        self.by,  # type: ignore[arg-type]
                    )
                )
                masks[guest] = mask
                if pcpu[guest] not in mask:
                    pcpu[guest] = mask[0]
            used = [0] * self.pcpus
            for guest, points in enumerate(self.loads):
                wants = self.load_at(guest, second) if self.load_at else points
                ran = round(wants * NS_PER_S / 100)
                used[pcpu[guest]] += ran
                run[guest].append(run[guest][-1] + ran)
                sat[guest].append(pcpu[guest])
            for number, ran in enumerate(used):
                busy[number].append(busy[number][-1] + min(ran, NS_PER_S))
        count = last_s + 1
        guests = tuple(
            GuestTrack(
                name=f"aos_vm{number + 1}",
                memory_kib=mib(512),
                max_memory_kib=mib(2048),
                vcpus=(
                    VcpuTrack(
                        tuple(run[number]),
                        (0,) * count,
                        tuple(sat[number]),
                        (self.loaded,) * count,
                    ),
                ),
                start_masks=(self.start[number],),
                running=(True,) * count,
                actual_kib=(mib(512),) * count,
                target_kib=(mib(512),) * count,
                unused_kib=(mib(300),) * count,
                consumer_kib=(0,) * count,
                rss_kib=(mib(300),) * count,
            )
            for number in range(len(self.loads))
        )
        return Timeline(
            version=1,
            scenario="cpu-made",
            title="Made by hand",
            program_kind="vcpu_scheduler",
            seed=7,
            interval_ns=self.interval_s * NS_PER_S,
            duration_ns=self.duration_s * NS_PER_S,
            phases_ns=tuple(seconds(start) for start in self.phases_s),
            criteria=tuple(self.criteria),
            pcpus=self.pcpus,
            host_memory_kib=mib(8192),
            times_ns=tuple(second * NS_PER_S for second in range(count)),
            pcpu_busy_ns=tuple(tuple(series) for series in busy),
            host_free_kib=(mib(4000),) * count,
            host_swap_kib=(0,) * count,
            guests=guests,
            pins=tuple(pins),
            memory_calls=(),
            events=(),
            calls=(),
            calls_total=0,
            outcome=self.outcome,
        )


Points = Sequence[tuple[float, float]]  # (iteration, MiB): a curve as the course's graphs show it


def at(curve: Points, iteration: float) -> float:
    """Return the height of a curve of straight lines; it is flat before and after."""
    if iteration <= curve[0][0]:
        return curve[0][1]
    for (x0, y0), (x1, y1) in pairwise(curve):
        if iteration <= x1:
            return y0 + (y1 - y0) * (iteration - x0) / (x1 - x0) if x1 > x0 else y1
    return curve[-1][1]


@dataclass
class MemoryGuest:
    """One guest: its balloon and its consumer as curves over iterations."""

    actual: Points = ((0, 512),)
    consumer: Points = ((0, 0),)
    base: float = 180  # MiB that kernel and processes hold
    unused: Points | None = None  # instead of actual - base - consumer
    maximum: float = 2048
    untouched: float = 0  # MiB of its size for which the host has no page yet
    running: Callable[[float], bool] = lambda iteration: True


@dataclass
class MemoryLab:
    """Guests over time as curves; sizes in MiB, times in iterations."""

    guests: Sequence[MemoryGuest] = (MemoryGuest(),)
    free: Points = ((0, 4000),)
    swap: Points = ((0, 0),)
    kills: Sequence[tuple[float, int]] = ()  # iteration, guest index
    events: Sequence[EventRecord] = ()
    set_by_scenario: Sequence[tuple[float, int, float]] = ()  # iteration, guest index, MiB
    phases_s: Sequence[float] = (0,)
    interval_s: int = 2
    duration_s: int = 240
    recorded_s: int | None = None
    outcome: ProgramOutcome = COMPLETED
    criteria: Sequence[Mapping[str, Any]] = ()
    names: Mapping[int, str] = field(default_factory=dict)

    def timeline(self) -> Timeline:
        last_s = self.duration_s if self.recorded_s is None else self.recorded_s
        span = [second / self.interval_s for second in range(last_s + 1)]
        kills = tuple(
            EventRecord(
                seconds(iteration * self.interval_s),
                "oom_kill",
                self._name(number),
                "stress",
            )
            for iteration, number in self.kills
        )
        return Timeline(
            version=1,
            scenario="memory-made",
            title="Made by hand",
            program_kind="memory_coordinator",
            seed=7,
            interval_ns=self.interval_s * NS_PER_S,
            duration_ns=self.duration_s * NS_PER_S,
            phases_ns=tuple(seconds(start) for start in self.phases_s),
            criteria=tuple(self.criteria),
            pcpus=4,
            host_memory_kib=mib(8192),
            times_ns=tuple(second * NS_PER_S for second in range(last_s + 1)),
            pcpu_busy_ns=((0,) * len(span),) * 4,
            host_free_kib=tuple(mib(at(self.free, x)) for x in span),
            host_swap_kib=tuple(mib(at(self.swap, x)) for x in span),
            guests=tuple(
                self._track(number, guest, span) for number, guest in enumerate(self.guests)
            ),
            pins=(),
            memory_calls=tuple(
                MemoryCall(
                    seconds(iteration * self.interval_s), self._name(number), mib(size), "scenario"
                )
                for iteration, number, size in self.set_by_scenario
            ),
            events=tuple(sorted((*kills, *self.events), key=lambda event: event.time_ns)),
            calls=(),
            calls_total=0,
            outcome=self.outcome,
        )

    def _name(self, number: int) -> str:
        return self.names.get(number, f"aos_vm{number + 1}")

    def _track(self, number: int, guest: MemoryGuest, span: list[float]) -> GuestTrack:
        actual = [at(guest.actual, x) if guest.running(x) else 0.0 for x in span]
        held = [at(guest.consumer, x) if guest.running(x) else 0.0 for x in span]
        unused = [
            at(guest.unused, x) if guest.unused else max(size - guest.base - holds, 4.0)
            for x, size, holds in zip(span, actual, held, strict=True)
        ]
        count = len(span)
        return GuestTrack(
            name=self._name(number),
            memory_kib=round(actual[0] * KIB_PER_MIB),
            max_memory_kib=mib(guest.maximum),
            vcpus=(VcpuTrack((0,) * count, (0,) * count, (0,) * count, (False,) * count),),
            start_masks=((0, 1, 2, 3),),
            running=tuple(guest.running(x) for x in span),
            actual_kib=tuple(mib(size) for size in actual),
            target_kib=tuple(mib(size) for size in actual),
            unused_kib=tuple(mib(size) for size in unused),
            consumer_kib=tuple(mib(size) for size in held),
            rss_kib=tuple(mib(max(size - guest.untouched, 0)) for size in actual),
        )
