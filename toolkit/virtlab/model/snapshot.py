"""What a policy sees of a host: a moment, and what was measured in the interval before it.

Shares are of one pCPU: 1.0 is all the time of one. A figure that is not known is None and never 0:
a policy that takes "not measured" for "idle" moves guests for no reason. Sizes are KiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from virtlab.model.topology import Topology

__all__ = ["CpuSnapshot", "GuestMemory", "MemorySnapshot", "VcpuKey", "VcpuView"]


class VcpuKey(NamedTuple):
    """A vCPU by the name of its guest and its number; sorts by these."""

    guest: str
    number: int

    def __str__(self) -> str:
        return f"{self.guest}:{self.number}"


@dataclass(frozen=True, slots=True)
class VcpuView:
    """One vCPU: where it may run, where it ran, and what it used in the last interval."""

    key: VcpuKey
    pcpus: frozenset[int]  # it may run on now; equal masks of a snapshot are one object
    last_on: int | None = None  # ran last here
    run_share: float | None = None  # time it ran; None where it was not there for an interval
    delay_share: float | None = None  # time it waited on a run queue, or was throttled by its cap
    allowed: frozenset[int] | None = None  # an administrator lets it run here only; None: anywhere
    weight: int = 1024  # `cpu_shares`; only the ratio to others counts
    cap_share: float | None = None  # most it may run, by its quota; None: as much as there is
    movable: bool = True  # False: migrates, opted out, or somebody else is moving it
    memory_cells: frozenset[int] | None = None  # its guest's memory lies here; None: not known


@dataclass(frozen=True, slots=True)
class CpuSnapshot:
    """All a scheduling policy sees."""

    time_ns: int  # on a clock that never goes back
    interval_ns: int  # over which shares were measured
    topology: Topology  # pCPUs are those of its cells
    vcpus: tuple[VcpuView, ...]  # in the order of their keys
    # Time of each pCPU that something else than guests took: the host itself. Absent: none, or
    # not known; daemons measure it (`agent.host_load`), the league's hosts have none.
    host_share: Mapping[int, float] = field(default_factory=dict)

    @property
    def pcpus(self) -> tuple[int, ...]:
        """Return the numbers of all pCPUs in order."""
        return tuple(range(len(self.topology.capacity)))


@dataclass(frozen=True, slots=True)
class GuestMemory:
    """One guest's memory: sizes as the host knows them, and what the guest last reported."""

    guest: str
    actual_kib: int  # the balloon leaves it this much now
    max_kib: int  # most it can be given without a restart
    target_kib: int | None = None  # last asked for; None: not known, so take `actual_kib`
    floor_kib: int = 0  # never to be taken below this
    shares: int = 1000  # of memory; only the ratio to others counts
    # Was not there in the snapshot before: what was known of one of this name is about another.
    fresh: bool = False
    has_balloon: bool = True  # False: no driver answered, the size is what it is
    movable: bool = True  # False: migrates or opted out
    rss_kib: int | None = None  # what the host really holds for it
    # From the guest's own report. `report_age_ns` says how old it is; None: there never was one.
    report_age_ns: int | None = None
    unused_kib: int | None = None  # MemFree: not even used as cache
    usable_kib: int | None = None  # MemAvailable: what could be had without swapping
    available_kib: int | None = None  # all that the guest's kernel manages
    # Since the guest's start; a policy takes differences.
    swap_in_kib: int | None = None
    swap_out_kib: int | None = None
    major_faults: int | None = None

    @property
    def asked_kib(self) -> int:
        """Return the size that the balloon has, or is on its way to."""
        return self.actual_kib if self.target_kib is None else self.target_kib

    @property
    def promised_kib(self) -> int:
        """Return what it may still take of the host without asking anybody.

        Memory that a guest was given and has not touched yet is free on the host, and not there to
        be given again. Where it is not known what it holds, all that it has counts as touched.
        """
        held_kib = self.actual_kib if self.rss_kib is None else self.rss_kib
        return max(max(self.actual_kib, self.asked_kib) - held_kib, 0)


@dataclass(frozen=True, slots=True)
class MemorySnapshot:
    """All a coordination policy sees."""

    time_ns: int  # on a clock that never goes back
    interval_ns: int  # since the snapshot before
    host_total_kib: int
    host_free_kib: int  # what the host can still give, caches that it can drop included
    guests: tuple[GuestMemory, ...]  # running ones, in the order of their names
    host_reserve_kib: int = 0  # to be left free for the host itself
    host_swap_used_kib: int = 0

    @property
    def spare_kib(self) -> int:
        """Return what can be given for good: free, not reserved, not promised; it may be negative.

        A guest that gets smaller gives nothing until it has become smaller.
        """
        promised_kib = sum(guest.promised_kib for guest in self.guests)
        return self.host_free_kib - self.host_reserve_kib - promised_kib
