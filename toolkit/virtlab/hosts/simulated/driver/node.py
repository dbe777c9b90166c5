"""Handlers of the host's own figures: processors, memory and their statistics."""

from __future__ import annotations

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.machines import HOST_ARCHITECTURE
from virtlab.hosts.simulated.driver.node_topology import node_shape
from virtlab.hosts.simulated.driver.state import STRING_OKAY, DriverState
from virtlab.hosts.simulated.driver.values import cpu_map, in_ticks
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain
from virtlab.libvirt_rpc.typed import Param, ParamType

__all__ = ["NodeHandlers"]

_BYTES_PER_KIB = 1024
_ALL = -1  # cpuNum or cellNum of the whole host

# How many figures there are of pCPUs, of the host's memory and of a cell's.
_CPU_FIELDS, _MEMORY_FIELDS, _CELL_FIELDS = 4, 4, 2

# Sizes of pages that an x86 machine has, in KiB; all memory here is in ordinary ones.
_PAGE_KIB = 4
_HUGE_PAGE_KIB = 2048

# Kernel same-page merging of a host on which it was never switched on: Linux's defaults.
_MEMORY_PARAMETERS = (
    Param("shm_pages_to_scan", ParamType.UINT, 100),
    Param("shm_sleep_millisecs", ParamType.UINT, 20),
    Param("shm_pages_shared", ParamType.ULLONG, 0),
    Param("shm_pages_sharing", ParamType.ULLONG, 0),
    Param("shm_pages_unshared", ParamType.ULLONG, 0),
    Param("shm_pages_volatile", ParamType.ULLONG, 0),
    Param("shm_full_scans", ParamType.ULLONG, 0),
    Param("shm_merge_across_nodes", ParamType.UINT, 1),
)

# virSecurityModel of a host with neither SELinux nor AppArmor: C texts with their closing zeros.
_NO_MODEL = (list(b"none\0"), list(b"0\0"))

Fields = list[tuple[str, int]]


class NodeHandlers:
    """Answers about the simulated machine."""

    def __init__(self, state: DriverState) -> None:
        self._host = state.host
        self._spec = state.host.spec
        self._cells = state.host.spec.layout.cells

    def node_get_info(self) -> tuple[str, int, int, int, int, int, int, int]:
        """Return model, memory, pCPUs, clock rate and topology."""
        spec = self._spec
        shape = node_shape(spec.layout)
        return (HOST_ARCHITECTURE, spec.memory_kib, spec.pcpus, spec.mhz, *shape)

    def node_get_cpu_map(
        self, need_map: int, need_online: int, flags: int
    ) -> tuple[bytes, int, int]:
        """Return the map and the number of the pCPUs that are online: all of them."""
        refusals.check_flags(flags, 0, "virHostCPUGetMap", ErrorDomain.NONE)
        pcpus = self._spec.pcpus
        online = cpu_map(range(pcpus), (pcpus + 7) // 8) if need_map else b""
        return (online, pcpus if need_online else 0, pcpus)

    def node_get_cpu_stats(self, number: int, nparams: int, flags: int) -> tuple[Fields, int]:
        """Return time since boot by kind, of one pCPU or of all, in the kernel's ticks."""
        if number < _ALL:
            raise refusals.only_minus_one("cpuNum", "virNodeGetCPUStats")
        refusals.check_flags(flags, 0, "virHostCPUGetStats", ErrorDomain.NONE)
        function = "virHostCPUGetStatsLinux"
        refusals.check_room(nparams, _CPU_FIELDS, "must be equal to", function, "*nparams")
        if nparams == 0:
            return ([], _CPU_FIELDS)
        if number != _ALL and not 0 <= number < self._spec.pcpus:
            raise refusals.bad_node_cpu()
        numbers = range(self._spec.pcpus) if number == _ALL else (number,)
        times = [self._host.pcpu_times_ns(pcpu) for pcpu in numbers]
        fields = [
            ("kernel", sum(in_ticks(time.kernel) for time in times)),
            ("user", sum(in_ticks(time.user) for time in times)),
            ("idle", sum(in_ticks(time.idle) for time in times)),
            ("iowait", sum(in_ticks(time.iowait) for time in times)),
        ]
        return (fields, 0)

    def node_get_memory_stats(self, nparams: int, cell: int, flags: int) -> tuple[Fields, int]:
        """Return the host's memory, or that of a NUMA cell."""
        if cell < _ALL:
            raise refusals.only_minus_one("cellNum", "virNodeGetMemoryStats")
        refusals.check_flags(flags, 0, "virHostMemGetStats", ErrorDomain.NONE)
        if cell >= len(self._cells):
            raise refusals.bad_cell(len(self._cells) - 1)
        needed = _MEMORY_FIELDS if cell == _ALL else _CELL_FIELDS
        refusals.check_room(nparams, needed, "must be", "virHostMemGetStatsLinux", "nparams")
        if nparams == 0:
            return ([], needed)
        memory = self._host.memory()
        if cell == _ALL:
            fields = [("total", memory.total_kib), ("free", memory.free_kib)]
            fields += [("buffers", memory.buffers_kib), ("cached", memory.cached_kib)]
        else:
            free_kib = self._host.cells_free_kib()[cell]
            fields = [("total", self._cells[cell].memory_kib), ("free", free_kib)]
        return (fields, 0)

    def node_get_free_memory(self) -> tuple[int]:
        """Return the free memory in bytes."""
        return (self._host.memory().free_kib * _BYTES_PER_KIB,)

    def node_get_cells_free_memory(self, start: int, maxcells: int) -> tuple[list[int]]:
        """Return the free memory of each NUMA cell in bytes."""
        function = "virNodeGetCellsFreeMemory"
        if maxcells <= 0:
            raise refusals.below("maxCells", function, "greater than zero")
        if start < 0:
            raise refusals.below("startCell", function, "zero or greater")
        last = len(self._cells) - 1
        if start > last:
            raise refusals.start_cell_out_of_range(start, last)
        free_kib = self._host.cells_free_kib()[start : start + maxcells]
        return ([kib * _BYTES_PER_KIB for kib in free_kib],)

    def node_get_free_pages(
        self, pages: list[int], start: int, count: int, flags: int
    ) -> tuple[list[int]]:
        """Return how many pages of each size are free, cell by cell; -1 stands for the host."""
        refusals.check_nonzero(len(pages), "npages", "virNodeGetFreePages")
        refusals.check_nonzero(count, "cellCount", "virNodeGetFreePages")
        refusals.check_flags(flags, 0, "qemuNodeGetFreePages")
        last = len(self._cells) - 1
        if start > last:
            raise refusals.start_cell_out_of_range(start, last)
        if start < _ALL:
            raise refusals.no_cause()
        by_cell = self._host.cells_free_kib()
        counts = []
        for cell in range(start, min(start + count, last + 1)):
            free_kib = sum(by_cell) if cell < 0 else by_cell[cell]
            for size in pages:
                if size not in (_PAGE_KIB, _HUGE_PAGE_KIB):
                    where = "" if cell == _ALL else f" on node {cell}"
                    detail = f"page size {size} is not available{where}"
                    raise errors.operation_failed(detail, ErrorDomain.NONE)
                counts.append(free_kib // _PAGE_KIB if size == _PAGE_KIB else 0)
        return (counts,)

    def node_get_memory_parameters(self, nparams: int, flags: int) -> tuple[list[Param], int]:
        """Return how the host merges equal pages: not at all."""
        refusals.check_flags(flags, STRING_OKAY, "virHostMemGetParameters", ErrorDomain.NONE)
        return (list(_MEMORY_PARAMETERS[:nparams]), 0 if nparams else len(_MEMORY_PARAMETERS))

    def node_get_security_model(self) -> tuple[list[int], list[int]]:
        """Return the security model: none."""
        return _NO_MODEL
