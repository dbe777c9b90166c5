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

from collections.abc import Mapping
from dataclasses import dataclass

from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import EPOCH_S, NS_PER_S
from virtlab.simulator.host import GuestState, SimulatedGuest, SimulatedHost

__all__ = ["MemoryLimits", "MemorySensor"]


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What an administrator gives a coordinator besides the host: what is to be kept."""

    reserve_kib: int  # of the host
    floor_kib: int  # of each guest, or its maximum where that is less
    floors_kib: Mapping[str, int] | None = None  # of single guests, instead
    shares: Mapping[str, int] | None = None  # of single guests, instead of 1000


class MemorySensor:
    """Looks at a simulated host as a client of libvirt does, and remembers what it asked for."""

    def __init__(self, host: SimulatedHost, limits: MemoryLimits, *, period_s: int) -> None:
        """Take the host and the statistics period to set on each guest that starts."""
        self._host = host
        self._limits = limits
        self._period_s = period_s
        self._asked: dict[int, int] = {}  # KiB by domain id, which no two runs of a guest share
        self._seen: frozenset[int] = frozenset()
        self._last_ns: int | None = None

    def look(self) -> MemorySnapshot:
        """Return what is to be seen now."""
        now_ns = self._host.now_ns
        guests = [
            guest
            for _, guest in sorted(self._host.guests.items())
            if guest.state is GuestState.RUNNING
        ]
        for guest in guests:
            if guest.id not in self._seen and not guest.blocked:
                guest.set_stats_period(self._period_s)
        memory = self._host.memory()
        seen = MemorySnapshot(
            time_ns=now_ns,
            interval_ns=now_ns - (now_ns if self._last_ns is None else self._last_ns),
            host_total_kib=memory.total_kib,
            host_free_kib=memory.free_kib,
            guests=tuple(self._view(guest, now_ns) for guest in guests),
            host_reserve_kib=self._limits.reserve_kib,
            host_swap_used_kib=memory.swap_used_kib,
        )
        # One whose lock was held when it started has no period yet.
        self._seen = frozenset(
            guest.id for guest in guests if not guest.blocked or guest.id in self._seen
        )
        self._last_ns = now_ns
        return seen

    def asked(self, guest: SimulatedGuest, kib: int) -> None:
        """Remember what a guest's balloon was asked for."""
        self._asked[guest.id] = kib

    def _view(self, guest: SimulatedGuest, now_ns: int) -> GuestMemory:
        limits, name = self._limits, guest.name
        report = {} if guest.blocked else guest.memory.statistics(now_ns)
        reported_s = report.get("last_update", 0)
        calendar_ns = EPOCH_S * NS_PER_S + now_ns + self._host.host_memory.clock_step_ns
        floor_kib = (limits.floors_kib or {}).get(name, limits.floor_kib)
        return GuestMemory(
            guest=name,
            actual_kib=guest.memory.info_kib(now_ns),
            max_kib=guest.spec.max_memory_kib,
            target_kib=self._asked.get(guest.id),
            floor_kib=min(floor_kib, guest.spec.max_memory_kib),
            shares=(limits.shares or {}).get(name, 1000),
            fresh=guest.id not in self._seen,
            rss_kib=report.get("rss"),
            report_age_ns=max(calendar_ns - reported_s * NS_PER_S, 0) if reported_s else None,
            unused_kib=report.get("unused"),
            usable_kib=report.get("usable"),
            available_kib=report.get("available"),
            swap_in_kib=report.get("swap_in"),
            swap_out_kib=report.get("swap_out"),
            major_faults=report.get("major_fault"),
        )
