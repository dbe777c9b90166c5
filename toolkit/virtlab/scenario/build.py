"""From the keys of a well-formed scenario file to the model's plain values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from virtlab.model.faults import GuestFault, HostFault
from virtlab.model.scenario import (
    CriterionSpec,
    DefineGuest,
    Event,
    GuestSpec,
    HostSpec,
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
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Batch, Duty, MemoryGrowth, Trace, Workload
from virtlab.scenario.schema import (
    BatchFile,
    DutyFile,
    EventFile,
    GrowthFile,
    GuestFile,
    HostFile,
    ScenarioFile,
    TraceFile,
)
from virtlab.scenario.topology import topology_of

__all__ = ["built"]

_LoadModel = DutyFile | BatchFile | GrowthFile | TraceFile


def built(file: ScenarioFile, traces: dict[str, Trace]) -> Scenario:
    """Return the scenario that a sound file describes; `traces` holds the files it names."""
    initial = [
        StartWorkload(0, name, _workload(guest.load, traces))
        for guest in file.guests
        if guest.load is not None
        for name in guest.all_names
    ]
    later = [event for entry in file.events for event in _events(entry, traces)]
    return Scenario(
        id=file.id,
        title=file.title,
        why=file.why,
        program=file.program,
        seed=file.seed,
        host=_host(file.host),
        guests=tuple(spec for guest in file.guests for spec in _guests(guest)),
        events=tuple(sorted([*initial, *later], key=lambda event: event.time_ns)),
        interval_s=file.run.interval_s,
        duration_s=file.run.duration_s,
        criteria=tuple(
            # YAML gives whole numbers as int; a limit is a float wherever it is read.
            CriterionSpec(
                entry.name, {key: float(value) for key, value in entry.limits.items()}, entry.hint
            )
            for entry in file.criteria
        ),
        scaled_from=file.scaled_from,
    )


def _host(host: HostFile) -> HostSpec:
    return HostSpec(
        pcpus=host.pcpus,
        memory_kib=mib(host.memory_mib),
        used_kib=mib(host.used_mib),
        swap_kib=mib(host.swap_mib),
        mhz=host.mhz,
        cgroup_version=host.cgroup_version,
        stats_before_period=host.stats_before_period,
        swap_kib_s=None if host.swap_mib_s is None else mib(host.swap_mib_s),
        balloon=host.balloon,
        balloon_batches=host.balloon_batches,
        qemu_processes=host.qemu_processes,
        topology=None if host.topology is None else topology_of(host, host.topology),
    )


def _guests(guest: GuestFile) -> Iterator[GuestSpec]:
    turn = cycle(guest.start_in_turn or [0])
    for name in guest.all_names:
        affinity: tuple[tuple[int, ...] | None, ...]
        if guest.start_in_turn is not None:
            affinity = tuple((next(turn),) for _ in range(guest.vcpus))
        elif guest.start_on is not None:
            affinity = tuple(None if p is None else tuple(sorted(p)) for p in guest.start_on)
        else:
            affinity = (None,) * guest.vcpus
        yield GuestSpec(
            name=name,
            vcpus=guest.vcpus,
            memory_kib=mib(guest.memory_mib),
            max_memory_kib=mib(guest.max_memory_mib or guest.memory_mib),
            affinity=affinity,
            kernel_kib=mib(guest.kernel_mib),
            processes_kib=mib(guest.processes_mib),
            cache_kib=mib(guest.cache_mib),
            idle_noise_max=float(guest.idle_noise_max),
            deflate_on_oom=guest.deflate_on_oom,
            running=guest.running,
            swap_kib=mib(guest.swap_mib),
            swap_kib_s=mib(guest.swap_mib_s),
            file_reads_kib_s=mib(guest.file_reads_mib_s),
            free_page_reporting=guest.free_page_reporting,
            defined=guest.defined,
            memory_cell=guest.memory_cell,
            tuning=() if guest.cputune is None else guest.cputune.parameters,
            working_set_kib=guest.working_set_kib,
            memory_bound=float(guest.memory_bound),
            emulator_share=None if guest.emulator_share is None else float(guest.emulator_share),
            emulator_affinity=(
                None if guest.emulator_on is None else tuple(sorted(set(guest.emulator_on)))
            ),
        )


def _events(entry: EventFile, traces: dict[str, Trace]) -> Iterator[Event]:
    time_ns = seconds(entry.at_s)
    for_ns = None if entry.for_s is None else seconds(entry.for_s)
    fault = entry.fault
    if fault == "libvirtd-restart" or fault == "clock-step":
        yield HostFault(time_ns, fault, for_ns or 0, seconds(entry.step_s or 0.0))
        return
    for guest in entry.all_guests:
        if entry.pin is not None:
            yield PinVcpu(time_ns, guest, entry.pin.vcpu, tuple(sorted(entry.pin.pcpus)))
        elif entry.set_memory_mib is not None:
            yield SetMemory(time_ns, guest, mib(entry.set_memory_mib))
        elif entry.set_cputune is not None:
            yield TuneCpu(time_ns, guest, entry.set_cputune.parameters)
        elif entry.start_load is not None:
            vcpus = None if entry.vcpus is None else tuple(sorted(set(entry.vcpus)))
            yield StartWorkload(time_ns, guest, _workload(entry.start_load, traces), vcpus)
        elif entry.stop_load is not None:
            yield StopWorkload(time_ns, guest, entry.stop_load)
        elif fault is not None:
            yield GuestFault(time_ns, guest, fault, for_ns, tuple(sorted(entry.fields or ())))
        elif entry.power == "start":
            yield StartGuest(time_ns, guest)
        elif entry.power == "stop":
            yield StopGuest(time_ns, guest)
        elif entry.power == "define":
            yield DefineGuest(time_ns, guest)
        elif entry.power == "undefine":
            yield UndefineGuest(time_ns, guest)
        else:
            yield LoseGuest(time_ns, guest)


def _workload(load: _LoadModel, traces: dict[str, Trace]) -> Workload:
    if isinstance(load, DutyFile):
        return Duty(float(load.duty), ms(load.period_ms))
    if isinstance(load, BatchFile):
        return Batch(seconds(load.work_s))
    if isinstance(load, TraceFile):
        return traces[load.trace]
    return MemoryGrowth(
        rate_kib_s=mib(load.rate_mib_s),
        until_kib=None if load.until_mib is None else mib(load.until_mib),
        hold_ns=seconds(load.hold_s),
        then_release=load.then == "release",
    )
