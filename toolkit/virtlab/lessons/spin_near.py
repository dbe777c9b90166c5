"""A host of the SPIN lesson and a hostile policy beside it, in one process of their own.

python -m virtlab.lessons.spin_near inside KIND     nothing between them
python -m virtlab.lessons.spin_near guarded KIND    the league's guard between them
"""

from __future__ import annotations

import sys
from typing import Final

from virtlab.league.cpu_run import run_scheduler
from virtlab.league.guard import Guarded, PolicyError
from virtlab.lessons.small_hosts import computes, cpu_guest, small_host
from virtlab.lessons.spin_far import do_worst
from virtlab.model.plan import CpuPlan
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import CpuSnapshot
from virtlab.model.units import NS_PER_S
from virtlab.policies.scheduling.leave_alone import LeaveAlone

__all__ = ["ACTS", "DURATION_S", "host_of"]

ACTS: Final = "acts"  # said right before it does its worst
DURATION_S: Final = 20
_ACTS_AT_S: Final = 3
_DECISION_S: Final = 0.2


class Hostile:
    """Leaves things alone for a while, and then does its worst."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """Return an empty plan, or nothing good."""
        if host.time_ns < _ACTS_AT_S * NS_PER_S:
            return CpuPlan()
        print(ACTS, flush=True)
        do_worst(self._kind)
        return "anything"  # type: ignore[return-value]  # which is nonsense


def host_of(guests: int) -> Scenario:
    """Return a host of so many guests, two for each pCPU."""
    names = [f"g{n:03}" for n in range(guests)]
    pcpus = max(guests // 2, 1)
    return small_host(
        [cpu_guest(name, [n % pcpus]) for n, name in enumerate(names)],
        [computes(name, 0.3) for name in names],
        pcpus=pcpus,
        duration_s=DURATION_S,
    )


def _main(place: str, kind: str) -> None:
    if place == "inside":
        run_scheduler(host_of(8), Hostile(kind))
        return
    try:
        run_scheduler(host_of(8), Guarded(Hostile(kind), decision_s=_DECISION_S))
    except PolicyError:
        run_scheduler(host_of(8), LeaveAlone())


if __name__ == "__main__":
    _main(*sys.argv[1:])
