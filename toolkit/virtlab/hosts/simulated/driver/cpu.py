"""Handlers of vCPUs: where they run, where they may run, and the time they used."""

from __future__ import annotations

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.events import EventHub, tunable
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, STRING_OKAY, DriverState
from virtlab.hosts.simulated.driver.values import (
    cpu_map,
    format_cpu_list,
    in_ticks,
    pcpus_of_map,
)
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import SimulatedGuest

__all__ = ["CpuHandlers"]

# virVcpuState; QEMU's driver calls each vCPU of a running domain running, halted or not.
_VCPU_RUNNING = 1
_VCPU_MAXIMUM = 4
_VCPU_GUEST = 8
_VCPU_HOTPLUGGABLE = 16
_GUEST_VCPUS_MAX = 255

_TOTAL_FIELDS = 3  # cpu_time user_time system_time
_PER_CPU_FIELDS = 2  # cpu_time vcpu_time
_TOTAL = -1
_MAX_CPUS_A_CALL = 128


class CpuHandlers:
    """Answers about vCPUs and binds them to pCPUs."""

    def __init__(self, state: DriverState, events: EventHub) -> None:
        self._state = state
        self._events = events

    def domain_get_vcpus(
        self, dom: DomainHandle, maxinfo: int, maplen: int
    ) -> tuple[list[tuple[int, int, int, int]], bytes]:
        """Return for each vCPU its number, state, time in ticks and pCPU, and all their masks."""
        guest = self._state.guest(dom)
        if guest.id < 0:
            raise refusals.driver_invalid("cannot retrieve vcpu information for inactive domain")
        vcpus = guest.vcpus[:maxinfo]
        infos = [(v.index, _VCPU_RUNNING, in_ticks(v.thread_run_ns()), v.pcpu) for v in vcpus]
        return (infos, b"".join(cpu_map(v.mask, maplen) for v in vcpus))

    def domain_pin_vcpu(self, dom: DomainHandle, vcpu: int, cpumap: bytes) -> tuple[()]:
        """Bind a vCPU of a running domain."""
        return self.domain_pin_vcpu_flags(dom, vcpu, cpumap, LIVE)

    def domain_pin_vcpu_flags(
        self, dom: DomainHandle, vcpu: int, cpumap: bytes, flags: int
    ) -> tuple[()]:
        """Bind a vCPU, of the running domain, of the stored one, or of both."""
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainPinVcpuFlags")
        guest = self._state.guest(dom)
        live, config = self._state.impact(guest, flags)
        stored = self._state.config(guest)
        for meant, kind, most, count in (
            (live, "live", len(guest.vcpus), len(guest.vcpus)),
            (config, "persistent", stored.vcpus_max, stored.vcpus),
        ):
            if meant and vcpu >= most:
                raise errors.invalid_argument(
                    f"vcpu {vcpu} is out of range of {kind} cpu count {count}"
                )
        pcpus = self._pinnable(cpumap)
        if live:
            effective = guest.pin(vcpu, pcpus)
            self._state.observer.pinned(guest.name, vcpu, pcpus, effective)
            self._events.emit(tunable(guest, f"cputune.vcpupin{vcpu}", format_cpu_list(pcpus)))
        if config:
            stored.masks[vcpu] = pcpus
            stored.bound.add(vcpu)
        return ()

    def domain_get_vcpu_pin_info(
        self, dom: DomainHandle, ncpumaps: int, maplen: int, flags: int
    ) -> tuple[bytes, int]:
        """Return the masks of the first vCPUs."""
        function = "GetVcpuPinInfo"
        refusals.one_impact(flags, f"virDomain{function}")
        refusals.check_flags(flags, LIVE | CONFIG, f"qemuDomain{function}")
        guest = self._state.guest(dom)
        live, _ = self._state.impact(guest, flags)
        masks = ([vcpu.mask for vcpu in guest.vcpus] if live else self._stored_masks(guest))[
            :ncpumaps
        ]
        return (b"".join(cpu_map(mask, maplen) for mask in masks), len(masks))

    def domain_get_vcpus_flags(self, dom: DomainHandle, flags: int) -> tuple[int]:
        """Return how many vCPUs the domain has, or may have."""
        refusals.one_impact(flags, "virDomainGetVcpusFlags")
        known = LIVE | CONFIG | _VCPU_MAXIMUM | _VCPU_GUEST
        refusals.check_flags(flags, known, "qemuDomainGetVcpusFlags")
        guest = self._state.guest(dom)
        live, _ = self._state.impact(guest, flags)
        stored = self._state.config(guest)
        if flags & _VCPU_GUEST:
            if live:
                raise refusals.no_agent()
            raise errors.invalid_argument(
                "vCPU count provided by the guest agent can only be requested for live domains"
            )
        if flags & _VCPU_MAXIMUM:
            return (stored.live_vcpus_max if live else stored.vcpus_max,)
        return (guest.spec.vcpus if live else stored.vcpus,)

    def domain_set_vcpus(self, dom: DomainHandle, nvcpus: int) -> tuple[()]:
        """Change the number of vCPUs of a running domain."""
        refusals.check_nonzero(nvcpus, "nvcpus", "virDomainSetVcpus")
        return self.domain_set_vcpus_flags(dom, nvcpus, LIVE)

    def domain_set_vcpus_flags(self, dom: DomainHandle, nvcpus: int, flags: int) -> tuple[()]:
        """Change the number of vCPUs, or the largest number, of the next start.

        The vCPUs of a running domain cannot be plugged, as those that a real host starts a
        domain with cannot be unplugged.
        """
        refusals.check_nonzero(nvcpus, "nvcpus", "virDomainSetVcpusFlags")
        known = LIVE | CONFIG | _VCPU_MAXIMUM | _VCPU_GUEST | _VCPU_HOTPLUGGABLE
        refusals.check_flags(flags, known, "qemuDomainSetVcpusFlags")
        guest = self._state.guest(dom)
        live, config = self._state.impact(guest, flags)
        if flags & _VCPU_GUEST:
            raise refusals.no_agent() if live else refusals.driver_invalid("domain is not running")
        if flags & _VCPU_MAXIMUM:
            self._set_most_vcpus(guest, nvcpus, live)
            return ()
        stored = self._state.config(guest)
        for meant, kind, most in (
            (live, "live", stored.live_vcpus_max),
            (config, "persistent", stored.vcpus_max),
        ):
            if meant and nvcpus > most:
                raise errors.invalid_argument(
                    "requested vcpus is greater than max allowable vcpus for the "
                    f"{kind} domain: {nvcpus} > {most}"
                )
        if live and nvcpus != guest.spec.vcpus:
            raise errors.config_unsupported(
                "failed to find appropriate hotpluggable vcpus to reach the desired target "
                "vcpu count"
            )
        if config:
            stored.vcpus = nvcpus
            if guest.id < 0:
                self._state.apply(guest)
        return ()

    def _set_most_vcpus(self, guest: SimulatedGuest, most: int, live: bool) -> None:
        if live:
            raise errors.invalid_argument("maximum vcpu count of a live domain can't be modified")
        if most > _GUEST_VCPUS_MAX:
            raise errors.config_unsupported(
                f"Maximum CPUs greater than specified machine type limit {_GUEST_VCPUS_MAX}"
            )
        stored = self._state.config(guest)
        stored.masks += [self._state.all_pcpus] * (most - len(stored.masks))
        stored.vcpus_max = most
        stored.vcpus = min(stored.vcpus, most)
        if guest.id < 0:
            self._state.apply(guest)

    def domain_get_max_vcpus(self, dom: DomainHandle) -> tuple[int]:
        """Return the largest number of vCPUs of a running domain."""
        return (self._state.config(self._state.running(dom)).live_vcpus_max,)

    def domain_get_cpu_stats(
        self, dom: DomainHandle, nparams: int, start_cpu: int, ncpus: int, flags: int
    ) -> tuple[list[Param], int]:
        """Return the domain's CPU time, in total or for each of some pCPUs, in ns.

        A question without room is one for the number of pCPUs (no CPUs) or of fields.
        """
        refusals.check_flags(flags, STRING_OKAY, "qemuDomainGetCPUStats")
        guest = self._state.running(dom)
        if start_cpu == _TOTAL:
            if nparams == 0:
                return ([], _TOTAL_FIELDS)
            fields = [
                Param("cpu_time", ParamType.ULLONG, guest.cpu_time_ns()),
                Param("user_time", ParamType.ULLONG, guest.user_time_ns()),
                Param("system_time", ParamType.ULLONG, guest.system_time_ns()),
            ][:nparams]
            return (fields, len(fields))
        return self._per_pcpu(guest, nparams, start_cpu, ncpus)

    def _per_pcpu(
        self, guest: SimulatedGuest, nparams: int, start_cpu: int, ncpus: int
    ) -> tuple[list[Param], int]:
        pcpus = self._state.host.spec.pcpus
        if nparams == 0:
            return ([], _PER_CPU_FIELDS if ncpus else pcpus)
        if not 0 <= start_cpu < pcpus:
            raise errors.invalid_argument(
                f"start_cpu {start_cpu} larger than maximum of {pcpus - 1}", ErrorDomain.CGROUP
            )
        if self._state.host.spec.cgroup_version == 2:
            raise refusals.no_per_pcpu_times()
        per_cpu = min(nparams, _PER_CPU_FIELDS)
        last = min(start_cpu + min(ncpus, _MAX_CPUS_A_CALL), pcpus)
        each = zip(*(vcpu.time_per_pcpu_ns for vcpu in guest.vcpus), strict=True)
        vcpus_ns = [sum(times) for times in each]
        sum_ns = sum(vcpus_ns)
        if guest.emulator is not None:
            emulator_ns = list(guest.emulator.time_per_pcpu_ns)
        else:  # the emulator's threads follow the vCPUs that they serve
            all_ns = max(guest.cpu_time_ns() - sum_ns, 0)
            emulator_ns = [all_ns * each // sum_ns if sum_ns else 0 for each in vcpus_ns]
        params: list[Param] = []
        times_ns = zip(vcpus_ns[start_cpu:last], emulator_ns[start_cpu:last], strict=True)
        for vcpu_ns, beside_ns in times_ns:
            params += [
                Param("cpu_time", ParamType.ULLONG, vcpu_ns + beside_ns),
                Param("vcpu_time", ParamType.ULLONG, vcpu_ns),
            ][:per_cpu]
        return (params, per_cpu)

    def _stored_masks(self, guest: SimulatedGuest) -> list[frozenset[int]]:
        stored = self._state.config(guest)
        return stored.masks[: stored.vcpus]

    def _pinnable(self, cpumap: bytes) -> frozenset[int]:
        """Return the pCPUs of a map; those that the host lacks are left out without a word."""
        pcpus = pcpus_of_map(cpumap, self._state.host.spec.pcpus)
        if not pcpus:
            raise errors.invalid_argument("Empty cpu list for pinning")
        return pcpus
