"""Handlers of memory: the balloon's target, the largest size, and the guest's statistics."""

from __future__ import annotations

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, DriverState
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["MEMORY_TAGS", "MemoryHandlers"]

_MAXIMUM = 4

# virDomainMemoryStatTags, in the order in which the QEMU driver fills them in: a client with
# room for nine of them gets the first nine.
MEMORY_TAGS = {
    "actual": 6,
    "swap_in": 0,
    "swap_out": 1,
    "major_fault": 2,
    "minor_fault": 3,
    "unused": 4,
    "available": 5,
    "usable": 8,
    "last_update": 9,
    "disk_caches": 10,
    "hugetlb_pgalloc": 11,
    "hugetlb_pgfail": 12,
    "rss": 7,
}


class MemoryHandlers:
    """Answers about memory and moves balloons."""

    def __init__(self, state: DriverState) -> None:
        self._state = state

    def domain_get_max_memory(self, dom: DomainHandle) -> tuple[int]:
        """Return the largest size."""
        return (self._state.max_kib(self._state.guest(dom)),)

    def domain_set_memory(self, dom: DomainHandle, memory: int) -> tuple[()]:
        """Set the balloon's target of a running domain."""
        refusals.check_nonzero(memory, "memory", "virDomainSetMemory")
        return self.domain_set_memory_flags(dom, memory, LIVE)

    def domain_set_max_memory(self, dom: DomainHandle, memory: int) -> tuple[()]:
        """Set the largest size of a stopped domain."""
        refusals.check_nonzero(memory, "memory", "virDomainSetMaxMemory")
        return self.domain_set_memory_flags(dom, memory, _MAXIMUM)

    def domain_set_memory_flags(self, dom: DomainHandle, memory: int, flags: int) -> tuple[()]:
        """Set the balloon's target, or the largest size, now or for the next start."""
        refusals.check_nonzero(memory, "memory", "virDomainSetMemoryFlags")
        known = LIVE | CONFIG | _MAXIMUM
        refusals.check_flags(flags, known, "qemuDomainSetMemoryFlags")
        guest = self._state.guest(dom)
        live, config = self._state.impact(guest, flags)
        stored = self._state.config(guest)
        if flags & _MAXIMUM:
            if live:
                raise refusals.driver_invalid(
                    "cannot resize the maximum memory on an active domain"
                )
            stored.max_memory_kib = memory
            stored.memory_kib = min(stored.memory_kib, memory)
            if guest.id < 0:
                guest.set_max_memory(memory)
            return ()
        if (live and memory > stored.live_max_memory_kib) or (
            config and memory > stored.max_memory_kib
        ):
            raise errors.invalid_argument("cannot set memory higher than max memory")
        if live:
            guest.set_memory(memory)
            self._state.observer.memory_set(guest.name, memory)
        if config:
            stored.memory_kib = memory
        return ()

    def domain_memory_stats(
        self, dom: DomainHandle, max_stats: int, flags: int
    ) -> tuple[list[tuple[int, int]]]:
        """Return what the guest last reported, and what the host sees of it."""
        refusals.check_flags(flags, 0, "qemuDomainMemoryStats")
        guest = self._state.running(dom)
        statistics = guest.memory.statistics(self._state.host.now_ns)
        stats = [(tag, statistics[name]) for name, tag in MEMORY_TAGS.items() if name in statistics]
        return (stats[: max(max_stats, 0)],)

    def domain_set_memory_stats_period(
        self, dom: DomainHandle, period: int, flags: int
    ) -> tuple[()]:
        """Have the guest report every so many seconds, or no more."""
        function = "virDomainSetMemoryStatsPeriod"
        if period < 0:
            message = f"period in {function} must be zero or greater"
            raise refusals.bad_argument(function, "period", message)
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainSetMemoryStatsPeriod")
        guest = self._state.guest(dom)
        live, stored = self._state.impact(guest, flags)
        config = self._state.config(guest)
        if live:
            guest.set_stats_period(period)
            config.now.stats_period_s = period
        if stored:
            config.stored.stats_period_s = period
        return ()
