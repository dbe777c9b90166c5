"""The course's monitor: a timeline in the lines that staff and students know.

Usage is what each guest used since the iteration before, added up where its vCPU 0 sits now, so
it can exceed 100; the first iteration has nothing to compare with and is empty. The other form
shows each guest's size and unused memory. Source: monitor.py of the course's hand-outs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = ["PERIODS_NS", "monitor_block", "monitor_text"]

# From look to look of the course's monitor.
PERIODS_NS: Mapping[str, int] = MappingProxyType(
    {"vcpu_scheduler": NS_PER_S, "memory_coordinator": 2 * NS_PER_S}
)


def monitor_text(timeline: Timeline) -> str:
    """Return what the course's monitor would have printed beside the run."""
    blocks, before = [], None
    for number, index in enumerate(_looks(timeline), start=1):
        blocks.append(monitor_block(timeline, number, index, before))
        before = index
    return "".join(blocks)


def monitor_block(timeline: Timeline, number: int, index: int, before: int | None) -> str:
    """Return what the monitor prints in one iteration.

    Args:
        timeline: of the run.
        number: of the iteration, from 1.
        index: of the sample that it sees.
        before: of the sample that it saw in the iteration before; None: there was none.
    """
    if timeline.program_kind == "memory_coordinator":
        lines = _memory(timeline, number, index)
    else:
        lines = _cpu(timeline, number, index, before)
    return "".join(f"{line}\n" for line in lines)


def _cpu(timeline: Timeline, number: int, index: int, before: int | None) -> Iterator[str]:
    yield ""
    yield "-" * 50
    yield f"Iteration number :  {number}"
    if before is None:
        return
    span_ns = timeline.times_ns[index] - timeline.times_ns[before]
    for pcpu in range(timeline.pcpus):
        here = [guest for guest in timeline.guests if _sits_on(guest, pcpu, index)]
        used = sum(
            100 * (vcpu.run_ns[index] - vcpu.run_ns[before]) / span_ns
            for guest in here
            for vcpu in guest.vcpus
        )
        names = [guest.name for guest in here]
        yield f"{pcpu} - usage: {float(used)} | mapping {names}"


def _sits_on(guest: GuestTrack, pcpu: int, index: int) -> bool:
    return guest.running[index] and guest.vcpus[0].pcpu[index] == pcpu


def _memory(timeline: Timeline, number: int, index: int) -> Iterator[str]:
    yield "-" * 100
    yield f"Iteration number :  {number}"
    for guest in timeline.guests:
        if guest.running[index]:
            actual = guest.actual_kib[index] / KIB_PER_MIB
            unused = guest.unused_kib[index] / KIB_PER_MIB
            yield f"Memory (VM: {guest.name})  Actual [{actual}], Unused: [{unused}]"


def _looks(timeline: Timeline) -> Iterator[int]:
    """Yield the index of the sample at each look of the monitor, from time 0 on."""
    period_ns = PERIODS_NS[timeline.program_kind]
    next_ns = 0
    for index, time_ns in enumerate(timeline.times_ns):
        if time_ns >= next_ns - period_ns // 20:
            yield index
            next_ns += period_ns
