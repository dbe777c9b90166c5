"""The recorded ground truth of one run: what the host did, moment by moment.

A timeline on disk is enough to judge the run again and to draw every report again. It holds
nothing that differs between two equal runs. Series are columns with one entry for each moment
of `times_ns`; figures of time are cumulative since the run's start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from virtlab.model.units import NS_PER_S

__all__ = [
    "CallRecord",
    "ClockKind",
    "EventRecord",
    "GuestTrack",
    "MemoryCall",
    "PinCall",
    "ProgramOutcome",
    "RunStatus",
    "Timeline",
    "VcpuTrack",
]

RunStatus = Literal["ok", "program_fault", "timeout", "lab_fault"]
# What moved time: the waits of the program, real time at a pace, or a real host's time. Runs of the
# second and third kind are not the same each time.
ClockKind = Literal["lockstep", "paced", "real"]
Actor = Literal["program", "scenario"]


@dataclass(frozen=True, slots=True)
class VcpuTrack:
    """One vCPU over time."""

    run_ns: tuple[int, ...]  # time it ran, cumulative
    delay_ns: tuple[int, ...]  # time it waited on a run queue, cumulative
    pcpu: tuple[int, ...]  # where it sat; -1 while its guest was not running
    loaded: tuple[bool, ...]  # a CPU load runs on it


@dataclass(frozen=True, slots=True)
class GuestTrack:
    """One guest over time; sizes are KiB and 0 while it is not running."""

    name: str
    memory_kib: int  # at the start
    max_memory_kib: int
    vcpus: tuple[VcpuTrack, ...]
    start_masks: tuple[tuple[int, ...], ...]  # pCPUs that each vCPU might run on at time 0
    running: tuple[bool, ...]
    actual_kib: tuple[int, ...]  # the balloon's size
    target_kib: tuple[int, ...]
    unused_kib: tuple[int, ...]  # the truth now, not the last report
    consumer_kib: tuple[int, ...]  # held by memory loads
    rss_kib: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PinCall:
    """An affinity that was set; `effective` where the mask differs from the one before."""

    time_ns: int
    guest: str
    vcpu: int
    pcpus: tuple[int, ...]
    effective: bool
    by: Actor


@dataclass(frozen=True, slots=True)
class MemoryCall:
    """A balloon target that was set."""

    time_ns: int
    guest: str
    target_kib: int
    by: Actor


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened to the host or to a guest.

    Kinds: load_start, load_end (a load ended or was stopped), load_done (a batch or growth
    reached its end by itself), oom_kill (the guest's OOM killer ended a process), guest_start,
    guest_stop and guest_lost (with the value by_scenario where it asked for that), interference
    (the program stopped or throttled a guest), guest_defined, guest_undefined, guest_swap,
    host_swap, host_frozen, balloon_stuck (it finds no page), fault and fault_end (of the scenario;
    the detail begins with the fault's name), host_lost and host_back (a real host's libvirtd went
    away, and came back).
    """

    time_ns: int
    kind: str
    guest: str | None
    detail: str
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One libvirt call of the program."""

    time_ns: int
    procedure: str  # the public function's name, such as virDomainPinVcpu
    guest: str | None
    detail: str  # arguments, briefly; those of a call on a guest begin with the guest
    error: str | None  # libvirt's message where it was refused

    def in_words(self) -> str:
        """Return the call on one line: `2.001 s virDomainPinVcpu aos_vm1 vcpu=0 map=0x1`."""
        text = f"{self.time_ns / NS_PER_S:.3f} s {self.procedure} {self.detail}".rstrip()
        return text if self.error is None else f"{text}: {self.error}"


@dataclass(frozen=True, slots=True)
class ProgramOutcome:
    """How the program itself fared, apart from what it achieved.

    Kinds: completed, crashed, exited, hung, silent, flooded (with output), overfilled
    (its folder), ignored_sigint, not_built, not_found, lab_error, host_lacking (the machine or its
    host does not do), disturbed (a real host failed or was busy with other things).
    """

    status: RunStatus
    kind: str
    reason: str
    at_ns: int
    exit_code: int | None = None
    signal: str | None = None
    notes: tuple[str, ...] = ()  # what did not end the run but is worth telling


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that one run recorded."""

    version: int
    scenario: str
    title: str
    program_kind: str
    seed: int
    interval_ns: int
    duration_ns: int
    phases_ns: tuple[int, ...]
    criteria: tuple[Mapping[str, Any], ...]  # name, limits and hint as the scenario gave them
    pcpus: int
    host_memory_kib: int
    times_ns: tuple[int, ...]
    pcpu_busy_ns: tuple[tuple[int, ...], ...]  # one series a pCPU, cumulative
    host_free_kib: tuple[int, ...]
    host_swap_kib: tuple[int, ...]  # swap in use
    guests: tuple[GuestTrack, ...]  # in order of their first domain ids
    pins: tuple[PinCall, ...]
    memory_calls: tuple[MemoryCall, ...]
    events: tuple[EventRecord, ...]
    calls: tuple[CallRecord, ...]
    calls_total: int  # `calls` keeps a bounded number, this counts all
    outcome: ProgramOutcome
    clock: ClockKind = "lockstep"
    pace: float = 1.0  # virtual seconds in a real one, on the paced clock
    scaled_from: str | None = None  # the scenario of which this one is a smaller form

    def guest(self, name: str) -> GuestTrack:
        """Return the track of a guest by its name."""
        return next(guest for guest in self.guests if guest.name == name)

    def to_json(self) -> str:
        """Return the timeline as one JSON object: the same bytes for the same run."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False) + "\n"
