"""Xen's self-ballooning, seen from the host: every guest gets what it has committed, and a reserve.

Idea: a guest that knows what it has promised to its processes needs no more than that. It grows to
it at once, and shrinks towards it by an eighth of the way each time, down to a floor that rises
with its size.
Formula: goal = committed + reserve + headroom; above it, size' = size - (size - goal) / 8; below
it, size' = goal. Floor, in MiB above the reserve, of what is useful u = maximum - reserve:
    u < 16: never shrink;  u < 64: 16 + (u - 16)/2;  u < 512: 40 + (u - 40)/8;  99 + (u - 99)/32
Cost: one pass over the guests each 5 s.
Weak spot: guests know nothing of one another or of the host, so memory that nobody needs is free
and memory that somebody lacks may be, too; and each relies on its own swap while it is wrong.
Source: Linux, drivers/xen/xen-selfballoon.c, restated, without its part for frontswap.
It runs in the guest and reads Committed_AS, which libvirt does not show. Here available less usable
memory stands for it, which is another quantity: memory in use rather than memory promised. Nor can
the kernel's reserve be read: it is a parameter. Growth takes no more than the host can spare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from virtlab.model.plan import MemoryPlan, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib
from virtlab.policies.parameters import tunable

__all__ = ["Selfballoon", "floor_kib", "target_kib"]

_PAGE_KIB = 4


def target_kib(size_kib: int, goal_kib: int, *, down: int = 8, up: int = 1) -> int:
    """Return the next size on the way to a goal, in whole pages."""
    size, goal = size_kib // _PAGE_KIB, goal_kib // _PAGE_KIB
    next_ = size - (size - goal) // down if size > goal else size + (goal - size) // up
    return next_ * _PAGE_KIB


def floor_kib(most_kib: int, reserve_kib: int) -> int:
    """Return the size below which a guest of such a maximum never shrinks itself."""
    useful_kib = most_kib - reserve_kib
    if useful_kib < mib(16):
        return most_kib
    base_mib, part = 99, 32
    if useful_kib < mib(64):
        base_mib, part = 16, 2
    elif useful_kib < mib(512):
        base_mib, part = 40, 8
    return reserve_kib + mib(base_mib) + (useful_kib - mib(base_mib)) // part


@dataclass(slots=True)
class Selfballoon:
    """Let every guest follow what it uses, each for itself."""

    period_s: float = tunable(5.0, unit="s", effect="time between looks of a guest", at_least=0)
    down: int = tunable(8, unit="rounds", effect="how slowly a guest shrinks", at_least=1)
    up: int = tunable(1, unit="rounds", effect="how slowly it grows", at_least=1)
    reserve_mib: int = tunable(
        8, unit="MiB", effect="what a guest's kernel keeps for itself", at_least=0
    )
    headroom: float = tunable(
        0.10, unit="share of a guest's maximum", effect="added to every goal, as late kernels do",
        at_least=0, at_most=1,
    )  # fmt: skip
    _due_ns: dict[str, int] = field(default_factory=dict)  # when each looks next

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Return the sizes that the guests whose time it is would set."""
        due, self._due_ns = self._due_ns, {}
        period_ns = round(self.period_s * NS_PER_S)
        guests = []
        for guest in host.guests:
            # The first look is put off by a period.
            at_ns = None if guest.fresh else due.get(guest.guest)
            at_ns = host.time_ns + period_ns if at_ns is None else at_ns
            if host.time_ns >= at_ns:
                guests.append(guest)
                at_ns = host.time_ns + period_ns
            self._due_ns[guest.guest] = at_ns
        actions = tuple(self._resizes(host, guests))
        return MemoryPlan(actions, because=f"{len(guests)} of {len(host.guests)} guests look")

    def _resizes(self, host: MemorySnapshot, guests: list[GuestMemory]) -> Iterator[Resize]:
        spare_kib = host.spare_kib
        for guest in guests:
            size_kib = self._wanted_kib(guest)
            if size_kib is None:
                continue
            more_kib = size_kib - max(guest.actual_kib, guest.asked_kib)
            if more_kib > spare_kib:
                size_kib -= more_kib - max(spare_kib, 0)
                more_kib = max(spare_kib, 0)
            spare_kib -= max(more_kib, 0)
            if size_kib != guest.asked_kib:
                used_kib = (guest.available_kib or 0) - (guest.usable_kib or 0)
                yield Resize(guest.guest, size_kib, f"uses {used_kib // KIB_PER_MIB} MiB")

    def _wanted_kib(self, guest: GuestMemory) -> int | None:
        """Return the size that a guest would give itself; None where that cannot be told."""
        owned_kib, usable_kib = guest.available_kib, guest.usable_kib
        if owned_kib is None or usable_kib is None or not (guest.has_balloon and guest.movable):
            return None
        reserve_kib = mib(self.reserve_mib)
        goal_kib = owned_kib - usable_kib + reserve_kib + int(self.headroom * guest.max_kib)
        size_kib = target_kib(owned_kib, goal_kib, down=self.down, up=self.up)
        size_kib = max(size_kib, floor_kib(guest.max_kib, reserve_kib))
        # The balloon counts what the kernel keeps, too.
        size_kib += guest.actual_kib - owned_kib
        return min(max(size_kib, guest.floor_kib), guest.max_kib)
