"""How quotas limit what vCPUs run: the bandwidth control of Linux's fair scheduler.

A group of threads with a quota of q in each period runs until q is used up, and is throttled until
the next period; the thread waits on its run queue meanwhile, and its delay counts that. While it is
not throttled it shares the pCPU as without a quota. Under `cpu_law` the time in which it is there
and the time in which it is not add up to the law of a loop with a smaller duty: with the others as
they are, a loop spends s in the queue or running for each unit that it runs, and

    run = rho / (1 + rho s),      so that a quota of c is kept by      rho' = c / (1 - c s).

s depends on the others only, and follows from what the law gives (s = 1 + wait / run). With several
quotas on one pCPU each changes the s of the others; the steps are repeated until nothing changes
any more. What a limited loop does not run it waits for: wait = 1 - run / d, so that a demand can be
read back exactly, throttled or not. A pool is the quota of a whole guest: all its vCPUs are
throttled at the same time, so that each keeps the same part of what it would run beside the others
of its guest. (That others meet them together or not at all is not followed.)

Measured on Linux (docs/explanation/linux.md): a quota of 50 % holds a busy loop at 0.500, and shows
the other 0.500 as delay. Good for loops whose period is short against the quota's (100 ms unless it
is set); those with longer work get less than their quota, as what they leave in one period is lost.
Loops that are served in turn (`queue_law`) share by `cpu_law` beside one that is throttled.

Source: the kernel's sched-bwc document; the algebra is this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from virtlab.simulator.cpu_law import Shares

if TYPE_CHECKING:
    from virtlab.simulator.pcpu import Pcpu
    from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["Pool", "share_within_quotas"]

_ROUNDS: Final = 100
_SETTLED: Final = 1e-12  # change of all duties in a round, from which on they stay


@dataclass(slots=True)
class Pool:
    """A quota that the vCPUs of one guest have together, in pCPUs."""

    quota: float
    vcpus: list[SimulatedVcpu] = field(default_factory=list)


def share_within_quotas(pcpus: Sequence[Pcpu]) -> None:
    """Work out the laws of pCPUs on which some vCPUs have quotas.

    All pCPUs on which vCPUs of one pool sit are among them.
    """
    for pcpu in pcpus:
        pcpu.apply_law(stopped=False)
        pcpu.take_shares(pcpu.law)
    if not _exceeded(pcpus):
        return
    duties = [[vcpu.demand for vcpu in pcpu.residents] for pcpu in pcpus]
    for _ in range(_ROUNDS):
        laws = [pcpu.shared(own) for pcpu, own in zip(pcpus, duties, strict=True)]
        before, duties = duties, _limited(pcpus, duties, laws)
        change = max(
            abs(a - b)
            for old, new in zip(before, duties, strict=True)
            for a, b in zip(old, new, strict=True)
        )
        if change <= _SETTLED:
            break
    for pcpu, own, law in zip(pcpus, duties, laws, strict=True):
        shares = []
        for vcpu, duty, (run, wait) in zip(pcpu.residents, own, law, strict=True):
            limited = duty < vcpu.demand
            kept = min(run, vcpu.quota)
            shares.append((kept, 1.0 - kept / vcpu.demand) if limited else (run, wait))
        pcpu.take_shares(tuple(shares))


def _exceeded(pcpus: Sequence[Pcpu]) -> bool:
    """Tell whether some vCPU or pool would run more than its quota."""
    used: dict[int, tuple[Pool, float]] = {}
    for pcpu in pcpus:
        for vcpu, (run, _) in zip(pcpu.residents, pcpu.law, strict=True):
            if run > vcpu.quota:
                return True
            if vcpu.pool is not None:
                _, so_far = used.get(id(vcpu.pool), (vcpu.pool, 0.0))
                used[id(vcpu.pool)] = (vcpu.pool, so_far + run)
    return any(run > pool.quota for pool, run in used.values())


def _limited(
    pcpus: Sequence[Pcpu], duties: Sequence[Sequence[float]], laws: Sequence[Shares]
) -> list[list[float]]:
    """Return the duties with which, beside the others as they are, quotas are kept."""
    free = [_free_runs(pcpu, own) for pcpu, own in zip(pcpus, duties, strict=True)]
    wanted: dict[int, float] = {}  # by the pool's identity
    for pcpu, runs in zip(pcpus, free, strict=True):
        for vcpu, run in zip(pcpu.residents, runs, strict=True):
            if vcpu.pool is not None:
                wanted[id(vcpu.pool)] = wanted.get(id(vcpu.pool), 0.0) + run
    found = []
    for pcpu, runs, law in zip(pcpus, free, laws, strict=True):
        own = []
        for vcpu, free_run, (run, wait) in zip(pcpu.residents, runs, law, strict=True):
            allowed = vcpu.quota
            if vcpu.pool is not None and wanted[id(vcpu.pool)] > vcpu.pool.quota:
                allowed = free_run * vcpu.pool.quota / wanted[id(vcpu.pool)]
            stay = 1.0 + wait / run if run > 0.0 else 1.0
            own.append(min(vcpu.demand, _duty(allowed, stay)))
        found.append(own)
    return found


def _free_runs(pcpu: Pcpu, duties: Sequence[float]) -> list[float]:
    """Return what vCPUs with pools would run if their pool were not used up, 0 for the others.

    Those of one pool are throttled at the same time, so they meet one another as without it.
    """
    free = [0.0] * len(duties)
    pools = {id(vcpu.pool): vcpu.pool for vcpu in pcpu.residents if vcpu.pool is not None}
    for pool in pools.values():
        members = [vcpu.pool is pool for vcpu in pcpu.residents]
        there = [
            vcpu.demand if member else duty
            for vcpu, member, duty in zip(pcpu.residents, members, duties, strict=True)
        ]
        for place, (run, _) in enumerate(pcpu.shared(there)):
            if members[place]:
                free[place] = min(run, pcpu.residents[place].quota)
    return free


def _duty(run: float, stay: float) -> float:
    """Return the duty of a loop that runs just so much; infinite where none is large enough."""
    left = 1.0 - run * stay
    return run / (left + run) if left > 0.0 else inf
