"""What libvirt shows of a guest's memory, which is seldom the truth of this moment.

- `actual` is read from QEMU and is live; so is rss.
- The guest's own figures (unused, usable, available, faults, caches) come with its report. Until a
  statistics period is set that is the report of its boot, for ever, or on some hosts none at all.
  Setting a period renews it at once, and then each so many seconds.
- virDomainGetInfo and balloon.current follow the balloon's events. QEMU sends at most one a second
  (its event throttle), so that the last one of a move comes up to a second late.
- A paused guest renews nothing. Its ticks are those of QEMU's virtual clock, which stands still
  meanwhile (QEMU, hw/virtio/virtio-balloon.c).
- A guest whose driver hangs renews nothing, and one whose driver lacks figures does not show them:
  QEMU then has -1 for them, which libvirt leaves out.

Renewals change nothing else, so they are no events: the report of the latest tick is worked out
when somebody looks, or just before the guest's rates change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from virtlab.model.scenario import GuestSpec
from virtlab.model.units import NS_PER_S
from virtlab.simulator.engine import EventHandle, EventQueue, Priority
from virtlab.simulator.memory_sizes import MemoryFigures

__all__ = ["MemoryReport"]

_BALLOON_EVENT_NS = NS_PER_S


class MemoryReport:
    """The report of one guest, and the size that its balloon's events told of."""

    def __init__(
        self,
        spec: GuestSpec,
        before_period: Literal["boot", "missing"],
        queue: EventQueue,
        figures: Callable[[int], MemoryFigures],
        on_balloon: Callable[[], None],
        calendar_s: Callable[[int], int],
    ) -> None:
        """Take how the truth and the calendar are read, and who is told of a balloon event."""
        self.info_kib = spec.memory_kib
        self._before_period = before_period
        self._queue = queue
        self._figures = figures
        self._on_balloon = on_balloon
        self._calendar_s = calendar_s
        self._stale = False
        self._paused_ns: int | None = None  # since when the guest stands still
        self._hidden: tuple[tuple[str, ...], ...] = ()  # by each fault; of no name: all it reports
        self._period_ns = 0
        self._period_set_ns = 0
        self._reported_ns = 0
        self._reported_s = 0  # by the calendar
        self._report: MemoryFigures | None = None
        self._balloon_event: EventHandle | None = None

    def boot(self, now_ns: int) -> None:
        """Take the report that a guest gives when its balloon driver starts."""
        self._period_ns = 0
        self._reported_ns = now_ns
        self._reported_s = self._calendar_s(now_ns)
        self._report = self._figures(now_ns) if self._before_period == "boot" else None
        self.info_kib = self._figures(now_ns).actual_kib

    def power_off(self) -> None:
        """Forget about balloon events that are still to come."""
        self._queue.cancel(self._balloon_event)
        self._balloon_event = self._paused_ns = None

    def pause(self, now_ns: int) -> None:
        """Renew nothing while the guest stands still."""
        self.settle(now_ns)
        self._paused_ns = now_ns

    def resume(self, now_ns: int) -> None:
        """Renew at ticks again, which come later by what has passed."""
        if self._paused_ns is None:
            return
        stood_ns = now_ns - max(self._paused_ns, self._period_set_ns)
        self._paused_ns = None
        self._period_set_ns += stood_ns
        self._reported_ns += stood_ns

    def set_period(self, now_ns: int, seconds: int) -> None:
        """Renew the report now and then each so many seconds; 0 keeps the last one for ever."""
        self.settle(now_ns)
        self._period_ns = seconds * NS_PER_S
        self._period_set_ns = now_ns
        if self._paused_ns is not None:
            self._reported_ns = now_ns - 1  # it is due as soon as the guest goes on
        elif seconds and not self._stale:
            self._renew(now_ns)

    def settle(self, now_ns: int) -> None:
        """Work out the report of the latest tick up to now, while the guest's lines still hold."""
        if self._period_ns and not self._stale and self._paused_ns is None:
            since_ns = now_ns - self._period_set_ns
            tick_ns = self._period_set_ns + since_ns // self._period_ns * self._period_ns
            if tick_ns > self._reported_ns:
                self._renew(tick_ns)

    def statistics(self, now_ns: int) -> dict[str, int]:
        """Return what virDomainMemoryStats shows, by the names of libvirt's tags."""
        self.settle(now_ns)
        live = self._figures(now_ns)
        shown = {"actual": live.actual_kib, "rss": live.rss_kib}
        report = self._report if () not in self._hidden else None
        shown["last_update"] = self._reported_s if report else 0
        if report is not None:
            shown |= {
                "swap_in": report.swap_in_kib,
                "swap_out": report.swap_out_kib,
                "major_fault": report.major_faults,
                "minor_fault": report.minor_faults,
                "unused": report.unused_kib,
                "available": report.available_kib,
                "usable": report.usable_kib,
                "disk_caches": report.cache_kib,
                "hugetlb_pgalloc": 0,
                "hugetlb_pgfail": 0,
            }
        for names in self._hidden:
            for name in names:
                shown.pop(name, None)
        return shown

    @property
    def period_s(self) -> int:
        """Return the period that is set; 0 where there is none."""
        return self._period_ns // NS_PER_S

    def stamp(self, now_ns: int) -> object:
        """Return a value that is the same as long as the report and what is shown of it are."""
        self.settle(now_ns)
        return (self.info_kib, self._hidden, self._reported_s, self._report)

    def hold(self, now_ns: int, *, stale: bool) -> None:
        """Renew nothing from now on, or again at each tick that comes."""
        self.settle(now_ns)
        if self._stale and self._period_ns:
            until_ns = now_ns if self._paused_ns is None else self._paused_ns
            missed = max(until_ns - self._period_set_ns, 0) // self._period_ns
            self._reported_ns = max(
                self._reported_ns, self._period_set_ns + missed * self._period_ns
            )
        self._stale = stale

    def hide(self, missing: Sequence[tuple[str, ...]]) -> None:
        """Leave out what each of some faults names; one that names nothing hides all reports."""
        self._hidden = tuple(missing)

    def balloon(self, now_ns: int, *, moving: bool) -> None:
        """Send events while the balloon moves, and one for where it came to rest."""
        if self._balloon_event is None and (
            moving or self._figures(now_ns).actual_kib != self.info_kib
        ):
            self._balloon_event = self._queue.schedule(
                now_ns + _BALLOON_EVENT_NS, Priority.MEMORY, self._send
            )

    def _renew(self, at_ns: int) -> None:
        self._report = self._figures(at_ns)
        self._reported_ns = at_ns
        self._reported_s = self._calendar_s(at_ns)

    def _send(self, now_ns: int) -> None:
        self._balloon_event = None
        actual_kib = self._figures(now_ns).actual_kib
        moved = actual_kib != self.info_kib
        self.info_kib = actual_kib
        if moved:
            self._on_balloon()
            # It may still be on its way; where it is not, nothing will have changed.
            self._balloon_event = self._queue.schedule(
                now_ns + _BALLOON_EVENT_NS, Priority.MEMORY, self._send
            )
