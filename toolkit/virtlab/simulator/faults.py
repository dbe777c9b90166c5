"""Faults in virtual time: each begins by an event of the scenario, and may end by itself.

A fault that begins again while it lasts goes on until the later of the two ends; missing
statistics of other names are another fault, and both hide what they name. A lock goes with the
process that holds it.

What a fault does is done elsewhere: a balloon stands still (`balloon`), statistics are not renewed
or not shown (`memory_report`), a blocked guest's lock is held (the driver asks
`SimulatedGuest.blocked`), libvirtd is away and the calendar clock jumps (whoever serves the host is
told).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from virtlab.model.faults import GuestFault, GuestFaultKind, HostFault
from virtlab.model.timeline import EventRecord
from virtlab.model.units import NS_PER_S
from virtlab.simulator.engine import EventHandle, Priority

if TYPE_CHECKING:
    from virtlab.simulator.guest import SimulatedGuest
    from virtlab.simulator.host import SimulatedHost

__all__ = ["Faults"]

_BEGINS: Final[dict[GuestFaultKind, str]] = {
    "balloon-stuck": "its balloon stands still",
    "statistics-stale": "its memory statistics are not renewed any more",
    "statistics-missing": "its memory statistics are missing",
    "blocked": "its lock is held: calls that need it wait",
}
_ENDS: Final[dict[GuestFaultKind, str]] = {
    "balloon-stuck": "its balloon moves again",
    "statistics-stale": "its memory statistics are renewed again",
    "statistics-missing": "its memory statistics are there again",
    "blocked": "its lock is free again",
}


_Key = tuple["SimulatedGuest", GuestFaultKind, tuple[str, ...]]  # with the names that are missing


@dataclass(frozen=True, slots=True)
class _Lasting:
    fault: GuestFault
    end: EventHandle | None  # None: never


class Faults:
    """The faults of one host, those that last and how they end."""

    def __init__(self, host: SimulatedHost) -> None:
        """Take the host on which things break."""
        self._host = host
        self._lasting: dict[_Key, _Lasting] = {}
        self._outage: EventHandle | None = None

    def happen(self, fault: GuestFault | HostFault, now_ns: int) -> None:
        """Let a fault begin."""
        if isinstance(fault, GuestFault):
            guest = self._host.guests.get(fault.guest)
            if guest is not None:
                self._guest(guest, fault, now_ns)
        elif fault.kind == "clock-step":
            self._step(fault.step_ns, now_ns)
        else:
            self._outage_begins(fault.for_ns, now_ns)

    def renew(self, guest: SimulatedGuest) -> None:
        """Let a guest that has another description be as broken as before."""
        for (broken, _, _), lasting in self._lasting.items():
            if broken is guest:
                self._set(guest, lasting.fault, self._host.now_ns, on=True)

    def process_ended(self, guest: SimulatedGuest) -> None:
        """Let go of the lock that a guest's process held."""
        lasting = self._lasting.get((guest, "blocked", ()))
        if lasting is not None:
            self._host.queue.cancel(lasting.end)
            self._guest_ends(guest, lasting.fault, self._host.now_ns)

    def _guest(self, guest: SimulatedGuest, fault: GuestFault, now_ns: int) -> None:
        if fault.kind == "blocked" and guest.id < 0:
            return  # it has no process that could hold a lock
        key = (guest, fault.kind, fault.fields)
        lasting = self._lasting.get(key)
        end = None if lasting is None else lasting.end
        if lasting is not None and end is None:
            return  # it lasts for ever already
        if fault.for_ns is None:
            self._host.queue.cancel(end)
            end = None
        elif end is None or now_ns + fault.for_ns > end.time_ns:
            self._host.queue.cancel(end)
            end = self._host.queue.schedule(
                now_ns + fault.for_ns, Priority.SCENARIO, partial(self._guest_ends, guest, fault)
            )
        self._lasting[key] = _Lasting(fault, end)
        self._set(guest, fault, now_ns, on=True)
        self._tell_of(guest, fault, now_ns, "fault", _BEGINS)

    def _guest_ends(self, guest: SimulatedGuest, fault: GuestFault, now_ns: int) -> None:
        del self._lasting[guest, fault.kind, fault.fields]
        self._set(guest, fault, now_ns, on=False)
        self._tell_of(guest, fault, now_ns, "fault_end", _ENDS)

    def _tell_of(
        self, guest: SimulatedGuest, fault: GuestFault, now_ns: int, what: str,
        words: Mapping[GuestFaultKind, str],
    ) -> None:  # fmt: skip
        named = f": {', '.join(fault.fields)}" if fault.fields else ""
        self._tell(now_ns, what, guest.name, fault.kind, words[fault.kind] + named)

    def _set(self, guest: SimulatedGuest, fault: GuestFault, now_ns: int, *, on: bool) -> None:
        if fault.kind == "balloon-stuck":
            guest.memory.hold_balloon(now_ns, stuck=on)
        elif fault.kind == "statistics-stale":
            guest.memory.report.hold(now_ns, stale=on)
        elif fault.kind == "statistics-missing":
            missing = [
                fields
                for broken, kind, fields in self._lasting
                if broken is guest and kind == fault.kind
            ]
            guest.memory.report.hide(missing)
        elif on:
            end = self._lasting[guest, "blocked", ()].end
            guest.block(None if end is None else end.time_ns)
        else:
            guest.unblock()

    def _step(self, step_ns: int, now_ns: int) -> None:
        for guest in self._host.guests.values():
            guest.memory.report.settle(now_ns)  # what was reported before has the clock of then
        self._host.host_memory.clock_step_ns += step_ns
        if self._host.on_clock_step is not None:
            self._host.on_clock_step(step_ns)
        way = "forwards" if step_ns > 0 else "back"
        detail = f"the calendar clock jumped {abs(step_ns) / NS_PER_S:g} s {way}"
        self._tell(now_ns, "fault", None, "clock-step", detail)

    def _outage_begins(self, for_ns: int, now_ns: int) -> None:
        end_ns = now_ns + for_ns
        lasting = self._outage is not None and self._outage.pending
        if self._outage is not None and lasting:
            end_ns = max(end_ns, self._outage.time_ns)
            self._host.queue.cancel(self._outage)
        self._outage = self._host.queue.schedule(end_ns, Priority.SCENARIO, self._outage_ends)
        self._tell(now_ns, "fault", None, "libvirtd-restart", "libvirtd went down")
        if not lasting and self._host.on_outage is not None:
            self._host.on_outage(True)

    def _outage_ends(self, now_ns: int) -> None:
        self._tell(now_ns, "fault_end", None, "libvirtd-restart", "libvirtd serves again")
        if self._host.on_outage is not None:
            self._host.on_outage(False)

    def _tell(self, now_ns: int, what: str, guest: str | None, kind: str, detail: str) -> None:
        self._host.emit(EventRecord(now_ns, what, guest, f"{kind}: {detail}"))
