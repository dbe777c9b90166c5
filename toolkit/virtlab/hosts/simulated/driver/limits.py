"""Handlers of the limits of a domain's memory, disks and NUMA nodes.

They are kept and shown. Of memory and disks the simulated host enforces none: its guests never
reach past their largest size and do no input or output. Memory lies where NUMA parameters say.
"""

from __future__ import annotations

from typing import Final

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.config import DomainConfig, Settings
from virtlab.hosts.simulated.driver.numa_tuning import (
    MODES,
    RESTRICTIVE,
    STRICT,
    NumaTune,
    no_nodes,
)
from virtlab.hosts.simulated.driver.parameters import check_params
from virtlab.hosts.simulated.driver.quantities import cpu_list
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, STRING_OKAY, DriverState
from virtlab.hosts.simulated.driver.values import format_cpu_list
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["LimitHandlers"]

_UNLIMITED: Final = 9_007_199_254_740_991  # KiB, VIR_DOMAIN_MEMORY_PARAM_UNLIMITED
_MEMORY_LIMITS: Final = ("hard_limit", "soft_limit", "swap_hard_limit")
_MEMORY_TYPES: Final = dict.fromkeys(_MEMORY_LIMITS, ParamType.ULLONG)
_NUMA_TYPES: Final = {"numa_mode": ParamType.INT, "numa_nodeset": ParamType.STRING}
_BLKIO_TYPES: Final = {"weight": ParamType.UINT}
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
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainSetMemoryParameters")
        check_params(params, _MEMORY_TYPES, "virDomainSetMemoryParameters")
        wanted = {}
        for parameter in params:
            assert isinstance(parameter.value, int)
            wanted[parameter.field] = min(parameter.value, _UNLIMITED)
        changed = self._changed(dom, flags, "SetMemoryParameters")
        # libvirt looks at the running domain even where only the stored one is to change.
        _check_memory_limits(self._state.config(self._state.guest(dom)).now.memory_limits | wanted)
        for settings in changed:
            limits = settings.memory_limits | wanted
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
            Param("numa_mode", ParamType.INT, settings.numa.mode or STRICT),
            Param("numa_nodeset", ParamType.STRING, format_cpu_list(settings.numa.nodes or ())),
        ]
        return _as_many(params, nparams)

    def domain_set_numa_parameters(
        self, dom: DomainHandle, params: list[Param], flags: int
    ) -> tuple[()]:
        """Set on which NUMA nodes a domain's memory may lie; of a running one it moves there."""
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainSetNumaParameters")
        check_params(params, _NUMA_TYPES, "virDomainSetNumaParameters")
        guest = self._state.guest(dom)
        live, stored = self._state.impact(guest, flags)
        config = self._state.config(guest)
        mode, nodes = _numa_wanted(params)
        if live:
            now = _changed_live(config.now.numa, mode, nodes)
            now.check_available(len(self._state.host.spec.layout.cells))
            if nodes is not None and now != config.now.numa:
                guest.place_memory(nodes, evenly=now.evenly)
            config.now.numa = now
        if stored:
            config.stored.numa = _changed(config.stored.numa, mode, nodes)
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
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainSetBlkioParameters")
        check_params(params, _BLKIO_TYPES, "virDomainSetBlkioParameters")
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


def _check_memory_limits(limits: dict[str, int]) -> None:
    """Refuse limits that contradict one another.

    Raises:
        LibvirtError: they do.
    """
    if limits.get("hard_limit", _UNLIMITED) > limits.get("swap_hard_limit", _UNLIMITED):
        raise errors.invalid_argument(
            "memory hard_limit tunable value must be lower than or equal to swap_hard_limit",
            ErrorDomain.DOMAIN,
        )


def _as_many(params: list[Param], room: int) -> Found:
    """Return as many parameters as there is room for; none asks for their number."""
    if room == 0:
        return ([], len(params))
    chosen = params[:room]
    return (chosen, len(chosen))


def _numa_wanted(params: list[Param]) -> tuple[int | None, frozenset[int] | None]:
    """Return the mode and the nodes that a client asks for."""
    mode: int | None = None
    nodes: frozenset[int] | None = None
    for parameter in params:
        value = parameter.value
        if isinstance(value, int):
            if not 0 <= value < len(MODES):
                detail = f"unsupported numatune mode: '{value}'"
                raise errors.invalid_argument(detail)
            mode = value
        elif isinstance(value, str):
            nodes = cpu_list(value)
    return mode, nodes


def _changed_live(numa: NumaTune, mode: int | None, nodes: frozenset[int] | None) -> NumaTune:
    """Return what holds then for a running domain, as far as libvirt 9.0.0 changes it."""
    if mode is not None and numa.mode is not None and mode != numa.mode:
        raise refusals.driver_invalid("can't change numatune mode for running domain")
    if mode == STRICT:
        if nodes != numa.nodes:
            raise refusals.driver_invalid("can't change nodeset for strict mode for running domain")
        return numa
    if nodes is not None and numa.mode not in (None, RESTRICTIVE):
        raise refusals.driver_invalid(
            "change of nodeset for running domain requires restrictive numa mode"
        )
    return _changed(numa, mode, nodes)


def _changed(numa: NumaTune, mode: int | None, nodes: frozenset[int] | None) -> NumaTune:
    if mode is None and nodes is None:
        return numa
    if nodes is None and numa.nodes is None:
        raise no_nodes()
    kept = STRICT if numa.mode is None else numa.mode
    return NumaTune(kept if mode is None else mode, numa.nodes if nodes is None else nodes)
