"""How much a client may ask for in one call, as libvirtd's dispatcher checks it before the driver.

A reply has a place for so many names, parameters or CPU maps; who asks for more, or for a negative
number, is refused before memory is taken for the answer. Clients that are linked with libvirt check
most of it themselves.

Source: the limits of remote_protocol.x; a libvirtd 9.0.0 that was asked for more of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain, LibvirtError

__all__ = ["too_much"]

_Check = Callable[[Any], LibvirtError | None]

_LIST_MAX: Final = 16_384  # REMOTE_DOMAIN_LIST_MAX and its like
_DEVICES_MAX: Final = 65_536  # REMOTE_NODE_DEVICE_LIST_MAX
_CELLS_MAX: Final = 1024  # REMOTE_NODE_MAX_CELLS
_PARAMS_MAX: Final = 16  # REMOTE_DOMAIN_SCHEDULER_PARAMETERS_MAX and its like
_NODE_PARAMS_MAX: Final = 64  # REMOTE_NODE_MEMORY_PARAMETERS_MAX
_CPU_STATS_MAX: Final = 128  # REMOTE_DOMAIN_GET_CPU_STATS_NCPUS_MAX
_MEMORY_STATS_MAX: Final = 1024  # REMOTE_DOMAIN_MEMORY_STATS_MAX
_DISK_ERRORS_MAX: Final = 256  # REMOTE_DOMAIN_DISK_ERRORS_MAX
_VCPUINFO_MAX: Final = 16_384  # REMOTE_VCPUINFO_MAX
_CPUMAPS_MAX: Final = 8_388_608  # REMOTE_CPUMAPS_MAX, bytes


def too_much(procedure: str, args: Any) -> LibvirtError | None:
    """Return the refusal of a call that asks for more than a reply can hold, else None."""
    check = _CHECKS.get(procedure)
    return None if check is None else check(args)


def _internal(detail: str) -> LibvirtError:
    return errors.internal_error(detail, ErrorDomain.RPC)


def _listed(field: str, limit: str, most: int = _LIST_MAX, told: str | None = None) -> _Check:
    """Return the check of a list's length; `limit` is what remote_protocol.x calls the most."""
    told = told or field

    def check(args: Any) -> LibvirtError | None:
        asked = getattr(args, field)
        if asked > most:
            return errors.rpc_error(f"{told} > {limit}")
        return errors.rpc_error(f"{told} must be non-negative") if asked < 0 else None

    return check


def _params(args: Any, most: int = _PARAMS_MAX) -> LibvirtError | None:
    if args.nparams > most:
        return _internal("nparams too large")
    return _internal("nparams must be non-negative") if args.nparams < 0 else None


def _node_params(args: Any) -> LibvirtError | None:
    return _params(args, _NODE_PARAMS_MAX)


def _cpu_stats(args: Any) -> LibvirtError | None:
    if args.ncpus > _CPU_STATS_MAX:
        return _internal("ncpus too large")
    return _params(args)


def _memory_stats(args: Any) -> LibvirtError | None:
    over = args.maxStats > _MEMORY_STATS_MAX
    return _internal("maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX") if over else None


def _disk_errors(args: Any) -> LibvirtError | None:
    return _internal("maxerrors too large") if args.maxerrors > _DISK_ERRORS_MAX else None


def _free_pages(args: Any) -> LibvirtError | None:
    over = len(args.pages) * args.cellCount > _CELLS_MAX
    return _internal("the result won't fit into REMOTE_NODE_MAX_CELLS") if over else None


def _vcpus(args: Any) -> LibvirtError | None:
    if args.maxinfo < 0 or args.maplen < 0:
        return _internal("maxinfo must be non-negative")
    return _maps(args.maxinfo, args.maplen, "maxinfo")


def _pin_info(args: Any) -> LibvirtError | None:
    for field, asked in (("ncpumaps", args.ncpumaps), ("maplen", args.maplen)):
        if asked < 0:
            return _internal(f"{field} must be non-negative")
    return _maps(args.ncpumaps, args.maplen, "ncpumaps")


def _maps(count: int, maplen: int, field: str) -> LibvirtError | None:
    if count > _VCPUINFO_MAX:
        return _internal(f"{field} > REMOTE_VCPUINFO_MAX")
    over = count * maplen > _CPUMAPS_MAX
    return _internal("maxinfo * maplen > REMOTE_CPUMAPS_MAX") if over else None


def _emulator_pin(args: Any) -> LibvirtError | None:
    if args.maplen < 0:
        return _internal("maplen must be non-negative")
    # libvirtd finds out only when it writes the reply.
    return errors.encode_error() if args.maplen > _CPUMAPS_MAX else None


_CHECKS: Final[dict[str, _Check]] = {
    "CONNECT_LIST_DOMAINS": _listed("maxids", "REMOTE_DOMAIN_LIST_MAX"),
    "CONNECT_LIST_DEFINED_DOMAINS": _listed("maxnames", "REMOTE_DOMAIN_LIST_MAX"),
    "CONNECT_LIST_NETWORKS": _listed("maxnames", "REMOTE_NETWORK_LIST_MAX"),
    "CONNECT_LIST_DEFINED_NETWORKS": _listed("maxnames", "REMOTE_NETWORK_LIST_MAX"),
    "CONNECT_LIST_STORAGE_POOLS": _listed("maxnames", "REMOTE_STORAGE_POOL_LIST_MAX"),
    "CONNECT_LIST_DEFINED_STORAGE_POOLS": _listed("maxnames", "REMOTE_STORAGE_POOL_LIST_MAX"),
    "CONNECT_LIST_INTERFACES": _listed("maxnames", "REMOTE_INTERFACE_LIST_MAX"),
    "CONNECT_LIST_DEFINED_INTERFACES": _listed("maxnames", "REMOTE_INTERFACE_LIST_MAX"),
    "CONNECT_LIST_SECRETS": _listed("maxnames", "REMOTE_SECRET_LIST_MAX", told="maxuuids"),
    "CONNECT_LIST_NWFILTERS": _listed("maxnames", "REMOTE_NWFILTER_LIST_MAX"),
    "NODE_LIST_DEVICES": _listed("maxnames", "REMOTE_NODE_DEVICE_LIST_MAX", _DEVICES_MAX),
    "NODE_GET_CELLS_FREE_MEMORY": _listed("maxcells", "REMOTE_NODE_MAX_CELLS", _CELLS_MAX),
    "DOMAIN_SNAPSHOT_LIST_NAMES": _listed("maxnames", "REMOTE_DOMAIN_SNAPSHOT_LIST_MAX"),
    "NODE_GET_CPU_STATS": _params,
    "NODE_GET_MEMORY_STATS": _params,
    "NODE_GET_MEMORY_PARAMETERS": _node_params,
    "NODE_GET_FREE_PAGES": _free_pages,
    "DOMAIN_GET_CPU_STATS": _cpu_stats,
    "DOMAIN_GET_SCHEDULER_PARAMETERS": _params,
    "DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS": _params,
    "DOMAIN_GET_MEMORY_PARAMETERS": _params,
    "DOMAIN_GET_NUMA_PARAMETERS": _params,
    "DOMAIN_GET_BLKIO_PARAMETERS": _params,
    "DOMAIN_BLOCK_STATS_FLAGS": _params,
    "DOMAIN_MEMORY_STATS": _memory_stats,
    "DOMAIN_GET_DISK_ERRORS": _disk_errors,
    "DOMAIN_GET_VCPUS": _vcpus,
    "DOMAIN_GET_VCPU_PIN_INFO": _pin_info,
    "DOMAIN_GET_EMULATOR_PIN_INFO": _emulator_pin,
}
