"""From the busiest pCPU to the idlest: the course's rule, step by step, by what ran.

Idea: as long as moving some vCPU narrows the gap between the busiest and the idlest pCPU, move the
one that narrows it most; a few moves a tick, then look again.
Formula: load of a pCPU = sum of the run times of its vCPUs; a move of load x across a gap g leaves
|g - 2x|. `moves_max` = 2 takes three rounds for eight equal vCPUs on pCPU 0, as the course's
sample does; six in one round would do.
Cost: one pass over the vCPUs, and one over the busiest pCPU's for each move.
Weak spot: eight vCPUs on a full pCPU run an eighth each, whatever they want: run time alone shows
what they got. It never swaps, so that it halts where each single move makes things worse, and
noise of more than `gap_min` moves vCPUs for ever.
Source: the hand-out and sample output of Georgia Tech's CS 6210, project 1; the step is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.snapshot import CpuSnapshot, VcpuView
from virtlab.policies.parameters import tunable
from virtlab.policies.seats import permitted, seat_of

__all__ = ["Greedy"]


@dataclass(frozen=True, slots=True)
class Greedy:
    """Move vCPUs from the busiest pCPU to the idlest while that narrows the gap."""

    gap_min: float = tunable(
        0.05, unit="share of a pCPU", effect="smallest gap that is worth a move", at_least=0
    )
    moves_max: int = tunable(2, unit="moves a tick", effect="most moves at once", at_least=1)

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return a few moves, each from the busiest pCPU of that moment to the idlest."""
        seats = {v.key: seat_of(v) for v in host.vcpus}
        loads = dict.fromkeys(host.pcpus, 0.0)
        for vcpu in host.vcpus:
            seat = seats[vcpu.key]
            if seat in loads:
                loads[seat] += vcpu.run_share or 0.0
        pins: list[Pin] = []
        while loads and len(pins) < self.moves_max:
            idlest = min(loads, key=lambda pcpu: (loads[pcpu], pcpu))
            busiest = max(loads, key=lambda pcpu: (loads[pcpu], -pcpu))
            gap = loads[busiest] - loads[idlest]
            movable = [
                v
                for v in host.vcpus
                if seats[v.key] == busiest
                and v.movable
                and 0.0 < (v.run_share or 0.0) < gap
                and idlest in permitted(v, host)
            ]
            if gap < self.gap_min or not movable:
                break
            # The order of keys settles ties.
            best = min(movable, key=lambda v: (abs(gap - 2 * _load(v)), v.key))
            reason = f"pCPU {busiest} ran {loads[busiest]:.2f}, pCPU {idlest} {loads[idlest]:.2f}"
            pins.append(Pin(best.key, frozenset({idlest}), reason))
            seats[best.key] = idlest
            loads[busiest] -= _load(best)
            loads[idlest] += _load(best)
        spread = max(loads.values(), default=0.0) - min(loads.values(), default=0.0)
        return CpuPlan(tuple(pins), f"gap of {spread:.2f} left" if pins else "no move narrows it")


def _load(vcpu: VcpuView) -> float:
    return vcpu.run_share or 0.0
