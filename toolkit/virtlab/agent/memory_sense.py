"""What a coordinator wants to know of a host, and the snapshot that comes of it.

The host learns a balloon's size by events, which come once a second at most; a guest's report says
what memory the guest has at its own moment. While a balloon moves these are not of one moment, and
what is in use would be off by as far as the balloon went. So a report that is new says how large
the guest is, too: its available memory, and what its kernel keeps for itself, which is seen while
the balloon stands still.

A guest that is paused, or whose lock is held, is shown all the same, and left alone: what it was
promised is not there to be given to others. While its lock is held, the host tells nothing of what
it holds; then the last figure counts.

A host's cache is memory that it can give, but for that of guests whose memory is shared with other
programs, which Linux counts as cache. What else is shared (tmpfs, databases) libvirt does not tell.

A report's age is counted on a clock that never goes back, from the moment at which its date was
seen to change: the date itself is of the calendar's clock, which may jump.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from virtlab.agent.guest_notes import notes_of
from virtlab.agent.known_guest import KnownGuest
from virtlab.agent.watch import HostFacts, Question
from virtlab.libvirt_rpc.client import Answer
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import NS_PER_S

__all__ = ["MemorySense"]

_STATE, _BALLOON = 1, 4  # virDomainStatsTypes
_TOO_OLD_NS: Final = 3600 * NS_PER_S  # the age of a report whose date makes no sense


@dataclass(slots=True)
class MemorySense:
    """Asks for what `MemorySnapshot` needs."""

    reserve_kib: int
    floor_kib: int
    count_caches: bool  # of the host, as memory that it can give
    groups: int = _STATE | _BALLOON
    wants_memory: bool = True
    _last_ns: int | None = None

    def questions(self, guest: KnownGuest, host: HostFacts) -> Iterable[Question]:
        """Return what to ask: its description, once."""
        if guest.stale:

            def took(answer: Answer) -> None:
                if answer.error is None:
                    guest.notes, guest.described = notes_of(answer.results.xml), True
                else:
                    guest.stale = True  # to be asked again

            yield "DOMAIN_GET_XML_DESC", (guest.dom, 0), took

    def host_questions(self, host: HostFacts) -> Iterable[Question]:
        """Return nothing: its memory is asked for as `wants_memory` says."""
        return ()

    def snapshot(
        self, time_ns: int, wall_s: float, guests: Iterable[KnownGuest], host: HostFacts
    ) -> MemorySnapshot:
        """Return what is to be seen now."""
        interval_ns = 0 if self._last_ns is None else time_ns - self._last_ns
        self._last_ns = time_ns
        memory = host.memory
        free_kib = memory.get("free", 0)
        shown = [guest for guest in guests if "balloon.current" in guest.figures]
        if self.count_caches:
            cached_kib = memory.get("cached", 0) - sum(map(_shared_kib, shown))
            free_kib += memory.get("buffers", 0) + max(cached_kib, 0)
        for guest in shown:
            before = guest.report
            _date_report(guest, time_ns, wall_s, interval_ns)
            _size_up(guest, new=guest.report is not None and guest.report != before)
        return MemorySnapshot(
            time_ns=time_ns,
            interval_ns=interval_ns,
            host_total_kib=memory.get("total", host.memory_kib),
            host_free_kib=free_kib,
            guests=tuple(
                self._view(guest, time_ns) for guest in sorted(shown, key=lambda g: g.name)
            ),
            host_reserve_kib=self.reserve_kib,
        )

    def why_not(self, guest: KnownGuest) -> str | None:
        """Return why a guest's balloon is left alone, or None."""
        if not guest.notes.coordinate:
            return "its metadata says so"
        if guest.migrating:
            return "a job such as a migration runs on it"
        if guest.open_questions:
            return "libvirtd has not answered what was asked about it"
        if not guest.runs:
            return "it does not run"
        if guest.stale:
            return "what is noted of it has to be read again"
        return guest.hands_off

    def floor_of(self, guest: KnownGuest) -> int:
        """Return the size in KiB below which a guest is never taken."""
        floor_kib = max(self.floor_kib, guest.notes.floor_kib)
        return min(floor_kib, guest.figures.get("balloon.maximum", floor_kib))

    def _view(self, guest: KnownGuest, time_ns: int) -> GuestMemory:
        figures = guest.figures
        return GuestMemory(
            guest=guest.name,
            actual_kib=guest.size_kib,
            max_kib=figures.get("balloon.maximum", figures["balloon.current"]),
            target_kib=guest.asked_kib,
            floor_kib=self.floor_of(guest),
            shares=guest.notes.shares,
            fresh=guest.fresh,
            has_balloon=guest.notes.has_balloon,
            movable=self.why_not(guest) is None,
            rss_kib=guest.rss_kib,
            report_age_ns=None if guest.report is None else time_ns - guest.report[1],
            unused_kib=figures.get("balloon.unused"),
            usable_kib=figures.get("balloon.usable"),
            available_kib=figures.get("balloon.available"),
            swap_in_kib=figures.get("balloon.swap_in"),
            swap_out_kib=figures.get("balloon.swap_out"),
            major_faults=figures.get("balloon.major_fault"),
        )


def _shared_kib(guest: KnownGuest) -> int:
    """Return what of a guest's memory the host counts as cache, though nobody can drop it."""
    if guest.described and not guest.notes.shared_memory:
        return 0
    return guest.figures["balloon.current"] if guest.rss_kib is None else guest.rss_kib


def _size_up(guest: KnownGuest, *, new: bool) -> None:
    """Note how large a guest is, by whatever told it last."""
    shown_kib = guest.figures["balloon.current"]
    available_kib = guest.figures.get("balloon.available")
    if shown_kib != guest.shown_kib:
        guest.size_kib = shown_kib
    guest.shown_kib = shown_kib
    # What a balloon that deflates by itself holds, the guest goes on to report as available.
    if not new or available_kib is None or guest.notes.deflates:
        return
    if guest.kernel_kib is not None:
        guest.size_kib = min(available_kib + guest.kernel_kib, guest.figures["balloon.maximum"])
    if guest.still == (shown_kib, available_kib) and shown_kib >= available_kib:
        guest.kernel_kib = shown_kib - available_kib
        guest.size_kib = shown_kib
    guest.still = (shown_kib, available_kib)


def _date_report(guest: KnownGuest, time_ns: int, wall_s: float, interval_ns: int) -> None:
    """Note when a guest's last report was made, as well as can be told."""
    date_s = guest.figures.get("balloon.last-update", 0)
    if not date_s:
        guest.report = None
        return
    if guest.report is not None and guest.report[0] == date_s:
        return
    age_ns = round((wall_s - date_s) * NS_PER_S)
    if guest.report is None:
        age_ns = age_ns if age_ns >= 0 else _TOO_OLD_NS
    else:  # it is new since the last look; its date is a whole second, rounded down
        age_ns = min(max(age_ns, 0), interval_ns + NS_PER_S)
    guest.report = (date_s, time_ns - age_ns)
