"""Where a vCPU sits, where it may sit, and what it wants: the first questions of any scheduler."""

from __future__ import annotations

from virtlab.model.snapshot import CpuSnapshot, VcpuView
from virtlab.model.topology import FULL_CAPACITY, Topology

__all__ = ["demand_of", "permitted", "seat_of", "siblings_of", "speeds"]


def demand_of(vcpu: VcpuView) -> float | None:
    """Return the share of a pCPU that a vCPU would run if it never waited; None: not measured.

    A loop that runs a share r and waits a share w of the time wants r / (1 - w). Time throttled by
    a quota counts as waiting, so that a limited vCPU shows what it wants, too, and its cap says
    what it can get.

    Source: docs/explanation/laws.md; held within 2 points in every set that was measured.
    """
    if vcpu.run_share is None or vcpu.delay_share is None:
        return None
    left = 1.0 - vcpu.delay_share
    wanted = min(vcpu.run_share / left, 1.0) if left > 0.0 else 1.0
    return wanted if vcpu.cap_share is None else min(wanted, vcpu.cap_share)


def permitted(vcpu: VcpuView, host: CpuSnapshot) -> frozenset[int]:
    """Return the pCPUs of the host on which the administrator lets a vCPU run.

    Where there is none, which libvirt would refuse, it is where it may run now, or anywhere.
    """
    everywhere = frozenset(host.pcpus)
    if vcpu.allowed is None:
        return everywhere
    return vcpu.allowed & everywhere or vcpu.pcpus & everywhere or everywhere


def seat_of(vcpu: VcpuView) -> int | None:
    """Return the pCPU to which a vCPU's load is counted: the one it is bound to, or ran on last."""
    if len(vcpu.pcpus) == 1:
        return next(iter(vcpu.pcpus))
    return vcpu.last_on if vcpu.last_on in vcpu.pcpus else None


def speeds(topology: Topology) -> tuple[float, ...]:
    """Return what each pCPU does of a full one's work."""
    return tuple(capacity / FULL_CAPACITY for capacity in topology.capacity)


def siblings_of(topology: Topology) -> dict[int, tuple[int, ...]]:
    """Return the other threads of each pCPU's core; only of pCPUs that have any."""
    return {
        pcpu: tuple(other for other in core if other != pcpu)
        for core in topology.cores
        if len(core) > 1
        for pcpu in core
    }
