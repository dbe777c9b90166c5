"""The handler of bulk statistics, the one call by which a program sees the whole host.

Names and types of a domain's statistics depend on few things only: the groups asked for, its
number of vCPUs and whether it runs. One template for each is kept and filled with values.
"""

from __future__ import annotations

from collections.abc import Callable

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.descriptions import DISK, disk_path, interface_name
from virtlab.hosts.simulated.driver.domains import list_filter
from virtlab.hosts.simulated.driver.state import DriverState, handle_of
from virtlab.hosts.simulated.driver.values import in_ticks
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.typed import ParamType, StatsLayout
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.libvirt_rpc.xdr import Encoded
from virtlab.simulator.host import SimulatedGuest

__all__ = ["StatisticsHandlers"]

# virDomainStatsTypes: the groups that QEMU's driver knows, in its order. Of perf (64), iothread
# (128), memory bandwidth (256), dirty rate (512) and vm (1024) nothing is to be had here, and
# such a group is left out without a word.
_STATE, _CPU, _BALLOON, _VCPU, _INTERFACE, _BLOCK = 1, 2, 4, 8, 16, 32
_SERVED = _STATE | _CPU | _BALLOON | _VCPU | _INTERFACE | _BLOCK
_KNOWN = 0x7FF

# virConnectGetAllDomainStatsFlags
_ENFORCE = 1 << 31
_BACKING = 1 << 30
_NOWAIT = 1 << 29
_LIST_FILTERS = 0xFF  # activity, persistence and state

_INT, _UINT = ParamType.INT, ParamType.UINT
_ULL, _BOOL, _STR = ParamType.ULLONG, ParamType.BOOLEAN, ParamType.STRING

_VCPU_RUNNING = 1

# Bulk name, and name in the guest's memory statistics.
_BALLOON_FIELDS = (
    ("balloon.swap_in", "swap_in"),
    ("balloon.swap_out", "swap_out"),
    ("balloon.major_fault", "major_fault"),
    ("balloon.minor_fault", "minor_fault"),
    ("balloon.unused", "unused"),
    ("balloon.available", "available"),
    ("balloon.usable", "usable"),
    ("balloon.last-update", "last_update"),
    ("balloon.disk_caches", "disk_caches"),
    ("balloon.hugetlb_pgalloc", "hugetlb_pgalloc"),
    ("balloon.hugetlb_pgfail", "hugetlb_pgfail"),
    ("balloon.rss", "rss"),
)
_NET_COUNTERS = tuple(
    f"net.0.{way}.{what}" for way in ("rx", "tx") for what in ("bytes", "pkts", "errs", "drop")
)
_BLOCK_COUNTERS = tuple(
    f"block.0.{what}"
    for what in (
        "rd.reqs",
        "rd.bytes",
        "rd.times",
        "wr.reqs",
        "wr.bytes",
        "wr.times",
        "fl.reqs",
        "fl.times",
    )
)
_BLOCK_SIZES = ("block.0.allocation", "block.0.capacity", "block.0.physical")
_DISK_BYTES = 10 << 30
_DISK_USED_BYTES = 1 << 30
_NET_VALUES = (0,) * len(_NET_COUNTERS)
_BLOCK_VALUES = (0,) * len(_BLOCK_COUNTERS) + (_DISK_USED_BYTES, _DISK_BYTES, _DISK_USED_BYTES)

# Groups, vCPUs, running, names of the memory statistics there are.
_LayoutKey = tuple[int, int, bool, tuple[str, ...]]


class StatisticsHandlers:
    """Answers with the statistics of many domains at once."""

    def __init__(self, state: DriverState) -> None:
        self._state = state
        self._layouts: dict[_LayoutKey, StatsLayout] = {}
        self._ordered: Callable[[], list[SimulatedGuest]] = lambda: sorted(
            state.by_uuid.values(), key=lambda guest: (guest.id < 0, guest.id)
        )

    def connect_get_all_domain_stats(
        self, doms: list[DomainHandle], stats: int, flags: int
    ) -> tuple[list[Encoded]]:
        """Return the statistics of the domains given, or of all that pass the filter."""
        unknown = flags & ~(_ENFORCE | _BACKING | _NOWAIT | _LIST_FILTERS)
        if unknown:
            raise refusals.unsupported_flags(unknown, "qemuConnectGetAllDomainStats")
        if flags & _ENFORCE and stats & ~_KNOWN:
            raise errors.argument_unsupported(
                f"Stats types bits 0x{stats & ~_KNOWN:x} are not supported by this daemon"
            )
        groups = (stats or _SERVED) & _SERVED
        if doms:
            by_uuid = self._state.by_uuid
            guests = [by_uuid[dom.uuid] for dom in doms if dom.uuid in by_uuid]
        else:
            passes = list_filter(flags & _LIST_FILTERS)
            guests = [guest for guest in self._ordered() if passes(guest)]
        return ([self._record(guest, groups) for guest in guests],)

    def _record(self, guest: SimulatedGuest, groups: int) -> Encoded:
        running = guest.id >= 0
        values: list[int | str] = []
        memory_names: tuple[str, ...] = ()
        if groups & _STATE:
            values += (guest.state, guest.reason)
        if running and groups & _CPU:
            values += (guest.cpu_time_ns(), guest.user_time_ns(), guest.system_time_ns())
        if groups & _BALLOON:
            if running:
                now_ns = self._state.host.now_ns
                statistics = guest.memory.statistics(now_ns)
                values += (guest.memory.info_kib(now_ns), self._state.max_kib(guest))
                memory_names = tuple(statistics)
                values += [statistics[name] for _, name in _BALLOON_FIELDS if name in statistics]
            else:
                values.append(self._state.max_kib(guest))
        if groups & _VCPU:
            self._add_vcpus(guest, values, running)
        if running and groups & _INTERFACE:
            values += (1, interface_name(guest.id), *_NET_VALUES)
        if running and groups & _BLOCK:
            values += (1, DISK, disk_path(guest.spec), *_BLOCK_VALUES)
        key = (groups, guest.spec.vcpus, running, memory_names)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = _layout(*key)
        return layout.record(handle_of(guest), values)

    @staticmethod
    def _add_vcpus(guest: SimulatedGuest, values: list[int | str], running: bool) -> None:
        if not running:
            values.append(guest.spec.vcpus)
            return
        values += (guest.spec.vcpus, guest.spec.vcpus)
        for vcpu in guest.vcpus:
            # Linux keeps no wait time where schedstats are off, as they are by default.
            values += (_VCPU_RUNNING, in_ticks(vcpu.run_ns()), 0, vcpu.delay_ns(), vcpu.halted)


def _layout(groups: int, vcpus: int, running: bool, memory_names: tuple[str, ...]) -> StatsLayout:
    """Return the template of a domain's record; fields stand in the order of `_record`."""
    fields: list[tuple[str, ParamType]] = []
    if groups & _STATE:
        fields += [("state.state", _INT), ("state.reason", _INT)]
    if running and groups & _CPU:
        fields += [("cpu.time", _ULL), ("cpu.user", _ULL), ("cpu.system", _ULL)]
    if groups & _BALLOON:
        if running:
            fields.append(("balloon.current", _ULL))
        fields.append(("balloon.maximum", _ULL))
        fields += [(field, _ULL) for field, name in _BALLOON_FIELDS if name in memory_names]
    if groups & _VCPU:
        if running:
            fields.append(("vcpu.current", _UINT))
        fields.append(("vcpu.maximum", _UINT))
        for number in range(vcpus if running else 0):
            fields += [
                (f"vcpu.{number}.state", _INT),
                (f"vcpu.{number}.time", _ULL),
                (f"vcpu.{number}.wait", _ULL),
                (f"vcpu.{number}.delay", _ULL),
                (f"vcpu.{number}.halted", _BOOL),
            ]
    if running and groups & _INTERFACE:
        fields += [("net.count", _UINT), ("net.0.name", _STR)]
        fields += [(field, _ULL) for field in _NET_COUNTERS]
    if running and groups & _BLOCK:
        fields += [("block.count", _UINT), ("block.0.name", _STR), ("block.0.path", _STR)]
        fields += [(field, _ULL) for field in (*_BLOCK_COUNTERS, *_BLOCK_SIZES)]
    return StatsLayout(fields)
