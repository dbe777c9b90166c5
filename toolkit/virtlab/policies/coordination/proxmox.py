"""Proxmox VE's auto-ballooning: keep the host at four fifths, and share the difference out.

Idea: what the host is below or above its target is the goal of a round. It is given to, or taken
from, the guests in proportion to their shares, above their minima; guests that are short get first,
guests that are comfortable give first, and the others only if nothing moved.
Formula: goal = target x total - used. A guest's desired size is
    minimum + (sum of (size - minimum) + goal) x its shares / sum of shares,
within its bounds and a step of its present size, again while some of the goal is left and moves.
Comfortable: unused > a quarter of the minimum, and at the minimum at least.
Cost: a few passes over the guests a round.
Weak spot: at its target nothing moves at all: a guest that lacks memory starves beside one that
leaves gigabytes idle. A step of 100 MiB in 10 s is a ninetieth of what a balloon can do.
Source: compute_alg1 of Proxmox VE's pve-manager (PVE::AutoBalloon) and its published test,
balloontest.pl, restated. A round only ever moves one way, which is our reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from virtlab.model.plan import MemoryPlan, Resize
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib
from virtlab.policies.parameters import tunable

__all__ = ["Balloon", "Proxmox", "round_of"]


@dataclass(frozen=True, slots=True)
class Balloon:
    """A guest as a round sees it; sizes are whole numbers of any unit."""

    name: str
    size: int
    least: int
    most: int
    shares: int
    unused: int

    @property
    def comfortable(self) -> bool:
        """Tell whether it has unused memory enough to be asked first, and to be given last."""
        return self.unused > 0.25 * self.least and self.size >= self.least


def round_of(guests: Sequence[Balloon], goal: int, step: int) -> dict[str, int]:
    """Return the sizes after one round, by name, of the guests that it changes.

    Args:
        guests: those that take part.
        goal: what is to be given to them; negative: taken from them.
        step: most that one guest's size may change.
    """
    sizes = {guest.name: guest.size for guest in guests}
    first: Callable[[Balloon], bool] = lambda guest: guest.comfortable == (goal < 0)  # noqa: E731
    left = _share_out(sizes, [guest for guest in guests if first(guest)], goal, step)
    if left == goal:
        _share_out(sizes, guests, goal, step)
    return {guest.name: sizes[guest.name] for guest in guests if sizes[guest.name] != guest.size}


def _share_out(sizes: dict[str, int], guests: Sequence[Balloon], goal: int, step: int) -> int:
    """Move sizes towards shares of the goal; return what is left of it."""
    left, moved = goal, True
    shares = sum(guest.shares for guest in guests)
    while left and moved:
        moved = False
        above = sum(sizes[guest.name] - guest.least for guest in guests) + left
        for guest in guests:
            desired = guest.least + int(above / shares * guest.shares)
            desired = min(max(desired, guest.least), guest.most)
            desired = min(max(desired, guest.size - step), guest.size + step)
            change = desired - sizes[guest.name]
            if change * goal > 0:
                sizes[guest.name] += change
                left -= change
                moved = True
    return left


@dataclass(slots=True)
class Proxmox:
    """Keep the host's use at a target."""

    target: float = tunable(
        0.80, unit="share of the host", effect="used memory that is aimed at", at_least=0, at_most=1
    )
    step_mib: int = tunable(100, unit="MiB", effect="most that a round moves of one guest")
    slack_mib: int = tunable(10, unit="MiB", effect="a goal up to this is left alone")
    round_s: float = tunable(10.0, unit="s", effect="time between rounds", at_least=0)
    _acted_ns: int | None = None

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """Return a round's changes where one is due."""
        if self._acted_ns is not None and (
            host.time_ns - self._acted_ns < round(self.round_s * NS_PER_S)
        ):
            return MemoryPlan(because="the next round is not due")
        self._acted_ns = host.time_ns
        used_kib = host.host_total_kib - host.host_free_kib
        goal_kib = int(host.host_total_kib * self.target) - used_kib
        because = f"the host is {abs(goal_kib) // KIB_PER_MIB} MiB " + (
            "below" if goal_kib >= 0 else "above"
        )
        because += " its target"
        if abs(goal_kib) <= mib(self.slack_mib):
            return MemoryPlan(because=because)
        guests = [balloon for one in host.guests if (balloon := _balloon(one)) is not None]
        sizes = round_of(guests, goal_kib, mib(self.step_mib))
        return MemoryPlan(
            tuple(Resize(name, size, because) for name, size in sizes.items()), because=because
        )


def _balloon(guest: GuestMemory) -> Balloon | None:
    """Return a guest as a round sees it; None for one that takes no part."""
    if guest.unused_kib is None or not (guest.has_balloon and guest.movable):
        return None
    if not guest.floor_kib or not guest.shares:
        return None  # without a minimum, or with shares of 0, it is left alone
    return Balloon(
        guest.guest, guest.actual_kib, guest.floor_kib, guest.max_kib, guest.shares,
        guest.unused_kib,
    )  # fmt: skip
