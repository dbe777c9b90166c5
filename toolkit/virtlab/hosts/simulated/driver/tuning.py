"""Handlers of scheduler parameters and of the emulator's affinity.

`cpu_shares` is the weight of a guest's vCPUs. The simulated host has no quotas, so that other
parameters are refused unless they say what holds anyway. The emulator's threads load no pCPU in
particular: their affinity is kept and shown, without effect.
"""

from __future__ import annotations

from virtlab.hosts.simulated.driver.events import EventHub, tunable
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, DriverState
from virtlab.hosts.simulated.driver.values import cpu_map, format_cpu_list, pcpus_of_map
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.cpu_law import EQUAL_WEIGHT
from virtlab.simulator.host import SimulatedGuest

__all__ = ["TuningHandlers"]

_PERIOD_US = 100_000
_NO_QUOTA = -1


class TuningHandlers:
    """Answers about scheduler parameters and the emulator's affinity."""

    def __init__(self, state: DriverState, events: EventHub) -> None:
        self._state = state
        self._events = events
        # cgroup v1 calls the default share 1024 (kernel: 2 to 262144), v2 100 (1 to 10000).
        old = state.host.spec.cgroup_version == 1
        self._default_shares = 1024 if old else 100
        self._shares_bounds = (2, 262_144) if old else (1, 10_000)
        self._fixed = [
            parameter
            for who in ("vcpu", "emulator", "global", "iothread")
            for parameter in (
                Param(f"{who}_period", ParamType.ULLONG, _PERIOD_US),
                Param(f"{who}_quota", ParamType.LLONG, _NO_QUOTA),
            )
        ]
        self._emulator_masks: dict[bytes, frozenset[int]] = {}

    def domain_get_scheduler_type(self, dom: DomainHandle) -> tuple[str, int]:
        """Return the scheduler's name, and how many parameters it has."""
        self._state.guest(dom)
        return ("posix", 1 + len(self._fixed))

    def domain_get_scheduler_parameters(
        self, dom: DomainHandle, nparams: int
    ) -> tuple[list[Param]]:
        """Return the scheduler's parameters."""
        return self.domain_get_scheduler_parameters_flags(dom, nparams, 0)

    def domain_get_scheduler_parameters_flags(
        self, dom: DomainHandle, nparams: int, flags: int
    ) -> tuple[list[Param]]:
        """Return the scheduler's parameters, of the running or of the stored domain."""
        guest = self._state.guest(dom)
        self._state.impact(guest, flags & (LIVE | CONFIG))
        return (self._parameters(guest)[: max(nparams, 0)],)

    def domain_set_scheduler_parameters(self, dom: DomainHandle, params: list[Param]) -> tuple[()]:
        """Set the guest's weight; quotas are refused."""
        return self.domain_set_scheduler_parameters_flags(dom, params, 0)

    def domain_set_scheduler_parameters_flags(
        self, dom: DomainHandle, params: list[Param], flags: int
    ) -> tuple[()]:
        """Set the guest's weight; quotas are refused."""
        guest = self._state.guest(dom)
        self._state.impact(guest, flags & (LIVE | CONFIG))
        fixed = {parameter.field: parameter.value for parameter in self._fixed}
        shares = None
        for parameter in params:
            if parameter.field == "cpu_shares":
                shares = self._checked_shares(parameter.value)
            elif parameter.field not in fixed:
                raise errors.invalid_argument(f"parameter '{parameter.field}' not supported")
            elif parameter.value != fixed[parameter.field]:
                raise errors.operation_unsupported(
                    f"{parameter.field} of the simulated host is always "
                    f"{fixed[parameter.field]}: its guests have no quota"
                )
        if shares is not None:
            guest.set_weight(EQUAL_WEIGHT * shares // self._default_shares)
            self._events.emit(tunable(guest, "cputune.cpu_shares", str(shares)))
        return ()

    def _parameters(self, guest: SimulatedGuest) -> list[Param]:
        shares = guest.weight * self._default_shares // EQUAL_WEIGHT
        return [Param("cpu_shares", ParamType.ULLONG, shares), *self._fixed]

    def _checked_shares(self, value: object) -> int:
        least, most = self._shares_bounds
        if not isinstance(value, int) or not least <= value <= most:
            raise errors.invalid_argument(f"shares '{value}' must be in range [{least}, {most}]")
        return value

    def domain_pin_emulator(self, dom: DomainHandle, cpumap: bytes, flags: int) -> tuple[()]:
        """Keep the emulator's affinity."""
        guest = self._state.guest(dom)
        live, _ = self._state.impact(guest, flags)
        pcpus = pcpus_of_map(cpumap, self._state.host.spec.pcpus)
        if not pcpus:
            raise errors.invalid_argument("Empty cpu list for pinning")
        self._emulator_masks[guest.uuid] = pcpus
        if live:
            self._events.emit(tunable(guest, "cputune.emulatorpin", format_cpu_list(pcpus)))
        return ()

    def domain_get_emulator_pin_info(
        self, dom: DomainHandle, maplen: int, flags: int
    ) -> tuple[bytes, int]:
        """Return the emulator's affinity."""
        guest = self._state.guest(dom)
        self._state.impact(guest, flags)
        mask = self._emulator_masks.get(guest.uuid, self._state.all_pcpus)
        return (cpu_map(mask, max(maplen, 0)), 1)
