"""What is compared of a run, taken from its timeline: the same way for either host.

CPU shares and delays are means over a phase of ten intervals or more, without its first seconds: a
load starts when a guest's agent has taken it up, which is later on a real host. Sizes are taken at
each interval. A scheduler's run settles as the criteria have it: at the end of the first window
from which on all are balanced and bound, and after ten intervals at the latest. A coordinator's
guest settles when it is, for good, near the size that it has at the end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

from virtlab.grading.criteria import judge_all
from virtlab.grading.criteria.balance import settled_since_ns
from virtlab.grading.windows import Phase, interval_samples, phases
from virtlab.model.criteria import limits_of
from virtlab.model.fidelity import AIMS, Act, RunFigures, Settling, SizesOverTime, VcpuFigures
from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import NS_PER_S

__all__ = ["acts_of", "held_kib_of", "run_figures"]

_STARTING_NS: Final = 2 * NS_PER_S
_PHASE_INTERVALS_MIN: Final = 10  # as long as programs have to settle


def run_figures(timeline: Timeline) -> RunFigures:
    """Return what is compared of a run."""
    moments = interval_samples(timeline)
    coordinator = timeline.program_kind == "memory_coordinator"
    return RunFigures(
        times_ns=tuple(timeline.times_ns[at] for at in moments) if coordinator else (),
        vcpus=tuple(_vcpus(timeline)),
        sizes=tuple(_sizes(guest, moments) for guest in timeline.guests if coordinator and moments),
        settling=tuple(_rests(timeline) if coordinator else _balances(timeline)),
        criteria={result.name: result.status for result in judge_all(timeline)},
    )


def acts_of(timeline: Timeline) -> tuple[Act, ...]:
    """Return what the program did to the guests, in order of time."""
    pins = [
        Act(pin.time_ns, pin.guest, pin.vcpu, pin.pcpus, None)
        for pin in timeline.pins
        if pin.by == "program" and pin.effective
    ]
    sizes = [
        Act(call.time_ns, call.guest, None, (), call.target_kib)
        for call in timeline.memory_calls
        if call.by == "program"
    ]
    return tuple(sorted(pins + sizes, key=lambda act: act.time_ns))


def held_kib_of(timeline: Timeline) -> dict[str, int]:
    """Return what each guest's kernel and processes held when the run began."""
    return {guest.name: _held_kib(guest) for guest in timeline.guests}


def _held_kib(guest: GuestTrack) -> int:
    rows = zip(guest.actual_kib, guest.unused_kib, guest.consumer_kib, strict=True)
    # Nothing is known of a guest before its first report.
    return next((actual - unused - used for actual, unused, used in rows if unused), 0)


def _vcpus(timeline: Timeline) -> Iterator[VcpuFigures]:
    told = timeline.clock != "real" or any(
        any(vcpu.delay_ns) for guest in timeline.guests for vcpu in guest.vcpus
    )
    for phase in phases(timeline, 0):
        first, last = _samples(timeline, phase)
        long_enough = phase.end_ns - phase.start_ns >= _PHASE_INTERVALS_MIN * timeline.interval_ns
        if first >= last or not long_enough:
            continue
        points = 100 / (timeline.times_ns[last] - timeline.times_ns[first])
        for guest in timeline.guests:
            for number, vcpu in enumerate(guest.vcpus):
                ran = (vcpu.run_ns[last] - vcpu.run_ns[first]) * points
                waited = (vcpu.delay_ns[last] - vcpu.delay_ns[first]) * points
                yield VcpuFigures(
                    guest.name,
                    number,
                    phase.number,
                    round(ran, 3),
                    round(waited, 3) if told else None,
                )


def _samples(timeline: Timeline, phase: Phase) -> tuple[int, int]:
    """Return the first and the last sample of a phase that count."""
    first = bisect_left(timeline.times_ns, phase.start_ns + _STARTING_NS)
    return first, bisect_right(timeline.times_ns, phase.end_ns) - 1


def _sizes(guest: GuestTrack, moments: list[int]) -> SizesOverTime:
    return SizesOverTime(
        guest.name,
        _range_kib(guest),
        tuple(guest.actual_kib[at] for at in moments),
        tuple(guest.unused_kib[at] for at in moments),
    )


def _balances(timeline: Timeline) -> Iterator[Settling]:
    limits = limits_of("stable")
    for phase in phases(timeline, limits["settle_intervals"] or 0.0):
        if phase.recorded:
            span_ns = settled_since_ns(timeline, phase, limits) - phase.start_ns
            intervals = round(span_ns / timeline.interval_ns, 2)
            yield Settling(f"phase {phase.number}", intervals)


def _rests(timeline: Timeline) -> Iterator[Settling]:
    for guest in timeline.guests:
        near_kib = _range_kib(guest) * AIMS.size_percent / 100
        sizes = guest.actual_kib
        away = [at for at, kib in enumerate(sizes) if abs(kib - sizes[-1]) > near_kib]
        since_ns = timeline.times_ns[away[-1] + 1] if away else 0
        yield Settling(f"{guest.name} at rest", round(since_ns / timeline.interval_ns, 2))


def _range_kib(guest: GuestTrack) -> int:
    """Return what a coordinator has to give a guest, or all of a guest that cannot grow."""
    return (guest.max_memory_kib - guest.memory_kib) or guest.max_memory_kib
