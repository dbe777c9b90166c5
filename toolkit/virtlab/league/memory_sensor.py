"""What a coordination policy would see of a simulated host, figure by figure as libvirt has them.

A client learns less than the simulator knows, and later:

- a size is that of the last balloon event, up to a second late (`balloon.current`);
- the guest's own figures are those of its last report, and a report's moment is a whole second of
  the calendar clock (`balloon.last-update`), so that it looks up to a second older than it is;
- a statistics period has to be set, once for each guest that starts;
- where a guest's lock is held, nothing of its balloon comes at all;
- nobody tells what was asked of a balloon: the client remembers it, of this run of the guest.

Free memory is what /proc/meminfo calls free. The caches of the simulated host's own programs
follow no load and are not given up, so they do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import EPOCH_S, NS_PER_S
from virtlab.simulator.host import GuestState, SimulatedGuest, SimulatedHost

__all__ = ["BalloonReading", "HostReading", "MemoryLimits", "MemorySensor"]


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What an administrator gives a coordinator besides the host: what is to be kept."""

    reserve_kib: int  # of the host
    floor_kib: int  # of each guest, or its maximum where that is less
    floors_kib: Mapping[str, int] | None = None  # of single guests, instead
    shares: Mapping[str, int] | None = None  # of single guests, instead of 1000


class BalloonReading(NamedTuple):
    """One running guest as a host shows it now."""

    guest: str
    life: int  # its domain id, which no two runs of a guest share
    current_kib: int
    max_kib: int
    report: Mapping[str, int]  # of the guest itself, by the names of libvirt's memory statistics
    silent: bool = False  # its lock is held, so that nothing could be set or asked


class HostReading(NamedTuple):
    """A host as it shows itself now."""

    time_ns: int
    clock_step_ns: int  # by how much the calendar clock is off from where it was
    total_kib: int
    free_kib: int
    swap_used_kib: int
    guests: tuple[BalloonReading, ...]  # in the order of their names


# Gives a reading, once those guests have a statistics period that are not among the known ids.
Source = Callable[[frozenset[int], int], HostReading]


class MemorySensor:
    """Looks at a simulated host as a client of libvirt does, and remembers what it asked for."""

    def __init__(
        self,
        host: SimulatedHost,
        limits: MemoryLimits,
        *,
        period_s: int,
        source: Source | None = None,
    ) -> None:
        """Take the host and the statistics period to set on each guest that starts.

        Args:
            host: the simulated host.
            limits: what the policy has to keep.
            period_s: the statistics period of the guests.
            source: where readings come from, if not from the host itself.
        """
        self._limits = limits
        self._period_s = period_s
        self._read = _Direct(host).read if source is None else source
        self._asked: dict[int, int] = {}  # KiB by domain id
        self._seen: frozenset[int] = frozenset()
        self._last_ns: int | None = None

    def look(self) -> MemorySnapshot:
        """Return what is to be seen now."""
        host = self._read(self._seen, self._period_s)
        calendar_ns = EPOCH_S * NS_PER_S + host.time_ns + host.clock_step_ns
        seen = MemorySnapshot(
            time_ns=host.time_ns,
            interval_ns=host.time_ns - (host.time_ns if self._last_ns is None else self._last_ns),
            host_total_kib=host.total_kib,
            host_free_kib=host.free_kib,
            guests=tuple(self._view(guest, calendar_ns) for guest in host.guests),
            host_reserve_kib=self._limits.reserve_kib,
            host_swap_used_kib=host.swap_used_kib,
        )
        # One whose lock was held when it started has no period yet.
        self._seen = frozenset(
            guest.life for guest in host.guests if not guest.silent or guest.life in self._seen
        )
        self._last_ns = host.time_ns
        return seen

    def asked(self, guest: SimulatedGuest, kib: int) -> None:
        """Remember what a guest's balloon was asked for."""
        self.asked_of(guest.id, kib)

    def asked_of(self, life: int, kib: int) -> None:
        """Remember the same of a guest by its domain id."""
        self._asked[life] = kib

    def _view(self, guest: BalloonReading, calendar_ns: int) -> GuestMemory:
        limits, report = self._limits, guest.report
        reported_s = report.get("last_update", 0)
        floor_kib = (limits.floors_kib or {}).get(guest.guest, limits.floor_kib)
        return GuestMemory(
            guest=guest.guest,
            actual_kib=guest.current_kib,
            max_kib=guest.max_kib,
            target_kib=self._asked.get(guest.life),
            floor_kib=min(floor_kib, guest.max_kib),
            shares=(limits.shares or {}).get(guest.guest, 1000),
            fresh=guest.life not in self._seen,
            rss_kib=report.get("rss"),
            report_age_ns=max(calendar_ns - reported_s * NS_PER_S, 0) if reported_s else None,
            unused_kib=report.get("unused"),
            usable_kib=report.get("usable"),
            available_kib=report.get("available"),
            swap_in_kib=report.get("swap_in"),
            swap_out_kib=report.get("swap_out"),
            major_faults=report.get("major_fault"),
        )


class _Direct:
    """Reads the simulated host itself."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host

    def read(self, known: frozenset[int], period_s: int) -> HostReading:
        host = self._host
        guests = [
            guest for _, guest in sorted(host.guests.items()) if guest.state is GuestState.RUNNING
        ]
        for guest in guests:
            if guest.id not in known and not guest.blocked:
                guest.set_stats_period(period_s)
        memory, now_ns = host.memory(), host.now_ns
        return HostReading(
            time_ns=now_ns,
            clock_step_ns=host.host_memory.clock_step_ns,
            total_kib=memory.total_kib,
            free_kib=memory.free_kib,
            swap_used_kib=memory.swap_used_kib,
            guests=tuple(
                BalloonReading(
                    guest=guest.name,
                    life=guest.id,
                    current_kib=guest.memory.info_kib(now_ns),
                    max_kib=guest.spec.max_memory_kib,
                    report={} if guest.blocked else guest.memory.statistics(now_ns),
                    silent=guest.blocked,
                )
                for guest in guests
            ),
        )
