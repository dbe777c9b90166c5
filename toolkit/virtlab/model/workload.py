"""What guests do: the kinds of load that a scenario can start in a guest."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Batch", "CpuWorkload", "Duty", "MemoryGrowth", "Trace", "TracePoint", "Workload"]


@dataclass(frozen=True, slots=True)
class Duty:
    """A closed loop on a vCPU: work for duty x period, sleep for the rest, again.

    Contention stretches the cycle; what was not served is not queued. Duty 1 never sleeps.
    """

    duty: float  # share of one pCPU that it takes when alone, above 0 and up to 1
    period_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Finite work on a vCPU, then nothing more."""

    work_ns: int  # pCPU time at full capacity


@dataclass(frozen=True, slots=True)
class MemoryGrowth:
    """A process that touches more and more of the guest's memory."""

    rate_kib_s: int  # while its vCPU is scheduled
    until_kib: (
        int | None
    )  # size at which it stops; None: grows until the guest's OOM killer ends it
    hold_ns: int = 0  # how long it keeps what it has once it is there
    then_release: bool = True  # frees all after the hold; False keeps it to the end


@dataclass(frozen=True, slots=True)
class TracePoint:
    """One row of a trace: from this moment after its start on, until the next row."""

    time_ns: int
    cpu_share: float  # of one pCPU for each vCPU, 0 to 1
    memory_kib: int | None  # in use by the traced processes; None leaves memory alone


@dataclass(frozen=True, slots=True)
class Trace:
    """Utilisation and memory in use over time, as measured elsewhere."""

    points: tuple[TracePoint, ...]


CpuWorkload = Duty | Batch
Workload = Duty | Batch | MemoryGrowth | Trace
