"""The trade of `virtlab schedule`: seeing vCPUs, and pinning them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from virtlab.agent.cpu_sense import CpuSense
from virtlab.agent.daemon import Step
from virtlab.agent.known_guest import KnownGuest, map_of
from virtlab.agent.watch import Watch
from virtlab.model.plan import Pin
from virtlab.model.snapshot import CpuSnapshot

__all__ = ["ScheduleCraft"]


@dataclass(slots=True)
class ScheduleCraft(CpuSense):
    """Turns pins of a plan into calls, for the running guest only: its description stays."""

    def look(self, watch: Watch) -> CpuSnapshot:
        """Return the snapshot of what was just seen."""
        return self.snapshot(watch.seen_ns, watch.guests.values(), watch.host)

    def guest_of(self, action: Pin) -> str:
        """Return the name of a pin's guest."""
        return action.vcpu.guest

    def step(self, action: Pin, guest: KnownGuest, watch: Watch) -> Step | str | None:
        """Return the change; what an administrator does not permit is not done."""
        number, before = action.vcpu.number, guest.pins[action.vcpu.number]
        if action.pcpus == before:
            return None
        allowed = self.allowed(guest, number, watch.host)
        if allowed is not None and not action.pcpus <= allowed:
            return f"it may only run on {_pcpus(allowed) if allowed else 'no pCPU'}"
        return Step(
            name=str(action.vcpu),
            guest=guest,
            what="pin",
            vcpu=number,
            before=tuple(sorted(before)),
            after=tuple(sorted(action.pcpus)),
            procedure="DOMAIN_PIN_VCPU",
            args=(guest.dom, number, map_of(action.pcpus, watch.host.pcpus)),
            reason=f"bound to {_pcpus(action.pcpus)}: {action.reason or 'as the policy has it'}",
        )

    def begun(self, step: Step) -> None:
        """Expect to see the new affinity, even where no answer comes."""
        step.guest.unsure[step.vcpu] = frozenset(step.after)

    def made(self, step: Step) -> None:
        """Note where the vCPU may run now."""
        step.guest.pins[step.vcpu] = frozenset(step.after)

    def housework(self, guests: Iterable[KnownGuest]) -> Iterable[Step]:
        """Nothing has to be set to see vCPUs."""
        return ()


def _pcpus(mask: frozenset[int]) -> str:
    numbers = ", ".join(map(str, sorted(mask)))
    return f"pCPU {numbers}" if len(mask) == 1 else f"pCPUs {numbers}"
