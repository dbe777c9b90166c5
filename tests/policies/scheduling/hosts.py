"""Snapshots for tests, written down briefly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.topology import Topology, flat
from virtlab.model.units import NS_PER_S

__all__ = ["host", "places", "vcpu"]


def vcpu(
    name: str,
    on: int | Iterable[int],
    ran: float | None,
    waited: float | None = 0.0,
    **more: object,
) -> VcpuView:
    """Return a vCPU by the name of its guest (and `:number`), and where it may run."""
    guest, _, number = name.partition(":")
    mask = frozenset({on} if isinstance(on, int) else on)
    seen: dict[str, object] = {"last_on": min(mask), **more}
    return VcpuView(
        VcpuKey(guest, int(number or 0)), mask, run_share=ran, delay_share=waited, **seen
    )  # type: ignore[arg-type]  # whatever the test gives


def host(
    vcpus: Iterable[VcpuView],
    pcpus: int | Topology = 4,
    *,
    at_s: float = 1.0,
    host_share: Mapping[int, float] | None = None,
) -> CpuSnapshot:
    """Return a snapshot over the last second."""
    topology = flat(pcpus, 1 << 20) if isinstance(pcpus, int) else pcpus
    ordered = tuple(sorted(vcpus, key=lambda v: v.key))
    return CpuSnapshot(round(at_s * NS_PER_S), NS_PER_S, topology, ordered, host_share or {})


def places(plan: CpuPlan) -> dict[str, set[int]]:
    """Return whom a plan pins where."""
    return {str(pin.vcpu): set(pin.pcpus) for pin in plan.actions}
