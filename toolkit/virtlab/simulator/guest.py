"""A guest of the simulated host: its life cycle, its vCPUs and its memory."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import IntEnum
from random import Random
from typing import TYPE_CHECKING, Final

from virtlab.model.scenario import SHUTDOWN_S, GuestSpec
from virtlab.model.timeline import EventRecord
from virtlab.model.units import NS_PER_S
from virtlab.simulator.cache_law import move_cost_ns
from virtlab.simulator.cpu_law import BUSY, EQUAL_WEIGHT
from virtlab.simulator.emulator_law import EMULATOR_SHARE, emulator_duty
from virtlab.simulator.engine import EventHandle, Priority
from virtlab.simulator.guest_memory import GuestMemory
from virtlab.simulator.numa_law import speeds_by_cell
from virtlab.simulator.speed_law import rounds_at
from virtlab.simulator.vcpu import SimulatedVcpu
from virtlab.simulator.weight_law import Group

if TYPE_CHECKING:
    from virtlab.simulator.host import SimulatedHost

__all__ = ["SYSTEM_SHARE", "GuestState", "SimulatedGuest"]

# Of a vCPU thread's time the kernel counts a tenth as its own: entering and leaving the guest.
SYSTEM_SHARE: Final = 0.1
# What control groups of the two versions begin with.
_USUAL_SHARES: Final = {1: 1024, 2: 100}
_USUAL_PERIOD_US: Final = 100_000
_EMULATOR: Final = -1  # in place of a vCPU's index
_NAMESPACE: Final = uuid.UUID("6b0f6b5e-5d0c-4c8e-9f0b-0d8f1f2b7c11")


class GuestState(IntEnum):
    """virDomainState, as far as it occurs here."""

    RUNNING = 1
    PAUSED = 3
    SHUTOFF = 5


# virDomainRunningReason, virDomainPausedReason, virDomainShutoffReason
_BOOTED, _UNPAUSED = 1, 5
_BY_USER = 1
_NEVER_RAN, _SHUT_DOWN, _DESTROYED, _CRASHED = 0, 1, 2, 3


class SimulatedGuest:
    """One guest; every action takes place at the host's now."""

    def __init__(self, host: SimulatedHost, spec: GuestSpec, seed: int) -> None:
        """Define a guest that is shut off; `start` boots it."""
        self.spec = spec
        self.name = spec.name
        self.uuid = uuid.uuid5(_NAMESPACE, spec.name).bytes
        self._declared = spec
        self._generation = 0
        self.id = -1
        self.state = GuestState.SHUTOFF
        self.reason = _NEVER_RAN
        self._host = host
        self._ending: EventHandle | None = None
        self.memory_cells: tuple[int, ...] = (0,)  # in which its memory lies, evenly
        self.blocked = False  # its lock is held: calls that need it wait
        self.blocked_until_ns: int | None = None  # None: for ever, if it is held
        self.tuning: dict[str, int] = {}  # scheduler parameters that were set for this run
        self._seed = seed
        # All that it ever had; those beyond its present number rest, with their counters.
        self.all_vcpus: list[SimulatedVcpu] = []
        self.vcpus: list[SimulatedVcpu] = []
        # QEMU's own threads, where they are one on the host: see `emulator_law`.
        self.emulator: SimulatedVcpu | None = None
        self._group = Group()
        self._equip(spec)

    @property
    def threads(self) -> list[SimulatedVcpu]:
        """Return its vCPUs and, where they run on pCPUs, QEMU's own threads as one."""
        return self.vcpus if self.emulator is None else [*self.vcpus, self.emulator]

    @property
    def all_threads(self) -> list[SimulatedVcpu]:
        """Return the same with the vCPUs that rest."""
        return self.all_vcpus if self.emulator is None else [*self.all_vcpus, self.emulator]

    # Life cycle.

    def start(self, *, paused: bool = False) -> None:
        """Boot it under a fresh id, larger than any before; QEMU starts paused and is let go."""
        self.id = self._host.fresh_id()
        self.state, self.reason = GuestState.RUNNING, _BOOTED
        self.memory.boot(self._host.now_ns)
        for vcpu in self.threads:
            vcpu.begin()
        self._host.scheduler.power_on(self.threads)
        cell = self.spec.memory_cell
        self.place_memory(None if cell is None else frozenset({cell}))
        self.tune_anew(dict(self.spec.tuning))
        self._host.life_changed(self, "started")
        if paused:
            self.suspend()
        else:
            self._host.life_changed(self, "resumed")

    def shutdown(self) -> None:
        """Ask it to shut down; it is off some seconds later."""
        if self._ending is None:
            self._ending = self._host.queue.schedule(
                self._host.now_ns + SHUTDOWN_S * NS_PER_S, Priority.SCENARIO, self._shut_down
            )

    def destroy(self) -> None:
        """End it at once."""
        self._host.life_changed(self, "killed")
        self._power_off(_DESTROYED)
        self._host.life_changed(self, "destroyed")

    def lose(self) -> None:
        """Let its QEMU process die.

        Source: libvirt's qemu_driver.c, processMonitorEOFEvent; only a guest whose system panics
        and that is kept for it is in the state CRASHED.
        """
        self._power_off(_CRASHED)
        self._host.life_changed(self, "crashed")

    def suspend(self) -> None:
        """Pause it: its vCPUs and all that runs in it stand still."""
        self.state, self.reason = GuestState.PAUSED, _BY_USER
        self._host.scheduler.power_off(self.threads)
        self.memory.pause(self._host.now_ns)
        self._host.life_changed(self, "suspended")

    def resume(self) -> None:
        """Let it go on after a pause."""
        self.state, self.reason = GuestState.RUNNING, _UNPAUSED
        self._host.scheduler.power_on(self.threads)
        self.adjust_speed()
        self.memory.resume(self._host.now_ns)
        self._host.life_changed(self, "resumed")

    def reboot(self) -> None:
        """Restart its system: loads end, the domain and its id stay."""
        self._host.loads.stop(self, "all")
        self.memory.reboot(self._host.now_ns)

    def reset(self) -> None:
        """Restart its machine without asking its system."""
        self.reboot()

    # Its description.

    def redefine(self, spec: GuestSpec) -> None:
        """Become another machine of the same name, while it is shut off."""
        assert self.id < 0
        self.spec = spec
        self._equip(spec)
        self._host.faults.renew(self)

    def renew(self) -> None:
        """Become another guest of the same name, as the scenario declared it, shut off.

        Its uuid is new. Its counters go on, as all that ran under this name.
        """
        self._generation += 1
        self.uuid = uuid.uuid5(_NAMESPACE, f"{self.name} {self._generation}").bytes
        self.state, self.reason = GuestState.SHUTOFF, _NEVER_RAN
        self.redefine(self._declared)

    def rename(self, name: str) -> None:
        """Take another name, while it is shut off; `SimulatedHost.rename` keeps the books."""
        self.name = name
        self.spec = replace(self.spec, name=name)
        for vcpu in self.all_threads:
            vcpu.name = name
        self.memory.spec = self.spec

    def _equip(self, spec: GuestSpec) -> None:
        """Provide the vCPUs and the memory that a description asks for."""
        everywhere = self._host.everywhere
        for index in range(len(self.all_vcpus), spec.vcpus):
            affinity = spec.affinity[index]
            vcpu = self._host.scheduler.new_vcpu(
                spec.name,
                index,
                self._host.fresh_vcpu(),
                everywhere if affinity is None else frozenset(affinity),
                # A text seeds a stream of its own, whatever PYTHONHASHSEED is.
                Random(f"{self._seed} noise {spec.name} {index}"),
                spec.idle_noise_max,
            )
            vcpu.join(self._group)
            self.all_vcpus.append(vcpu)
        for vcpu in self.all_vcpus[: spec.vcpus]:
            vcpu.move_cost_ns = move_cost_ns(spec.working_set_kib)
            vcpu.growth_duty = spec.growth_duty
            affinity = spec.affinity[vcpu.index]
            mask = everywhere if affinity is None else frozenset(affinity)
            if mask != vcpu.mask:
                self._host.scheduler.set_mask(vcpu, mask)
        self.vcpus = self.all_vcpus[: spec.vcpus]
        if spec.emulator_share is not None and self.emulator is None:
            self.emulator = self._host.scheduler.new_vcpu(
                spec.name, _EMULATOR, self._host.fresh_vcpu(), everywhere,
                Random(f"{self._seed} noise {spec.name} emulator"), 0.0,
            )  # fmt: skip
        self.pin_emulator(spec.emulator_affinity)
        self.memory = self._memory_of(spec)

    def _memory_of(self, spec: GuestSpec) -> GuestMemory:
        host = self._host
        return GuestMemory(
            spec,
            host.host_memory,
            host.queue,
            host.emit,
            lambda: host.balloon_moved(self),
            lambda: any(vcpu.duty >= BUSY and vcpu.powered for vcpu in self.vcpus),
        )

    # Its lock.

    def block(self, until_ns: int | None) -> None:
        """Let its lock be held, until a moment or for ever."""
        self.blocked, self.blocked_until_ns = True, until_ns
        self._host.blocked[self.uuid] = self

    def unblock(self) -> None:
        """Let go of its lock."""
        self.blocked, self.blocked_until_ns = False, None
        self._host.blocked.pop(self.uuid, None)

    # CPU.

    def pin(self, vcpu: int, pcpus: frozenset[int]) -> bool:
        """Bind a vCPU to pCPUs at once; return whether its mask changed."""
        return self._host.scheduler.set_mask(self.vcpus[vcpu], pcpus)

    def pin_emulator(self, pcpus: Collection[int] | None) -> None:
        """Bind QEMU's own threads to pCPUs, None permits all; it shows where they load any."""
        if self.emulator is not None:
            mask = self._host.everywhere if pcpus is None else frozenset(pcpus)
            self._host.scheduler.set_mask(self.emulator, mask)

    def loads_changed(self) -> None:
        """Tell its memory and its emulator that its vCPUs have other loads."""
        self.memory.loads_changed(self._host.now_ns)
        self._adjust_emulator()

    def _adjust_emulator(self) -> None:
        """Let QEMU's own threads want what the present loads need."""
        if self.emulator is None:
            return
        share = self.spec.emulator_share or 0.0
        duty = emulator_duty(share, [vcpu.duty for vcpu in self.vcpus])
        if self.emulator.duty != duty:
            self._host.scheduler.set_load(self.emulator, duty, aside=True)

    def tune_anew(self, parameters: dict[str, int]) -> None:
        """Take on scheduler parameters, under libvirt's names, in place of all that were set."""
        self.tuning = parameters
        self._apply_tuning()

    def tune(self, parameters: Mapping[str, int]) -> None:
        """Set some scheduler parameters; the others stay."""
        self.tuning.update(parameters)
        self._apply_tuning()

    def _apply_tuning(self) -> None:
        usual = _USUAL_SHARES[self._host.spec.cgroup_version]
        self._set_weight(EQUAL_WEIGHT * (self.tuning.get("cpu_shares") or usual) // usual)
        together, each = self._quota("global"), self._quota("vcpu")
        limits = [(vcpu, each) for vcpu in self.vcpus]
        if self.emulator is not None:
            limits.append((self.emulator, self._quota("emulator")))
        elif together is not None:  # the emulator's threads take their part of it
            together /= 1.0 + EMULATOR_SHARE
        self._host.scheduler.set_quotas(limits, together)

    def _quota(self, who: str) -> float | None:
        """Return what may be run in a period, as a share of it; None is no limit."""
        quota_us = self.tuning.get(f"{who}_quota", 0)
        period_us = self.tuning.get(f"{who}_period") or _USUAL_PERIOD_US
        return quota_us / period_us if quota_us > 0 else None

    def _set_weight(self, weight: int) -> None:
        """Weigh it against other guests, as a whole: see `weight_law`."""
        for vcpu in self.threads:
            if vcpu.weight != max(weight, 2):
                self._host.scheduler.set_weight(vcpu, max(weight, 2))

    def cpu_time_ns(self) -> int:
        """Return what all threads of its process ran, those of the emulator included."""
        ran_ns = sum(vcpu.thread_run_ns() for vcpu in self.vcpus)
        if self.emulator is not None:
            return ran_ns + self.emulator.thread_run_ns()
        return ran_ns + int(ran_ns * EMULATOR_SHARE)

    def system_time_ns(self) -> int:
        """Return the part of its CPU time that the host's kernel took."""
        return int(self.cpu_time_ns() * SYSTEM_SHARE)

    def user_time_ns(self) -> int:
        """Return the part of its CPU time that ran outside the host's kernel."""
        return self.cpu_time_ns() - self.system_time_ns()

    # Memory.

    def place_memory(self, nodes: frozenset[int] | None, *, evenly: bool = False) -> None:
        """Let its memory lie in some cells of the host, where it may be at once.

        Args:
            nodes: cells that are permitted; None permits all.
            evenly: it lies in all of them; else in the one nearest to its first vCPU.
        """
        machine = self._host.scheduler.machine
        if machine.alike:
            return
        cells = machine.topology.cells
        home = cells[machine.cell_of[self.vcpus[0].pcpu]]
        permitted = sorted(range(len(cells)) if nodes is None else nodes)
        if not evenly:
            permitted = [min(permitted, key=lambda cell: (home.distances[cell], cell))]
        self.memory_cells = tuple(permitted)
        speeds = speeds_by_cell(machine.topology, permitted, self.spec.memory_bound)
        for vcpu in self.vcpus:
            self._host.scheduler.set_memory_speeds(vcpu, speeds)

    def set_memory(self, kib: int) -> None:
        """Ask the balloon for a size; it moves there in its own time."""
        self.memory.set_target(self._host.now_ns, kib)

    def set_max_memory(self, kib: int) -> None:
        """Set the largest size of the next start."""
        self.memory.set_maximum(kib)

    def set_stats_period(self, seconds: int) -> None:
        """Have its statistics renewed each so many seconds; 0 ends that."""
        self.memory.set_stats_period(self._host.now_ns, seconds)

    def adjust_speed(self) -> None:
        """Tell memory how much of the time the vCPU that touches pages is scheduled."""
        if self.memory.growing:
            vcpu = self.vcpus[0]
            pace = rounds_at(vcpu.growth_duty, vcpu.speed)
            self.memory.set_speed(self._host.now_ns, pace * (1.0 - vcpu.wait_rate))

    def _shut_down(self, now_ns: int) -> None:
        self._ending = None
        if self.id < 0:
            return
        self._host.life_changed(self, "shutdown")
        self._power_off(_SHUT_DOWN)
        self._host.emit(EventRecord(now_ns, "guest_stop", self.name, "shut down"))
        self._host.life_changed(self, "stopped")

    def _power_off(self, reason: int) -> None:
        self._host.queue.cancel(self._ending)
        self._ending = None
        self._host.loads.stop(self, "all")
        self._host.scheduler.power_off(self.threads)
        self.memory.power_off(self._host.now_ns)
        self.id = -1
        self._host.faults.process_ended(self)
        self.state, self.reason = GuestState.SHUTOFF, reason
