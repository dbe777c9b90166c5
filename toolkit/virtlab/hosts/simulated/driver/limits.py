"""Handlers of the limits of a domain's memory, disks and NUMA nodes.

They are kept and shown. The simulated host enforces none of them: its guests never reach past
their largest size, do no input or output, and the host decides where memory lies.
"""

from __future__ import annotations

from typing import Final

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.config import DomainConfig, Settings
from virtlab.hosts.simulated.driver.quantities import cpu_list
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, STRING_OKAY, DriverState
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["LimitHandlers"]

_UNLIMITED: Final = 9_007_199_254_740_991  # KiB, VIR_DOMAIN_MEMORY_PARAM_UNLIMITED
_MEMORY_LIMITS: Final = ("hard_limit", "soft_limit", "swap_hard_limit")
_NUMA: Final = ("numa_mode", "numa_nodeset")
_ONLY_NODE: Final = "0"
_BLKIO_TEXTS: Final = (
    "device_weight",
    "device_read_iops_sec",
    "device_write_iops_sec",
    "device_read_bytes_sec",
    "device_write_bytes_sec",
)
_BLKIO_DEFAULT: Final = 100
_PERF_EVENT_NAMES: Final = (
    "cmt mbmt mbml cpu_cycles instructions cache_references cache_misses branch_instructions "
    "branch_misses bus_cycles stalled_cycles_frontend stalled_cycles_backend ref_cpu_cycles "
    "cpu_clock task_clock page_faults context_switches cpu_migrations page_faults_min "
    "page_faults_maj alignment_faults emulation_faults"
)
_PERF_EVENTS: Final = tuple(_PERF_EVENT_NAMES.split())

Found = tuple[list[Param], int]


class LimitHandlers:
    """Answers about limits, and keeps them."""

    def __init__(self, state: DriverState) -> None:
        self._state = state

    def domain_get_memory_parameters(self, dom: DomainHandle, nparams: int, flags: int) -> Found:
        """Return the limits of a domain's memory, in KiB."""
        settings, _ = self._asked(dom, flags, "GetMemoryParameters")
        limits = settings.memory_limits
        params = [
            Param(name, ParamType.ULLONG, limits.get(name, _UNLIMITED)) for name in _MEMORY_LIMITS
        ]
        return _as_many(params, nparams)

    def domain_set_memory_parameters(
        self, dom: DomainHandle, params: list[Param], flags: int
    ) -> tuple[()]:
        """Keep limits of a domain's memory."""
        wanted = {}
        for parameter in params:
            if parameter.field not in _MEMORY_LIMITS or not isinstance(parameter.value, int):
                raise errors.invalid_argument(
                    f"parameter '{parameter.field}' not supported", ErrorDomain.NONE
                )
            wanted[parameter.field] = min(parameter.value, _UNLIMITED)
        for settings in self._changed(dom, flags, "SetMemoryParameters"):
            limits = settings.memory_limits | wanted
            hard, swap = limits.get("hard_limit"), limits.get("swap_hard_limit", _UNLIMITED)
            if (_UNLIMITED if hard is None else hard) > swap:
                raise errors.invalid_argument(
                    "memory hard_limit tunable value must be lower than or equal to "
                    "swap_hard_limit",
                    ErrorDomain.DOMAIN,
                )
            settings.memory_limits = {
                name: limits[name]
                for name in _MEMORY_LIMITS
                if limits.get(name, 0) not in (0, _UNLIMITED)
            }
        return ()

    def domain_get_numa_parameters(self, dom: DomainHandle, nparams: int, flags: int) -> Found:
        """Return on which NUMA nodes a domain's memory may lie; empty for any."""
        settings, _ = self._asked(dom, flags, "GetNumaParameters")
        params = [
            Param("numa_mode", ParamType.INT, settings.numa.get("numa_mode", 0)),
            Param("numa_nodeset", ParamType.STRING, settings.numa.get("numa_nodeset", "")),
        ]
        return _as_many(params, nparams)

    def domain_set_numa_parameters(
        self, dom: DomainHandle, params: list[Param], flags: int
    ) -> tuple[()]:
        """Keep on which NUMA nodes a domain's memory may lie, from its next start on."""
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainSetNumaParameters")
        guest = self._state.guest(dom)
        live, stored = self._state.impact(guest, flags)
        wanted: dict[str, int | str] = {}
        for parameter in params:
            if parameter.field not in _NUMA or isinstance(parameter.value, float):
                raise errors.invalid_argument(
                    f"parameter '{parameter.field}' not supported", ErrorDomain.NONE
                )
            if isinstance(parameter.value, str):
                cpu_list(parameter.value)
            wanted[parameter.field] = parameter.value
        if live and wanted.get("numa_nodeset") not in (None, _ONLY_NODE):
            raise refusals.driver_invalid(
                "change of nodeset for running domain requires restrictive numa mode"
            )
        if stored:
            self._state.config(guest).stored.numa.update(wanted)
        return ()

    def domain_get_blkio_parameters(self, dom: DomainHandle, nparams: int, flags: int) -> Found:
        """Return the weight of a domain's disks."""
        settings, live = self._asked(dom, flags, "GetBlkioParameters")
        weight = settings.blkio_weight or (_BLKIO_DEFAULT if live else 0)
        params = [
            Param("weight", ParamType.UINT, weight),
            *(Param(name, ParamType.STRING, "") for name in _BLKIO_TEXTS),
        ]
        return _as_many(params, nparams)

    def domain_set_blkio_parameters(
        self, dom: DomainHandle, params: list[Param], flags: int
    ) -> tuple[()]:
        """Keep the weight of a domain's disks; other parameters are refused."""
        for parameter in params:
            if parameter.field != "weight" or not isinstance(parameter.value, int):
                raise errors.invalid_argument(
                    f"parameter '{parameter.field}' not supported", ErrorDomain.NONE
                )
        for settings in self._changed(dom, flags, "SetBlkioParameters"):
            for parameter in params:
                assert isinstance(parameter.value, int)
                settings.blkio_weight = parameter.value
        return ()

    def domain_get_iothread_info(
        self, dom: DomainHandle, flags: int
    ) -> tuple[list[tuple[int, bytes]], int]:
        """Return the I/O threads: none."""
        self._asked(dom, flags, "GetIOThreadInfo", known=LIVE | CONFIG)
        return ([], 0)

    def domain_get_perf_events(self, dom: DomainHandle, flags: int) -> tuple[list[Param]]:
        """Return which events are counted: none."""
        self._asked(dom, flags, "GetPerfEvents")
        return ([Param(name, ParamType.BOOLEAN, False) for name in _PERF_EVENTS],)

    def domain_get_launch_security_info(self, dom: DomainHandle, flags: int) -> tuple[list[Param]]:
        """Return how a domain's memory is encrypted: it is not."""
        self._state.guest(dom)
        return ([],)

    def _asked(
        self, dom: DomainHandle, flags: int, function: str, known: int = LIVE | CONFIG | STRING_OKAY
    ) -> tuple[Settings, bool]:
        """Return the settings that a question means, and whether they are of a run."""
        if function == "GetNumaParameters":  # it has no check of its own in the public function
            refusals.one_impact(flags, "virDomainObjGetOneDefState", "flags")
        refusals.one_impact(flags, f"virDomain{function}")
        refusals.check_flags(flags, known, f"qemuDomain{function}")
        guest = self._state.guest(dom)
        live, _ = self._state.impact(guest, flags)
        config = self._state.config(guest)
        return config.now if live else config.stored, live

    def _changed(self, dom: DomainHandle, flags: int, function: str) -> list[Settings]:
        """Return the settings that a change means."""
        refusals.check_flags(flags, LIVE | CONFIG, f"qemuDomain{function}")
        guest = self._state.guest(dom)
        live, stored = self._state.impact(guest, flags)
        config: DomainConfig = self._state.config(guest)
        return [
            *([config.now] if live else []),
            *([config.stored] if stored else []),
        ]


def _as_many(params: list[Param], room: int) -> Found:
    """Return as many parameters as there is room for; none asks for their number."""
    if room == 0:
        return ([], len(params))
    chosen = params[: max(room, 0)]
    return (chosen, len(chosen))
