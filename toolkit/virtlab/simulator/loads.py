"""The loads of a host's guests: how they start, take over from each other, and end.

A vCPU has one CPU load, and a guest one of its memory. What starts takes over from what ran there,
a trace as well: a trace is followed only on the vCPUs that nothing else has been started on since,
and its memory only until another load has to do with memory.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from virtlab.model.scenario import StartWorkload
from virtlab.model.timeline import EventRecord
from virtlab.model.units import NS_PER_S
from virtlab.model.workload import Batch, Duty, MemoryGrowth, Trace, TracePoint
from virtlab.simulator.engine import EventHandle, Priority

if TYPE_CHECKING:
    from virtlab.simulator.guest import SimulatedGuest
    from virtlab.simulator.host import SimulatedHost
    from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["GuestLoads"]


@dataclass(slots=True)
class _Followed:
    """A trace, and for what of its guest it is still followed."""

    guest: SimulatedGuest
    vcpus: list[SimulatedVcpu]
    memory: bool
    points: list[EventHandle] = field(default_factory=list)


class GuestLoads:
    """The loads of one host's guests."""

    def __init__(self, host: SimulatedHost) -> None:
        """Take the host in whose guests they run."""
        self._host = host
        self._traces: list[_Followed] = []
        host.scheduler.on_batch_done = self._batch_done

    def start(self, guest: SimulatedGuest, event: StartWorkload, now_ns: int) -> None:
        """Start a load in place of those that ran on the same vCPUs, or in the same memory."""
        load = event.workload
        # A client may have taken some of its vCPUs away.
        vcpus = [v for v in guest.vcpus if event.vcpus is None or v.index in event.vcpus]
        if isinstance(load, Duty):
            self._follow_no_more(guest, vcpus)
            for vcpu in vcpus:
                self._host.scheduler.set_load(vcpu, load.duty, period_ns=load.period_ns)
            guest.loads_changed()
            detail = f"duty {load.duty:g}"
        elif isinstance(load, Batch):
            self._follow_no_more(guest, vcpus)
            for vcpu in vcpus:
                self._host.scheduler.set_load(vcpu, 1.0, batch_ns=load.work_ns)
            guest.loads_changed()
            detail = f"batch of {load.work_ns / NS_PER_S:g} s"
        elif isinstance(load, MemoryGrowth):
            self._follow_no_more(guest, memory=True)
            guest.memory.start_growth(now_ns, load)
            self._host.scheduler.set_growing(guest.vcpus[0], True)
            guest.adjust_speed()
            detail = f"memory at {load.rate_kib_s / 1024:g} MiB/s"
        else:
            self._start_trace(guest, vcpus, load, now_ns)
            detail = f"trace of {len(load.points)} points"
        self._host.emit(EventRecord(now_ns, "load_start", guest.name, detail))

    def stop(self, guest: SimulatedGuest, kind: Literal["cpu", "memory", "all"]) -> None:
        """End a guest's loads of a kind; what a memory load holds is freed."""
        now_ns = self._host.now_ns
        self._follow_no_more(guest, guest.vcpus if kind != "memory" else (), memory=kind != "cpu")
        if kind != "memory" and any(vcpu.duty > 0.0 for vcpu in guest.vcpus):
            for vcpu in guest.vcpus:
                self._host.scheduler.set_load(vcpu, 0.0)
            guest.loads_changed()
            self._host.emit(EventRecord(now_ns, "load_end", guest.name, "CPU load stopped"))
        if kind != "cpu":
            guest.memory.stop_loads(now_ns)
            self.growth_ended(guest)

    def growth_ended(self, guest: SimulatedGuest) -> None:
        """Let no vCPU touch pages any more, where nothing grows."""
        if guest.vcpus and guest.vcpus[0].growing and not guest.memory.growing:
            self._host.scheduler.set_growing(guest.vcpus[0], False)

    def _batch_done(self, vcpu: SimulatedVcpu) -> None:
        self._host.scheduler.set_load(vcpu, 0.0)
        self._host.guests[vcpu.name].loads_changed()
        detail = f"vCPU {vcpu.index} did its work"
        self._host.emit(EventRecord(self._host.now_ns, "load_done", vcpu.name, detail))

    # Traces.

    def _start_trace(
        self, guest: SimulatedGuest, vcpus: list[SimulatedVcpu], trace: Trace, now_ns: int
    ) -> None:
        memory = any(point.memory_kib is not None for point in trace.points)
        self._follow_no_more(guest, vcpus, memory=memory)
        if memory:
            guest.memory.stop_growth(now_ns)
            self.growth_ended(guest)
        followed = _Followed(guest, vcpus, memory)
        followed.points = [
            self._host.queue.schedule(
                now_ns + point.time_ns, Priority.SCENARIO, partial(self._reach, followed, point)
            )
            for point in trace.points
        ]
        self._traces.append(followed)

    def _reach(self, followed: _Followed, point: TracePoint, now_ns: int) -> None:
        guest = followed.guest
        for vcpu in followed.vcpus:
            self._host.scheduler.set_load(vcpu, min(point.cpu_share, 1.0))
        if followed.vcpus:
            guest.loads_changed()
        if followed.memory and point.memory_kib is not None:
            guest.memory.set_traced(now_ns, point.memory_kib)

    def _follow_no_more(
        self, guest: SimulatedGuest, vcpus: Collection[SimulatedVcpu] = (), *, memory: bool = False
    ) -> None:
        """Take some of a guest's vCPUs, or its memory, from the traces that are followed there."""
        for followed in self._traces:
            if followed.guest is not guest:
                continue
            followed.vcpus = [vcpu for vcpu in followed.vcpus if vcpu not in vcpus]
            followed.memory = followed.memory and not memory
            if not followed.vcpus and not followed.memory:
                for handle in followed.points:
                    self._host.queue.cancel(handle)
        self._traces = [one for one in self._traces if one.vcpus or one.memory]
