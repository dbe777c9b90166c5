"""ESX's shares with an idle memory tax: idle pages cost more, and go to whoever pays most.

Idea: guests pay for memory with shares. Who pays least for a page gives one up when the host needs
it, or when another guest would still pay more afterwards. Idle pages are taxed, so that a guest
which leaves memory unused pays less for each page than one of the same shares that uses all.
Formula: price = S / (A + k (P - A)), k = 1 / (1 - tax), with S shares and P pages of which A are
active. Small steps lead to P = A + (S/l - A)/k for one price l, or S/l where that is below A.
Below `soft` of the host's memory free, steps are taken from the cheapest until `high` is free.
Cost: a heap operation for each step that moves; a look at all guests a snapshot.
Weak spot: it hands out all memory, to idle guests too; and with few shares, pages in use are taken.
Source: Waldspurger, Memory Resource Management in VMware ESX Server (OSDI '02), sections 5.2, 5.3
and 6: formula, default tax and the thresholds of free memory. Its algorithm samples which pages are
touched, which nobody can from outside: here what a guest could not do without counts as active.
The weights of its averages are not published: ours are a choice, as are step and period.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from virtlab.model.plan import MemoryPlan, Rejected, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib
from virtlab.policies.coordination.esx_funding import Client, allotted, price
from virtlab.policies.parameters import tunable

__all__ = ["Esx"]


@dataclass(slots=True)
class Esx:
    """Move memory from whoever pays least for it."""

    tax: float = tunable(
        0.75, unit="share", effect="how much of idle memory may be taken; 0 is shares alone",
        at_least=0, at_most=0.99,
    )  # fmt: skip
    high: float = tunable(
        0.06, unit="share of the host", effect="free memory that is aimed at", at_least=0, at_most=1
    )
    soft: float = tunable(
        0.04, unit="share of the host", effect="free memory below which it is taken back",
        at_least=0, at_most=1,
    )  # fmt: skip
    step_mib: int = tunable(16, unit="MiB", effect="what moves at once", at_least=1)
    period_s: float = tunable(
        30.0, unit="s", effect="time between looks at what is active", at_least=0
    )
    forget: float = tunable(
        0.25, unit="share", effect="how fast memory that was active counts as idle", at_least=0,
        at_most=1,
    )  # fmt: skip
    _active: dict[str, float] = field(default_factory=dict)  # KiB, quick up and slow down
    _wanted: dict[str, int] = field(default_factory=dict)  # KiB
    _counted_ns: int | None = None
    _reclaiming: bool = False

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Work sizes out anew where it is time, and ask for what there is room for."""
        guests = {
            one.guest: one
            for one in host.guests
            if one.has_balloon and one.movable and _firm_kib(one) is not None
        }
        crossed = self._cross(host)
        due = self._counted_ns is None or (
            host.time_ns - self._counted_ns >= round(self.period_s * NS_PER_S)
        )
        others = guests.keys() != self._wanted.keys() or any(one.fresh for one in guests.values())
        if due or crossed or others:
            self._count(host, guests, anew=due)
        rejected = tuple(
            Rejected(f"resize {one.guest}", "it cannot be told what is active in it")
            for one in host.guests
            if one.guest not in guests
        )
        because = f"{self._room_kib(host) // KIB_PER_MIB} MiB free beyond what is aimed at"
        return MemoryPlan(self._actions(host, guests), because=because, rejected=rejected)

    def _cross(self, host: MemorySnapshot) -> bool:
        """Note whether memory has to be taken back; tell whether that has changed."""
        free_kib = host.spare_kib + host.host_reserve_kib
        limit = self.high if self._reclaiming else self.soft
        least_kib = max(limit * host.host_total_kib, host.host_reserve_kib)
        before, self._reclaiming = self._reclaiming, free_kib < least_kib
        return before != self._reclaiming

    def _room_kib(self, host: MemorySnapshot) -> int:
        aimed_kib = max(int(self.high * host.host_total_kib), host.host_reserve_kib)
        return host.spare_kib + host.host_reserve_kib - aimed_kib

    def _count(self, host: MemorySnapshot, guests: dict[str, GuestMemory], *, anew: bool) -> None:
        """Estimate what is active, and work out what each guest should have."""
        before = self._active
        self._active = {}
        for name, guest in guests.items():
            now_kib = float(_firm_kib(guest) or 0)
            slow_kib = now_kib if guest.fresh else before.get(name, now_kib)
            if anew:
                slow_kib += self.forget * (now_kib - slow_kib)
            self._active[name] = max(now_kib, slow_kib)
        sizes = {name: guest.asked_kib for name, guest in guests.items()}
        room_kib = self._room_kib(host)
        if room_kib < 0 and not self._reclaiming:
            room_kib = 0  # between the thresholds nothing is taken back
        self._wanted = allotted(
            [self._client(guest) for guest in guests.values()],
            sizes,
            room_kib,
            mib(self.step_mib),
            self.tax,
        )
        if anew:
            self._counted_ns = host.time_ns

    def _client(self, guest: GuestMemory) -> Client:
        active_kib = self._active[guest.guest]
        shares = max(guest.shares, 1)
        return Client(guest.guest, shares, active_kib, guest.floor_kib, guest.max_kib)

    def _actions(self, host: MemorySnapshot, guests: dict[str, GuestMemory]) -> tuple[Resize, ...]:
        """Lower at once, and raise as far as there is room now; the rest waits."""
        lower, raise_ = [], []
        room_kib = self._room_kib(host)
        for name, wanted_kib in self._wanted.items():
            guest = guests[name]
            pays = price(self._client(guest), wanted_kib, self.tax) * KIB_PER_MIB
            reason = f"pays {pays:.2f} shares a MiB at this size"
            if wanted_kib < guest.asked_kib:
                lower.append(Resize(name, wanted_kib, reason))
            elif wanted_kib - guest.asked_kib <= room_kib and wanted_kib != guest.asked_kib:
                room_kib -= wanted_kib - guest.asked_kib
                raise_.append(Resize(name, wanted_kib, reason))
        return (*lower, *raise_)


def _firm_kib(guest: GuestMemory) -> int | None:
    """Return what a guest could not do without; None where it is not known."""
    spare_kib = guest.unused_kib if guest.usable_kib is None else guest.usable_kib
    return None if spare_kib is None else max(guest.actual_kib - spare_kib, 0)
