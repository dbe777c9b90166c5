"""How quotas limit what vCPUs run: the bandwidth control of Linux's fair scheduler.

A group of threads with a quota of q in each period runs until q is used up, and is throttled until
the next period; the thread waits on its run queue meanwhile, and its delay counts that. While it is
not throttled it shares the pCPU as without a quota. Under `cpu_law` the time in which it is there
and the time in which it is not add up to the law of a loop with a smaller duty: with the others as
they are, a loop spends s in the queue or running for each unit that it runs, and

    run = rho / (1 + rho s),      so that a quota of c is kept by      rho' = c / (1 - c s).

s depends on the others only, and follows from what the law gives (s = 1 + wait / run). With several
quotas on one pCPU each changes the s of the others; the steps are repeated until nothing changes
any more. pCPUs are worked out apart from one another, but for those on which vCPUs of one pool sit;
on large hosts many at once in a table, to the same bits.

What a limited loop does not run it waits for: wait = 1 - run / d, so that a demand can be read
back exactly, throttled or not. A pool is the quota of a whole guest: all its vCPUs are throttled at
the same time, so that each keeps the same part of what it would run beside the others of its guest.
(That others meet them together or not at all is not followed.)

Measured on Linux (docs/explanation/linux.md): a quota of 50 % holds a busy loop at 0.500, and shows
the other 0.500 as delay. Good for loops whose period is short against the quota's (100 ms unless it
is set); those with longer work get less than their quota, as what they leave in one period is lost.
Loops that are served in turn (`queue_law`) share by `cpu_law` beside one that is throttled.

Source: the kernel's sched-bwc document; the algebra is this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final

from virtlab.simulator.cpu_law import SEATS_MAX, Shares

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from virtlab.simulator.crowd import Crowd
    from virtlab.simulator.pcpu import Pcpu
    from virtlab.simulator.vcpu import SimulatedVcpu

    Floats = NDArray[float64]

__all__ = ["Pool", "share_within_quotas", "table_within_quotas"]

_ROUNDS: Final = 100
_TABLE_MIN: Final = 4  # pCPUs, from which on a table costs less than one after the other
_SETTLED: Final = 1e-9  # change of all duties in a round, from which on they stay


@dataclass(slots=True)
class Pool:
    """A quota that the vCPUs of one guest have together, in pCPUs."""

    quota: float
    vcpus: list[SimulatedVcpu] = field(default_factory=list)


def share_within_quotas(pcpus: Sequence[Pcpu], crowd: Crowd | None = None) -> None:
    """Set the shares on pCPUs on which some vCPUs have quotas, and of which the law is known.

    Args:
        pcpus: all pCPUs on which vCPUs of one pool sit are among them.
        crowd: the host's tables, where it has any.
    """
    for pcpu in pcpus:
        pcpu.take_shares(pcpu.law)
    exceeded = [together for together in _linked(pcpus) if _exceeded(together)]
    table = [] if crowd is None else [own[0] for own in exceeded if _plain(own)]
    if crowd is not None and len(table) >= _TABLE_MIN:
        _share_in_table(crowd, table)
        exceeded = [own for own in exceeded if not _plain(own)]
    for together in exceeded:
        _share_together(together)


def _linked(pcpus: Sequence[Pcpu]) -> list[list[Pcpu]]:
    """Return pCPUs that are linked by pools, each set in the order of the first one."""
    linked: list[list[Pcpu]] = []
    found: dict[int, list[Pcpu]] = {}  # by the identity of a pool
    for pcpu in pcpus:
        # In the order of residents: that of identities is another in each process.
        pools = dict.fromkeys(id(vcpu.pool) for vcpu in pcpu.residents if vcpu.pool is not None)
        known = list({id(found[pool]): found[pool] for pool in pools if pool in found}.values())
        own = known[0] if known else [pcpu]
        if known:
            own.append(pcpu)
        else:
            linked.append(own)
        for other in known[1:]:
            own += other
            linked = [each for each in linked if each is not other]
            for pool, where in found.items():
                if where is other:
                    found[pool] = own
        for pool in pools:
            found[pool] = own
    return linked


def _plain(pcpus: Sequence[Pcpu]) -> bool:
    """Tell whether this is one pCPU, without pools, that the tables can have."""
    first = pcpus[0]
    return (
        len(pcpus) == 1
        and len(first.residents) <= SEATS_MAX
        and all(vcpu.pool is None for vcpu in first.residents)
        and not (first.are_weighed() and first.has_kin())
    )


def _share_together(pcpus: Sequence[Pcpu]) -> None:
    """Work out the laws of linked pCPUs of which some quota would be exceeded."""
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


def _share_in_table(crowd: Crowd, pcpus: Sequence[Pcpu]) -> None:
    """Do the same for many pCPUs that are plain, each for itself."""
    columns, np = crowd.columns, crowd.columns.np
    counts = np.array([len(pcpu.residents) for pcpu in pcpus])
    seats = np.zeros((counts.max(), len(pcpus)), np.int64)
    for at, pcpu in enumerate(pcpus):
        seats[: counts[at], at] = [vcpu.row for vcpu in pcpu.residents]  # type: ignore[attr-defined]  # all are in columns
    taken = seats > 0
    demands = np.where(taken, columns["demand"][seats], 0.0)
    quotas = np.where(taken, columns["quota"][seats], inf)
    weighed = np.array([pcpu.are_weighed() for pcpu in pcpus])

    def law(duties: Floats, at: Any) -> tuple[Floats, Floats]:
        return crowd.shared(seats[:, at], duties, counts[at], weighed[at])

    runs, waits = table_within_quotas(np, demands, quotas, law)
    for at, pcpu in enumerate(pcpus):
        own = (runs[: counts[at], at].tolist(), waits[: counts[at], at].tolist())
        pcpu.take_shares(tuple(zip(*own, strict=True)))


def table_within_quotas(
    np: Any, demands: Floats, quotas: Floats, law: Callable[[Floats, Any], tuple[Floats, Floats]]
) -> tuple[Floats, Floats]:
    """Return the run and wait shares of vCPUs within quotas of their own.

    Args:
        np: numpy.
        demands: one column a pCPU, filled up with zeros.
        quotas: infinite for none.
        law: gives the shares of some columns with other duties.
    """
    duties, runs, waits = demands.copy(), np.zeros_like(demands), np.zeros_like(demands)
    open_at = np.arange(demands.shape[1])  # those that have not settled
    for _ in range(_ROUNDS):
        own, allowed = duties[:, open_at], quotas[:, open_at]
        run, wait = law(own, open_at)
        runs[:, open_at], waits[:, open_at] = run, wait
        stay = np.where(run > 0.0, 1.0 + wait / np.where(run > 0.0, run, 1.0), 1.0)
        with np.errstate(invalid="ignore"):  # where there is no quota
            left = 1.0 - allowed * stay
            needed = np.where(left > 0.0, allowed / (left + allowed), inf)
        after = np.minimum(demands[:, open_at], needed)
        duties[:, open_at] = after
        open_at = open_at[np.abs(after - own).max(axis=0) > _SETTLED]
        if not open_at.size:
            break
    limited = duties < demands
    kept = np.minimum(runs, quotas)
    waited = 1.0 - kept / np.where(limited, demands, 1.0)
    return np.where(limited, kept, runs), np.where(limited, waited, waits)


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
