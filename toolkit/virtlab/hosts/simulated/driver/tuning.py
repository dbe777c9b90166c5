"""Handlers of scheduler parameters and of the emulator's affinity.

`cpu_shares` is the weight of a guest's vCPUs, quotas limit what they run; the parameters of a
running domain are kept by the simulator (`SimulatedGuest.tuning`), as a scenario's events set them
too. There are no threads for I/O that a quota could limit. Where the scenario gives a guest an
`emulator_share`, the emulator's affinity and quota hold for its threads. Elsewhere these load no
pCPU: their affinity is kept and shown, without effect, and a quota that they would come up against
is refused.

cgroup versions differ in what a share is: v1's default is 1024, v2's is 100. libvirt 9.0 checks
both against v1's bounds, 2 to 262144, and leaves it to the kernel to refuse a weight of more than
10000 under v2. A stored share is only checked when the domain starts.

Source: libvirt 9.0.0, a libvirtd asked and vircgroupv2.c; the kernel's cgroup-v2 document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.events import EventHub, tunable, tunables
from virtlab.hosts.simulated.driver.parameters import check_params
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, STRING_OKAY, DriverState
from virtlab.hosts.simulated.driver.values import cpu_map, format_cpu_list, pcpus_of_map
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain, LibvirtError
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.emulator_law import EMULATOR_SHARE
from virtlab.simulator.host import SimulatedGuest

__all__ = ["TuningHandlers"]

# Each parameter with its type, and the value of a running domain that none was set for.
_LIMITS: Final = {
    f"{who}_{what}": value
    for who in ("vcpu", "emulator", "global", "iothread")
    for what, value in (("period", 100_000), ("quota", -1))
}
_PERIODS_US: Final = (1_000, 1_000_000)
_QUOTAS_US: Final = (1_000, 17_592_186_044_415)
_SHARES: Final = "cpu_shares"
_TYPES: Final = {
    name: ParamType.LLONG if name.endswith("quota") else ParamType.ULLONG
    for name in ("cpu_shares", *_LIMITS)
}
_SHARES_MIN: Final = 2
_SHARES_MAX: Final = 262_144
_WEIGHT_MAX: Final = 10_000  # of cgroup v2's cpu.weight
_ERANGE: Final = 34


class TuningHandlers:
    """Answers about scheduler parameters and the emulator's affinity."""

    def __init__(self, state: DriverState, events: EventHub) -> None:
        self._state = state
        self._events = events
        old = state.host.spec.cgroup_version == 1
        self._default_shares = 1024 if old else 100
        self._shares_max = _SHARES_MAX if old else _WEIGHT_MAX

    def domain_get_scheduler_type(self, dom: DomainHandle) -> tuple[str, int]:
        """Return the scheduler's name, and how many parameters it has."""
        self._state.guest(dom)
        return ("posix", 1 + len(_LIMITS))

    def domain_get_scheduler_parameters(
        self, dom: DomainHandle, nparams: int
    ) -> tuple[list[Param]]:
        """Return the scheduler's parameters."""
        return self.domain_get_scheduler_parameters_flags(dom, nparams, 0)

    def domain_get_scheduler_parameters_flags(
        self, dom: DomainHandle, nparams: int, flags: int
    ) -> tuple[list[Param]]:
        """Return the scheduler's parameters, of the running or of the stored domain."""
        function = "GetSchedulerParametersFlags"
        refusals.one_impact(flags, f"virDomain{function}")
        refusals.check_flags(flags, LIVE | CONFIG | STRING_OKAY, f"qemuDomain{function}")
        guest = self._state.guest(dom)
        live, _ = self._state.impact(guest, flags & (LIVE | CONFIG))
        found = self._live_values(guest) if live else self._stored_values(guest)
        params = [Param(name, _TYPES[name], value) for name, value in found.items()]
        return (params[:nparams],)

    def domain_set_scheduler_parameters(self, dom: DomainHandle, params: list[Param]) -> tuple[()]:
        """Set the guest's weight and quotas."""
        return self.domain_set_scheduler_parameters_flags(dom, params, 0)

    def domain_set_scheduler_parameters_flags(
        self, dom: DomainHandle, params: list[Param], flags: int
    ) -> tuple[()]:
        """Set weight and quotas, of the running domain, of the stored one, or of both."""
        function = "qemuDomainSetSchedulerParametersFlags"
        refusals.check_flags(flags, LIVE | CONFIG, function)
        check_params(params, _TYPES, "virDomainSetSchedulerParametersFlags")
        guest = self._state.guest(dom)
        live, config = self._state.impact(guest, flags)
        values = {parameter.field: _checked(parameter) for parameter in params}
        stored = self._state.config(guest)
        if live:
            meant = {**guest.tuning, **values}
            for name in values:
                self._check_live(guest, meant, name)
            # A running domain's period or quota of 0 is left as it is.
            changed = {name: value for name, value in values.items() if value}
            guest.tune(changed)
            self._events.emit(
                tunables(
                    guest,
                    [Param(f"cputune.{n}", _TYPES[n], value) for n, value in changed.items()],
                )
            )
        if config:
            stored.stored.scheduler.update(values)
        return ()

    def check_start(self, guest: SimulatedGuest) -> None:
        """Refuse the start of a domain whose stored settings the host cannot keep.

        Raises:
            LibvirtError: there is such a parameter, or a mask with a pCPU that the host has not.
        """
        for name, value in self._state.config(guest).stored.scheduler.items():
            if name != _SHARES:
                _check_effect(guest, self._state.config(guest).stored.scheduler, name)
            elif value and not _SHARES_MIN <= value <= _SHARES_MAX:
                raise errors.config_unsupported(
                    f"Value of cputune 'shares' must be in range [{_SHARES_MIN}, {_SHARES_MAX}]",
                    ErrorDomain.DOMAIN,
                )
            elif value > self._shares_max:
                raise self._kernel_refuses(guest, "cpu", "cpu.weight")
        config = self._state.config(guest)
        masks = {f"vcpu{number}": mask for number, mask in enumerate(config.masks[: config.vcpus])}
        for thread, mask in {"emulator": config.stored.emulator_mask, **masks}.items():
            if mask is not None and not mask <= self._state.all_pcpus:
                raise self._kernel_refuses(guest, "cpuset", f"{thread}/cpuset.cpus")

    def started(self, guest: SimulatedGuest) -> None:
        """Give a started domain the weight and the quotas that are stored for it."""
        settings = self._state.config(guest).now
        guest.tune_anew(dict(settings.scheduler))
        guest.pin_emulator(self._state.permitted(settings.emulator_mask))

    def domain_pin_emulator(self, dom: DomainHandle, cpumap: bytes, flags: int) -> tuple[()]:
        """Bind the emulator's threads."""
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainPinEmulator")
        guest = self._state.guest(dom)
        live, config = self._state.impact(guest, flags)
        pcpus = pcpus_of_map(cpumap, self._state.host.spec.pcpus)
        if not pcpus:
            raise errors.invalid_argument("Empty cpu list for pinning")
        settings = self._state.config(guest)
        if live:
            settings.now.emulator_mask = pcpus
            guest.pin_emulator(pcpus)
            self._events.emit(tunable(guest, "cputune.emulatorpin", format_cpu_list(pcpus)))
        if config:
            settings.stored.emulator_mask = pcpus
        return ()

    def domain_get_emulator_pin_info(
        self, dom: DomainHandle, maplen: int, flags: int
    ) -> tuple[bytes, int]:
        """Return the emulator's affinity."""
        function = "GetEmulatorPinInfo"
        refusals.one_impact(flags, f"virDomain{function}")
        refusals.check_flags(flags, LIVE | CONFIG, f"qemuDomain{function}")
        guest = self._state.guest(dom)
        live, _ = self._state.impact(guest, flags)
        config = self._state.config(guest)
        mask = (config.now if live else config.stored).emulator_mask
        return (cpu_map(mask or self._state.all_pcpus, maplen), 1)

    def _live_values(self, guest: SimulatedGuest) -> dict[str, int]:
        found = {_SHARES: self._default_shares, **_LIMITS}
        found.update((name, value) for name, value in guest.tuning.items() if value)
        # A quota of less than nothing is none.
        return {name: max(value, -1) for name, value in found.items()}

    def _stored_values(self, guest: SimulatedGuest) -> dict[str, int]:
        """Return what is stored; what was never set is 0."""
        stored = self._state.config(guest).stored.scheduler
        return {name: stored.get(name, 0) for name in (_SHARES, *_LIMITS)}

    def _check_live(self, guest: SimulatedGuest, meant: Mapping[str, int], name: str) -> None:
        value = meant[name]
        if name != _SHARES:
            _check_effect(guest, meant, name)
        elif not _SHARES_MIN <= value <= _SHARES_MAX:
            detail = f"shares '{value}' must be in range [{_SHARES_MIN}, {_SHARES_MAX}]"
            raise errors.invalid_argument(detail, ErrorDomain.CGROUP)
        elif value > self._shares_max:
            raise self._kernel_refuses(guest, "cpu", "cpu.weight")

    def _kernel_refuses(self, guest: SimulatedGuest, controller: str, file: str) -> LibvirtError:
        """Return error 38 of a value that libvirt takes and the kernel does not."""
        # A start that fails has used up an id.
        number = guest.id if guest.id >= 0 else self._state.host.fresh_id()
        if self._state.host.spec.cgroup_version == 1:
            group = f"{controller}/machine/qemu-{number}-{guest.name}.libvirt-qemu"
        else:
            group = f"machine.slice/machine-qemu\\x2d{number}\\x2d{guest.name}.scope/libvirt"
        return errors.system_error(
            f"Unable to write to '/sys/fs/cgroup/{group}/{file}': Numerical result out of range",
            ErrorDomain.CGROUP,
            number=_ERANGE,
        )


def _checked(parameter: Param) -> int:
    """Return a parameter's value, if libvirt would take it."""
    name, value = parameter.field, parameter.value
    assert isinstance(value, int)  # all types are numbers'
    if name == _SHARES:
        return value
    least, most = _PERIODS_US if name.endswith("period") else _QUOTAS_US
    # Nothing, and less than that, mean no limit.
    if value > 0 and not least <= value <= most:
        raise errors.invalid_argument(f"value of '{name}' is out of range [{least}, {most}]")
    return value


def _check_effect(guest: SimulatedGuest, meant: Mapping[str, int], name: str) -> None:
    """Refuse a limit of the emulator that the simulated host would not keep."""
    if not name.startswith("emulator") or guest.emulator is not None:
        return
    quota_us = meant.get("emulator_quota", 0)
    period_us = meant.get("emulator_period") or _LIMITS["emulator_period"]
    needed = EMULATOR_SHARE * len(guest.vcpus)
    if 0 < quota_us < needed * period_us:
        raise errors.operation_unsupported(
            f"emulator_quota of the simulated host is at least {needed:.0%} of its period here: "
            "so much its emulator may use"
        )
