"""The simulated host: guests, CPU and memory under one event queue.

`advance` lets everything happen up to a moment; in between, actions (a pin, a balloon target) take
place at `now_ns`. How a span is cut into calls of `advance` makes no difference to the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from virtlab.model.faults import GuestFault, HostFault
from virtlab.model.scenario import (
    DefineGuest,
    Event,
    GuestSpec,
    LoseGuest,
    PinVcpu,
    Scenario,
    SetMemory,
    StartGuest,
    StartWorkload,
    StopGuest,
    StopWorkload,
    TuneCpu,
    UndefineGuest,
)
from virtlab.model.timeline import EventRecord
from virtlab.model.units import BOOT_S, NS_PER_S
from virtlab.simulator.cell_memory import free_by_cell
from virtlab.simulator.engine import EventQueue, Priority
from virtlab.simulator.faults import Faults
from virtlab.simulator.guest import GuestState, SimulatedGuest
from virtlab.simulator.host_memory import HostMemory
from virtlab.simulator.load_average import LoadAverage
from virtlab.simulator.loads import GuestLoads
from virtlab.simulator.scheduler import CpuScheduler
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["GuestState", "HostMemoryFigures", "PcpuTimes", "SimulatedGuest", "SimulatedHost"]

# Of a pCPU's busy time the kernel takes a part for guest exits, timers and the balloon.
_KERNEL_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class PcpuTimes:
    """One pCPU since the host's boot, in ns."""

    user: int
    kernel: int
    idle: int
    iowait: int


@dataclass(frozen=True, slots=True)
class HostMemoryFigures:
    """The host's memory as /proc/meminfo has it, in KiB."""

    total_kib: int
    free_kib: int
    buffers_kib: int
    cached_kib: int
    swap_used_kib: int


class SimulatedHost:
    """A host and its guests in virtual time, as a scenario describes them."""

    def __init__(self, scenario: Scenario, *, seed: int | None = None) -> None:
        """Set the host up at time 0, running guests booted, before any event of the scenario."""
        self.spec = scenario.host
        self.everywhere = frozenset(range(self.spec.pcpus))  # one mask, shared by all vCPUs
        self.changes = 0  # grows when guests or their memory change other than by running on
        self._on_event: Callable[[EventRecord], None] | None = None
        self._starting = True
        self._unheard: list[EventRecord] = []  # what happened at the start, before anybody listened
        self.on_balloon: Callable[[SimulatedGuest], None] | None = None
        self.on_lifecycle: Callable[[SimulatedGuest, str], None] | None = None
        # Told that libvirtd goes (True) or serves again, and of a jump of the calendar clock.
        self.on_outage: Callable[[bool], None] | None = None
        self.on_clock_step: Callable[[int], None] | None = None
        seed = scenario.seed if seed is None else seed
        self.queue = EventQueue()
        vcpus = sum(spec.vcpus for spec in scenario.guests)
        self.scheduler = CpuScheduler(
            self.spec.layout, self.queue, Random(f"{seed} scheduler"), vcpus
        )
        self.scheduler.on_wait = self._wait_changed
        self.load = LoadAverage(self.queue, self.scheduler.runnable)
        self.host_memory = HostMemory(self.spec, self.queue, self.emit)
        self.blocked: dict[bytes, SimulatedGuest] = {}  # those whose lock is held, by uuid
        self.faults = Faults(self)
        self.loads = GuestLoads(self)
        self._last_id = 0
        self._last_vcpu = 0
        self._seed = seed
        self._guests: dict[str, SimulatedGuest] = {}
        self.guests: Mapping[str, SimulatedGuest] = self._guests
        # All that the scenario declares, in its order, whether they are there or not.
        self.declared: Mapping[str, SimulatedGuest] = {
            spec.name: self.define(spec) for spec in scenario.guests
        }
        self._coming_back = set(self.declared.values())  # which a scenario's events may define
        for guest in self.declared.values():
            if not guest.spec.defined:
                self.forget(guest)
        self._came = set(self._guests)  # names under which a guest was there
        for guest in self.guests.values():
            if guest.spec.running:
                guest.start()
        for event in scenario.events:
            self.queue.schedule(event.time_ns, Priority.SCENARIO, partial(self._happen, event))
        self._starting = False

    @property
    def on_event(self) -> Callable[[EventRecord], None] | None:
        """Return who is told of what happens; nobody, at first."""
        return self._on_event

    @on_event.setter
    def on_event(self, listener: Callable[[EventRecord], None]) -> None:
        """Tell somebody of what happens from now on, and of a start that nobody has heard of."""
        self._on_event = listener
        for record in self._unheard:
            listener(record)
        self._unheard.clear()

    @property
    def now_ns(self) -> int:
        """Return the moment up to which everything has happened."""
        return self.queue.now_ns

    @property
    def frozen(self) -> bool:
        """Tell whether the host ran out of memory and swap, and does nothing any more."""
        return self.host_memory.frozen

    def advance(self, until_ns: int) -> None:
        """Let everything happen up to and including a moment."""
        self.queue.run_until(until_ns)

    def pcpu_busy_ns(self) -> list[int]:
        """Return how long each pCPU ran vCPUs, cumulative since time 0."""
        return self.scheduler.busy_ns()

    def pcpu_times_ns(self, pcpu: int) -> PcpuTimes:
        """Return what one pCPU did since the host's boot."""
        busy_ns = self.scheduler.pcpus[pcpu].busy_ns()
        kernel_ns = int(busy_ns * _KERNEL_SHARE)
        idle_ns = BOOT_S * NS_PER_S + self.now_ns - busy_ns
        return PcpuTimes(user=busy_ns - kernel_ns, kernel=kernel_ns, idle=idle_ns, iowait=0)

    def memory(self) -> HostMemoryFigures:
        """Return the host's memory now."""
        memory = self.host_memory
        return HostMemoryFigures(
            total_kib=self.spec.memory_kib,
            free_kib=memory.free_kib,
            buffers_kib=memory.buffers_kib,
            cached_kib=memory.cached_kib,
            swap_used_kib=memory.swap_used_kib,
        )

    def cells_free_kib(self) -> list[int]:
        """Return the free memory of each NUMA cell."""
        layout, now_ns = self.spec.layout, self.now_ns
        if len(layout.cells) == 1:
            return [self.host_memory.free_kib]
        held = [(g.memory_cells, g.memory.rss_at(now_ns)) for g in self.guests.values()]
        return free_by_cell(layout, self.spec.used_kib, held, self.host_memory.free_kib)

    # Guests that come and go.

    def define(self, spec: GuestSpec, uuid: bytes | None = None) -> SimulatedGuest:
        """Take in a guest that is shut off; its name must be free.

        Its uuid follows from its name where none is given.
        """
        assert spec.name not in self._guests
        guest = SimulatedGuest(self, spec, self._seed)
        if uuid is not None:
            guest.uuid = uuid
        self._guests[spec.name] = guest
        return guest

    def forget(self, guest: SimulatedGuest) -> None:
        """Let a guest that is shut off go for ever; its name is free again."""
        assert guest.id < 0
        del self._guests[guest.name]
        if guest not in self._coming_back:
            self.scheduler.release(guest.all_threads)

    def rename(self, guest: SimulatedGuest, name: str) -> None:
        """Give a guest that is shut off another name, which must be free."""
        assert guest.id < 0
        assert name not in self._guests
        del self._guests[guest.name]
        guest.rename(name)
        self._guests[name] = guest

    # What guests and memory tell the host.

    def fresh_vcpu(self) -> int:
        """Return a number that no vCPU had before; it settles choices among equals."""
        self._last_vcpu += 1
        return self._last_vcpu - 1

    def fresh_id(self) -> int:
        """Return a domain id that was never used before."""
        self._last_id += 1
        return self._last_id

    def emit(self, record: EventRecord) -> None:
        """Pass on something that happened; a frozen host stops."""
        self.changes += 1
        if record.kind == "host_frozen":
            self.scheduler.stop()
            for guest in self.guests.values():
                guest.memory.pause(self.now_ns)
        if record.guest is not None and record.kind in ("oom_kill", "load_done", "load_end"):
            self.loads.growth_ended(self.guests[record.guest])
        if self._on_event is not None:
            self._on_event(record)
        elif self._starting:
            self._unheard.append(record)

    def life_changed(self, guest: SimulatedGuest, what: str) -> None:
        """Tell whoever listens that a guest started, stopped, paused or went on."""
        self.changes += 1
        if self.on_lifecycle is not None:
            self.on_lifecycle(guest, what)

    def balloon_moved(self, guest: SimulatedGuest) -> None:
        """Tell whoever listens that a balloon's size was reported."""
        self.changes += 1
        if self.on_balloon is not None:
            self.on_balloon(guest)

    # The scenario's events.

    def _happen(self, event: Event, now_ns: int) -> None:
        if self.frozen:
            return  # nobody can do anything on it
        if not isinstance(event, PinVcpu):
            self.changes += 1
        if isinstance(event, GuestFault | HostFault):
            self.faults.happen(event, now_ns)
            return
        if isinstance(event, DefineGuest):
            self._define_anew(event.guest, now_ns)
            return
        guest = self.guests.get(event.guest)
        if guest is None:
            return  # a client undefined it, or gave it another name
        running = guest.id >= 0
        if isinstance(event, PinVcpu):
            if event.vcpu < len(guest.vcpus):  # a client may have taken it away
                guest.pin(event.vcpu, frozenset(event.pcpus))
        elif isinstance(event, StartGuest):
            if not running:
                guest.start()
                self.emit(EventRecord(now_ns, "guest_start", guest.name, "started"))
        elif isinstance(event, UndefineGuest):
            self._undefine(guest, now_ns)
        elif not running:
            return  # there is nobody to act on
        elif isinstance(event, SetMemory):
            guest.set_memory(event.memory_kib)
        elif isinstance(event, TuneCpu):
            guest.tune(dict(event.tuning))
        elif isinstance(event, StartWorkload):
            self.loads.start(guest, event, now_ns)
        elif isinstance(event, StopWorkload):
            self.loads.stop(guest, event.kind)
        elif isinstance(event, StopGuest):
            guest.shutdown()
        elif isinstance(event, LoseGuest):
            guest.lose()
            self.emit(EventRecord(now_ns, "guest_lost", guest.name, "its QEMU process died"))

    def _define_anew(self, name: str, now_ns: int) -> None:
        guest = self.declared[name]
        if name in self._guests or guest.name != name:
            return  # a client defined one of this name, or gave this one another
        if name in self._came:
            guest.renew()
        self._came.add(name)
        self._guests[name] = guest
        self.life_changed(guest, "defined")
        self.emit(EventRecord(now_ns, "guest_defined", name, "defined"))

    def _undefine(self, guest: SimulatedGuest, now_ns: int) -> None:
        """Forget a guest; one that runs is forgotten by the driver when it stops."""
        if guest.id < 0:
            self.forget(guest)
        self.emit(EventRecord(now_ns, "guest_undefined", guest.name, "undefined"))
        self.life_changed(guest, "undefined")

    def _wait_changed(self, vcpu: SimulatedVcpu) -> None:
        self.guests[vcpu.name].adjust_speed()
