"""One moment of a recorded run: where each vCPU ran, what each guest had, what was just done.

Figures of use are those since the sample before; the first sample has nothing before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.model.timeline import Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.verdict import CriterionResult, RunVerdict

__all__ = ["Act", "GuestScene", "PcpuScene", "Scene", "VcpuScene", "acts_of", "scene_of"]

# What a load does by itself is seen in the bars.
_QUIET_EVENTS = frozenset({"load_done"})


@dataclass(frozen=True, slots=True)
class VcpuScene:
    """One vCPU on its pCPU, in percent of the time since the sample before."""

    name: str  # aos_vm1, or aos_vm1:1 for the vCPUs of a guest that has several
    run: float
    wait: float
    loaded: bool
    bound: bool  # to one pCPU


@dataclass(frozen=True, slots=True)
class PcpuScene:
    """One pCPU and who sits on it."""

    number: int
    used: float  # percent
    vcpus: tuple[VcpuScene, ...]


@dataclass(frozen=True, slots=True)
class GuestScene:
    """One guest's memory in MiB."""

    name: str
    running: bool
    actual: float
    target: float
    unused: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done or happened, in words."""

    time_s: float
    text: str
    alarming: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is shown of one moment."""

    time_s: float
    pcpus: tuple[PcpuScene, ...]
    guests: tuple[GuestScene, ...]
    host_free: float  # MiB
    host_swap: float  # MiB
    failing: tuple[CriterionResult, ...]  # criteria that are not met at this moment


def scene_of(timeline: Timeline, verdict: RunVerdict, index: int) -> Scene:
    """Return the moment of one sample.

    Raises:
        IndexError: there is no such sample.
    """
    time_ns = timeline.times_ns[index]
    before = max(index - 1, 0)
    span_ns = time_ns - timeline.times_ns[before]
    masks = _masks(timeline, time_ns)
    seats: list[list[VcpuScene]] = [[] for _ in range(timeline.pcpus)]
    for guest in timeline.guests:
        for number, vcpu in enumerate(guest.vcpus):
            if not guest.running[index] or not 0 <= vcpu.pcpu[index] < timeline.pcpus:
                continue
            seats[vcpu.pcpu[index]].append(
                VcpuScene(
                    guest.name if len(guest.vcpus) == 1 else f"{guest.name}:{number}",
                    _percent(vcpu.run_ns[index] - vcpu.run_ns[before], span_ns),
                    _percent(vcpu.delay_ns[index] - vcpu.delay_ns[before], span_ns),
                    vcpu.loaded[index],
                    len(masks[guest.name, number]) == 1,
                )
            )
    return Scene(
        time_s=time_ns / NS_PER_S,
        pcpus=tuple(
            PcpuScene(number, _percent(busy[index] - busy[before], span_ns), tuple(seat))
            for number, (busy, seat) in enumerate(zip(timeline.pcpu_busy_ns, seats, strict=True))
        ),
        guests=tuple(
            GuestScene(
                guest.name,
                guest.running[index],
                guest.actual_kib[index] / KIB_PER_MIB,
                guest.target_kib[index] / KIB_PER_MIB,
                guest.unused_kib[index] / KIB_PER_MIB,
                guest.max_memory_kib / KIB_PER_MIB,
            )
            for guest in timeline.guests
        ),
        host_free=timeline.host_free_kib[index] / KIB_PER_MIB,
        host_swap=timeline.host_swap_kib[index] / KIB_PER_MIB,
        failing=tuple(
            result
            for result in verdict.criteria
            if any(span.start_s <= time_ns / NS_PER_S <= span.end_s for span in result.spans)
        ),
    )


def acts_of(timeline: Timeline) -> list[Act]:
    """Return what was done and what happened in a run, in order of time."""
    return sorted(_acts(timeline), key=lambda act: act.time_s)


def _acts(timeline: Timeline) -> Iterator[Act]:
    for pin in timeline.pins:
        if pin.effective:
            places = ",".join(map(str, pin.pcpus))
            who = "" if pin.by == "program" else " (scenario)"
            yield Act(pin.time_ns / NS_PER_S, f"{pin.guest}:{pin.vcpu} to pCPU {places}{who}")
    for call in timeline.memory_calls:
        who = "" if call.by == "program" else " (scenario)"
        size = call.target_kib / KIB_PER_MIB
        yield Act(call.time_ns / NS_PER_S, f"{call.guest} is to have {size:.0f} MiB{who}")
    for event in timeline.events:
        if event.kind not in _QUIET_EVENTS:
            kind = event.kind.replace("_", " ")
            who = f"{event.guest}: " if event.guest else ""
            alarming = event.kind in ("oom_kill", "host_frozen", "guest_lost", "interference")
            text = f"{who}{kind}" + (f", {event.detail}" if event.detail else "")
            yield Act(event.time_ns / NS_PER_S, text, alarming)
    for refused in timeline.calls:
        if refused.error is not None:
            text = f"{refused.procedure} {refused.detail}: {refused.error}"
            yield Act(refused.time_ns / NS_PER_S, text, alarming=True)


def _masks(timeline: Timeline, time_ns: int) -> dict[tuple[str, int], tuple[int, ...]]:
    """Return what each vCPU was bound to at a moment."""
    masks = {
        (guest.name, number): mask
        for guest in timeline.guests
        for number, mask in enumerate(guest.start_masks)
    }
    times = [pin.time_ns for pin in timeline.pins]
    for pin in timeline.pins[: bisect_right(times, time_ns)]:
        masks[pin.guest, pin.vcpu] = pin.pcpus
    return masks


def _percent(part_ns: int, span_ns: int) -> float:
    return 100.0 * part_ns / span_ns if span_ns else 0.0
