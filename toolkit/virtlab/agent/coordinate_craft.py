"""The trade of `virtlab coordinate`: seeing memory, and setting balloons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from virtlab.agent.daemon import Step
from virtlab.agent.known_guest import KnownGuest
from virtlab.agent.memory_sense import MemorySense
from virtlab.agent.watch import Watch
from virtlab.model.plan import Resize
from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.units import KIB_PER_MIB

__all__ = ["CoordinateCraft"]

_LIVE = 1  # virDomainModificationImpact
_TRIES = 5  # to set a guest's period; a lock that is held comes free, a driver may never come


@dataclass(slots=True)
class CoordinateCraft(MemorySense):
    """Turns sizes of a plan into calls, for the running guest only: its description stays."""

    period_s: int = 1  # of the guests' statistics, where none is set

    def look(self, watch: Watch) -> MemorySnapshot:
        """Return the snapshot of what was just seen."""
        return self.snapshot(watch.seen_ns, watch.seen_wall_s, watch.guests.values(), watch.host)

    def guest_of(self, action: Resize) -> str:
        """Return the name of a resize's guest."""
        return action.guest

    def step(self, action: Resize, guest: KnownGuest, watch: Watch) -> Step | str | None:
        """Return the change; no guest is taken below its floor."""
        size_kib, floor_kib = action.memory_kib, self.floor_of(guest)
        now_kib = guest.size_kib
        if size_kib < floor_kib:
            if now_kib <= floor_kib:
                return f"it is never taken below {floor_kib // KIB_PER_MIB} MiB"
            size_kib = floor_kib
        before_kib = now_kib if guest.asked_kib is None else guest.asked_kib
        if size_kib == before_kib:
            return None
        return Step(
            name=guest.name,
            guest=guest,
            what="size",
            vcpu=0,
            before=(before_kib,),
            after=(size_kib,),
            procedure="DOMAIN_SET_MEMORY",
            args=(guest.dom, size_kib),
            reason=f"from {now_kib // KIB_PER_MIB} to {size_kib // KIB_PER_MIB} MiB: "
            f"{action.reason or 'as the policy has it'}",
        )

    def begun(self, step: Step) -> None:
        """Count tries to set a period, of which there are not too many."""
        if step.what == "period":
            step.guest.period_tries += 1

    def made(self, step: Step) -> None:
        """Note what was asked of the balloon."""
        if step.what == "size":
            step.guest.asked_kib = step.after[0]
        else:
            step.guest.period_set = True

    def housework(self, guests: Iterable[KnownGuest]) -> Iterable[Step]:
        """Yield the statistics period of guests that report nothing without one."""
        for guest in guests:
            notes = guest.notes
            if guest.period_set or guest.period_tries >= _TRIES or guest.open_questions:
                continue
            if not notes.has_balloon or notes.stats_period_s or self.why_not(guest) is not None:
                continue
            yield Step(
                name=f"statistics period of {guest.name}",
                guest=guest,
                what="period",
                vcpu=0,
                before=(0,),
                after=(self.period_s,),
                procedure="DOMAIN_SET_MEMORY_STATS_PERIOD",
                args=(guest.dom, self.period_s, _LIVE),
                reason=f"every {self.period_s} s, as the guest reports nothing without one",
            )
