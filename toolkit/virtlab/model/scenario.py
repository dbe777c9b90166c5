"""A scenario as plain values: a host, its guests, what happens to them, and what is asked.

`virtlab.scenario` reads these from YAML files; the simulator and the grader use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from virtlab.model.faults import GuestFault, HostFault
from virtlab.model.topology import Topology, flat
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.workload import MemoryGrowth, Trace, Workload

__all__ = [
    "GROWTH_DUTY",
    "HOST_RESERVE_KIB",
    "SHUTDOWN_S",
    "CriterionSpec",
    "DefineGuest",
    "Event",
    "GuestSpec",
    "HostSpec",
    "LoseGuest",
    "PinVcpu",
    "ProgramKind",
    "Scenario",
    "SetMemory",
    "StartGuest",
    "StartWorkload",
    "StopGuest",
    "StopWorkload",
    "TuneCpu",
    "UndefineGuest",
]

ProgramKind = Literal["vcpu_scheduler", "memory_coordinator"]

# Below so much free memory a host swaps: vm.min_free_kbytes of such a machine is 64 to 90 MiB.
HOST_RESERVE_KIB = 64 * 1024
# A cloud image of Ubuntu is down about two seconds after it was asked to.
SHUTDOWN_S = 2
# Touching pages one by one with a pause after each costs little CPU time.
GROWTH_DUTY = 0.05


@dataclass(frozen=True, slots=True)
class HostSpec:
    """The machine that carries the guests."""

    pcpus: int
    memory_kib: int
    used_kib: int  # what the host's own kernel and daemons hold
    swap_kib: int = 0
    mhz: int = 2400
    # cgroup v1 offers per-pCPU CPU statistics, v2 refuses them (libvirt error 84).
    cgroup_version: Literal[1, 2] = 1
    # What memory statistics show until a statistics period is set: "boot" is the guest's
    # report from its boot, unchanged for ever; "missing" is actual, rss and last_update only.
    stats_before_period: Literal["boot", "missing"] = "boot"
    # How fast the disk behind the host's swap takes pages; None: swapping slows nobody down.
    swap_kib_s: int | None = None
    balloon: Literal["kvm", "emulation"] = "kvm"  # whose rates balloons have
    balloon_batches: bool = False  # a balloon on its way shows whole batches of 1 MiB only
    qemu_processes: bool = False  # the program finds a process for each guest that runs
    topology: Topology | None = None  # None: nothing that could make a difference

    @property
    def layout(self) -> Topology:
        """Return how it is put together, in any case."""
        return self.topology or flat(self.pcpus, self.memory_kib)


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """One guest as it stands at scenario time 0."""

    name: str
    vcpus: int
    memory_kib: int  # the balloon's size at the start
    max_memory_kib: int
    # One entry a vCPU: the pCPUs that it may run on; None permits all.
    affinity: tuple[tuple[int, ...] | None, ...]
    kernel_kib: int  # held by the guest's kernel and firmware, never seen as available
    processes_kib: int  # held by the guest's ordinary processes
    cache_kib: int  # page cache, given up under pressure down to a small rest
    idle_noise_max: float = 0.03  # upper bound of a vCPU's idle noise, as a share of one pCPU
    deflate_on_oom: bool = False
    running: bool = True
    swap_kib: int = 0  # the guest's own swap space
    swap_kib_s: int = 500 * 1024  # how fast pages are written to it
    file_reads_kib_s: int = 0  # files read that are not cached: the page cache comes back
    free_page_reporting: bool = False
    reserve_kib: int = 4 * KIB_PER_MIB  # its kernel's min_free_kbytes: processes leave it alone
    growth_duty: float = GROWTH_DUTY  # what its vCPU wants to touch new pages
    defined: bool = True  # False: it is not there until an event defines it
    memory_cell: int | None = None  # None: where its first vCPU starts
    # Scheduler parameters under libvirt's names: cpu_shares, vcpu_quota (us) and so on.
    tuning: tuple[tuple[str, int], ...] = ()
    working_set_kib: int = 0  # what its work has in the caches, and loses by a move
    memory_bound: float = 0.0  # share of its time that its work waits for memory of its own cell
    emulator_share: float | None = None  # what QEMU's threads want of what its loads want
    emulator_affinity: tuple[int, ...] | None = None  # where they may run; None permits all


@dataclass(frozen=True, slots=True)
class PinVcpu:
    """The administrator binds a vCPU to pCPUs."""

    time_ns: int
    guest: str
    vcpu: int
    pcpus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetMemory:
    """The administrator sets a guest's balloon target."""

    time_ns: int
    guest: str
    memory_kib: int


@dataclass(frozen=True, slots=True)
class TuneCpu:
    """The administrator sets scheduler parameters of a guest."""

    time_ns: int
    guest: str
    tuning: tuple[tuple[str, int], ...]  # as in `GuestSpec`


@dataclass(frozen=True, slots=True)
class StartWorkload:
    """A load starts in a guest, in place of what ran on its vCPUs or grew in its memory."""

    time_ns: int
    guest: str
    workload: Workload
    vcpus: tuple[int, ...] | None = None  # None: all of the guest; ignored by memory loads


@dataclass(frozen=True, slots=True)
class StopWorkload:
    """A guest's loads of one kind end; a memory load frees all that it holds."""

    time_ns: int
    guest: str
    kind: Literal["cpu", "memory", "all"]


@dataclass(frozen=True, slots=True)
class StartGuest:
    """A guest that is shut off boots."""

    time_ns: int
    guest: str


@dataclass(frozen=True, slots=True)
class StopGuest:
    """A guest is asked to shut down in good order, and is down SHUTDOWN_S later."""

    time_ns: int
    guest: str


@dataclass(frozen=True, slots=True)
class LoseGuest:
    """A guest's QEMU process dies."""

    time_ns: int
    guest: str


@dataclass(frozen=True, slots=True)
class DefineGuest:
    """A guest of this name is there, shut off; where one was before, under another uuid."""

    time_ns: int
    guest: str


@dataclass(frozen=True, slots=True)
class UndefineGuest:
    """A guest's description is forgotten, and the guest with it once it is shut off."""

    time_ns: int
    guest: str


Event = (
    PinVcpu
    | SetMemory
    | TuneCpu
    | StartWorkload
    | StopWorkload
    | StartGuest
    | StopGuest
    | LoseGuest
    | DefineGuest
    | UndefineGuest
    | GuestFault
    | HostFault
)


# What starts no new phase.
_NO_CHANGE_OF_LOAD = (
    PinVcpu,
    SetMemory,
    DefineGuest,
    UndefineGuest,
    GuestFault,
    HostFault,
)


@dataclass(frozen=True, slots=True)
class CriterionSpec:
    """One criterion that a scenario asks for, with the limits that differ from its defaults."""

    name: str  # one of `virtlab.model.criteria`
    limits: Mapping[str, float] = field(default_factory=dict)
    hint: str | None = None  # instead of the catalogue's


@dataclass(frozen=True, slots=True)
class Scenario:
    """A host, guests, events in time order, and the criteria that judge a program on them."""

    id: str
    title: str
    why: str  # which wrong program it catches
    program: ProgramKind
    seed: int
    host: HostSpec
    guests: tuple[GuestSpec, ...]  # in the order in which they were started, so by domain id
    events: tuple[Event, ...]  # ordered by time, then as in the file
    interval_s: int
    duration_s: int
    criteria: tuple[CriterionSpec, ...]
    scaled_from: str | None = None  # the scenario of which this one is a smaller form

    @property
    def duration_ns(self) -> int:
        """Return how long the program is watched, in nanoseconds."""
        return self.duration_s * NS_PER_S

    def phases_ns(self) -> tuple[int, ...]:
        """Return the starts of the phases: time 0 and each later change of load or guests.

        A trace changes the load where its vCPUs want another share from a point on. The end of a
        batch begins no phase: its moment follows from where the batch was placed.
        """
        changes = {
            moment
            for position, event in enumerate(self.events)
            if not isinstance(event, _NO_CHANGE_OF_LOAD)
            for moment in (event.time_ns, *self._steps_ns(position))
        }
        return (0, *sorted(moment for moment in changes if 0 < moment < self.duration_ns))

    def _steps_ns(self, position: int) -> Iterator[int]:
        """Yield when the trace that an event starts, if it does, changes what its vCPUs want."""
        start = self.events[position]
        if not isinstance(start, StartWorkload) or not isinstance(start.workload, Trace):
            return
        until_ns = self._followed_until_ns(start, self.events[position + 1 :])
        share: float | None = None
        for point in start.workload.points:
            moment = start.time_ns + point.time_ns
            if point.cpu_share != share and moment < until_ns:
                yield moment
            share = point.cpu_share

    def _followed_until_ns(self, start: StartWorkload, later: Sequence[Event]) -> int:
        """Return when nothing is left of a trace, as others took its vCPUs over, or it stopped."""
        everything = {n for one in self.guests if one.name == start.guest for n in range(one.vcpus)}
        left = everything if start.vcpus is None else set(start.vcpus)
        for event in later:
            if not isinstance(event, StartWorkload | StopWorkload | StopGuest | LoseGuest):
                continue
            if event.guest != start.guest:
                continue
            if isinstance(event, StartWorkload):
                if not isinstance(event.workload, MemoryGrowth):
                    left -= everything if event.vcpus is None else set(event.vcpus)
            elif not isinstance(event, StopWorkload) or event.kind != "memory":
                left = set()
            if not left:
                return event.time_ns
        return self.duration_ns
