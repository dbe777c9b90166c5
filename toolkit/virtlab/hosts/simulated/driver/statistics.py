"""The handler of bulk statistics, the one call by which a program sees the whole host.

Names and types of a domain's statistics depend on few things only: the groups asked for, its
number of vCPUs and whether it runs. One template for each is kept and filled with values; of all
those that clients' domains can bring about only the latest are. Of a large host the whole reply is
kept (`statistics_page`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.config import Disk
from virtlab.hosts.simulated.driver.devices import DISK_BYTES, DISK_USED_BYTES
from virtlab.hosts.simulated.driver.domains import list_filter
from virtlab.hosts.simulated.driver.state import DomainConfig, DriverState, handle_of
from virtlab.hosts.simulated.driver.statistics_page import StatisticsPage
from virtlab.hosts.simulated.driver.values import in_ticks
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.procedures.statistics import DOMAINS_MAX
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
_KNOWN_STOPPED = _KNOWN & ~(128 | 512 | 1024)  # QEMU itself would have to tell of these

# virConnectGetAllDomainStatsFlags
_ENFORCE = 1 << 31
_BACKING = 1 << 30
_NOWAIT = 1 << 29
_LIST_FILTERS = 0xFF  # activity, persistence and state

_INT, _UINT = ParamType.INT, ParamType.UINT
_ULL, _BOOL, _STR = ParamType.ULLONG, ParamType.BOOLEAN, ParamType.STRING

_VCPU_RUNNING = 1

# Fields of all templates that are kept: those of a thousand guests that differ in everything. They
# were measured to take some 250 bytes each, 16 MiB in all.
_KEPT_FIELDS_MAX: Final = 65_536

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
    f"{way}.{what}" for way in ("rx", "tx") for what in ("bytes", "pkts", "errs", "drop")
)
_BLOCK_COUNTERS = (
    *("rd.reqs", "rd.bytes", "rd.times"),
    *("wr.reqs", "wr.bytes", "wr.times"),
    *("fl.reqs", "fl.times"),
)
_BLOCK_SIZES = ("allocation", "capacity", "physical")
_NET_VALUES = (0,) * len(_NET_COUNTERS)
_BLOCK_VALUES = (0,) * len(_BLOCK_COUNTERS)
_BLOCK_SIZE_VALUES = (DISK_USED_BYTES, DISK_BYTES, DISK_USED_BYTES)

# Groups, vCPUs, running, names of the memory statistics there are, number of interfaces, and for
# each disk whether something lies in it; and whether the domain's lock is held.
_LayoutKey = tuple[int, int, bool, tuple[str, ...], int, tuple[bool, ...], bool]


class StatisticsHandlers:
    """Answers with the statistics of many domains at once."""

    def __init__(self, state: DriverState) -> None:
        self._state = state
        self._layouts: dict[_LayoutKey, StatsLayout] = {}  # the oldest first
        self._kept_fields = 0
        self._page: StatisticsPage | None = None  # of the last call, on a large host
        self._order: tuple[object, list[SimulatedGuest]] = (None, [])

    def connect_get_all_domain_stats(
        self, doms: list[DomainHandle], stats: int, flags: int
    ) -> tuple[list[Encoded] | Encoded]:
        """Return the statistics of those domains that pass the filter, given ones or all."""
        known = _ENFORCE | _BACKING | _NOWAIT | _LIST_FILTERS
        refusals.check_flags(flags, known, "qemuConnectGetAllDomainStats")
        groups = (stats or _SERVED) & _SERVED
        if doms:
            by_uuid = self._state.by_uuid
            guests = [by_uuid[dom.uuid] for dom in doms if dom.uuid in by_uuid]
        else:
            guests = self._ordered()
        if flags & _LIST_FILTERS:
            passes = list_filter(self._state, flags & _LIST_FILTERS)
            guests = [guest for guest in guests if passes(guest)]
        if flags & _ENFORCE:
            _enforce(stats, guests)
        if len(guests) > DOMAINS_MAX:
            raise errors.internal_error(
                f"Number of domain stats records is {len(guests)}, which exceeds max limit: "
                f"{DOMAINS_MAX}",
                errors.ErrorDomain.RPC,
            )
        columns = self._state.host.scheduler.columns
        if columns is None or not guests:
            return ([record for record, _ in (self._record(guest, groups) for guest in guests)],)
        page, self._page = self._page, None  # one that cannot be brought up to date is given up
        if page is None or page.groups != groups or page.guests != guests:
            page = StatisticsPage(
                columns,
                guests,
                groups,
                lambda guest: self._record(guest, groups),
                lambda guest: self._stamp(guest, groups),
            )
        filled = page.filled(self._state.host.now_ns, self._state.changes)
        self._page = page
        return (filled,)

    def _ordered(self) -> list[SimulatedGuest]:
        """Return the running guests by id, then the others."""
        changes = (self._state.changes, len(self._state.by_uuid))
        if changes != self._order[0] or self._state.host.scheduler.columns is None:
            guests = self._state.by_uuid.values()
            ordered = sorted(guests, key=lambda guest: (guest.id < 0, guest.id))
            self._order = (changes, ordered)
        return self._order[1]

    def _stamp(self, guest: SimulatedGuest, groups: int) -> object:
        """Return a value that is the same while a record is, but for what its vCPUs ran."""
        config = self._state.config(guest)
        shown: tuple[object, ...] = (
            *(guest.id, guest.state, guest.reason, guest.name, guest.spec.vcpus, guest.blocked),
            *(config.live_vcpus_max, config.vnets, config.now.disks, config.live_max_memory_kib),
        )
        if guest.id < 0:
            return (
                *shown,
                config.vcpus,
                config.vcpus_max,
                config.memory_kib,
                config.max_memory_kib,
            )
        if groups & _BALLOON:
            return (*shown, guest.memory.stamp(self._state.host.now_ns))
        return shown

    def _record(self, guest: SimulatedGuest, groups: int) -> tuple[Encoded, StatsLayout]:
        running = guest.id >= 0
        config = self._state.config(guest)
        values: list[int | str] = []
        memory_names: tuple[str, ...] = ()
        if groups & _STATE:
            values += (guest.state, guest.reason)
        if running and groups & _CPU:
            values += (guest.cpu_time_ns(), guest.user_time_ns(), guest.system_time_ns())
        if groups & _BALLOON:
            if running:
                now_ns = self._state.host.now_ns
                # Without the domain's lock QEMU is not asked.
                statistics = {} if guest.blocked else guest.memory.statistics(now_ns)
                values += (guest.memory.info_kib(now_ns), config.live_max_memory_kib)
                memory_names = tuple(statistics)
                values += [statistics[name] for _, name in _BALLOON_FIELDS if name in statistics]
            else:
                values += (config.memory_kib, config.max_memory_kib)
        if groups & _VCPU:
            self._add_vcpus(guest, config, values, running)
        nets: Sequence[str] = ()
        if running and groups & _INTERFACE:
            nets = config.vnets
            values.append(len(nets))
            for name in nets:
                values += (name, *_NET_VALUES)
        disks: Sequence[Disk] = ()
        if groups & _BLOCK:
            disks = config.now.disks
            self._add_disks(disks, values, running, guest.blocked)
        key = (
            groups,
            guest.spec.vcpus,
            running,
            memory_names,
            len(nets),
            tuple([path != "" for _, path in disks]),
            guest.blocked,
        )
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._keep(key, _layout(*key))
        return layout.record(handle_of(guest), values), layout

    def _keep(self, key: _LayoutKey, layout: StatsLayout) -> StatsLayout:
        """Keep a template for the next call, in the place of the oldest where there are many."""
        self._kept_fields += len(layout.fields)
        while self._layouts and self._kept_fields > _KEPT_FIELDS_MAX:
            oldest = self._layouts.pop(next(iter(self._layouts)))
            self._kept_fields -= len(oldest.fields)
        self._layouts[key] = layout
        return layout

    @staticmethod
    def _add_disks(
        disks: Sequence[Disk], values: list[int | str], running: bool, blocked: bool
    ) -> None:
        values.append(len(disks))
        for name, path in disks:
            values.append(name)
            if path:
                values.append(path)
            if running and not blocked:
                values += _BLOCK_VALUES
            if path and not blocked:
                values += _BLOCK_SIZE_VALUES

    @staticmethod
    def _add_vcpus(
        guest: SimulatedGuest, config: DomainConfig, values: list[int | str], running: bool
    ) -> None:
        if not running:
            values += (config.vcpus, config.vcpus_max)
            return
        values += (guest.spec.vcpus, config.live_vcpus_max)
        for vcpu in guest.vcpus:
            # Linux keeps no wait time where schedstats are off, as they are by default.
            values += (
                _VCPU_RUNNING,
                in_ticks(vcpu.thread_run_ns()),
                0,
                vcpu.thread_delay_ns(),
                vcpu.halted,
            )


def _enforce(stats: int, guests: Sequence[SimulatedGuest]) -> None:
    """Refuse groups that there is a guest without.

    Raises:
        LibvirtError: there is such a group.
    """
    for guest in guests:
        if missing := stats & ~(_KNOWN if guest.id >= 0 else _KNOWN_STOPPED):
            raise errors.argument_unsupported(
                f"Stats types bits 0x{missing:x} are not supported by this daemon or QEMU"
            )


def _layout(
    groups: int,
    vcpus: int,
    running: bool,
    memory_names: tuple[str, ...],
    nets: int,
    disks: tuple[bool, ...],
    blocked: bool,
) -> StatsLayout:
    """Return the template of a domain's record; fields stand in the order of `_record`."""
    fields: list[tuple[str, ParamType]] = []
    if groups & _STATE:
        fields += [("state.state", _INT), ("state.reason", _INT)]
    if running and groups & _CPU:
        fields += [("cpu.time", _ULL), ("cpu.user", _ULL), ("cpu.system", _ULL)]
    if groups & _BALLOON:
        fields += [("balloon.current", _ULL), ("balloon.maximum", _ULL)]
        fields += [(field, _ULL) for field, name in _BALLOON_FIELDS if name in memory_names]
    if groups & _VCPU:
        fields += [("vcpu.current", _UINT), ("vcpu.maximum", _UINT)]
        for number in range(vcpus if running else 0):
            fields += [
                (f"vcpu.{number}.state", _INT),
                (f"vcpu.{number}.time", _ULL),
                (f"vcpu.{number}.wait", _ULL),
                (f"vcpu.{number}.delay", _ULL),
                (f"vcpu.{number}.halted", _BOOL),
            ]
    if running and groups & _INTERFACE:
        fields.append(("net.count", _UINT))
        for number in range(nets):
            fields.append((f"net.{number}.name", _STR))
            fields += [(f"net.{number}.{field}", _ULL) for field in _NET_COUNTERS]
    if groups & _BLOCK:
        fields.append(("block.count", _UINT))
        for number, filled in enumerate(disks):
            disk = f"block.{number}"
            fields.append((f"{disk}.name", _STR))
            if filled:
                fields.append((f"{disk}.path", _STR))
            if running and not blocked:
                fields += [(f"{disk}.{field}", _ULL) for field in _BLOCK_COUNTERS]
            if filled and not blocked:
                fields += [(f"{disk}.{field}", _ULL) for field in _BLOCK_SIZES]
    return StatsLayout(fields)
