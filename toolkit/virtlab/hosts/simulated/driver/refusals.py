"""Refusals of libvirt's QEMU driver that only one call has, word for word.

Source: a libvirtd 9.0.0 asked the same; the details are the message texts of its QEMU driver.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.errors import (
    ErrorCode,
    ErrorDomain,
    LibvirtError,
    internal_error,
    operation_invalid,
    operation_unsupported,
)

__all__ = [
    "bad_cell",
    "bad_node_cpu",
    "driver_invalid",
    "no_connection",
    "no_per_pcpu_times",
    "start_cell_out_of_range",
    "unsupported_flags",
]

_NO_CONNECT = 5


def no_connection(name: str) -> LibvirtError:
    """Return error 5: the URI names a driver that this host does not have."""
    template = "no connection driver available for %s"
    return LibvirtError(_NO_CONNECT, ErrorDomain.NONE, template % name, template, name)


def driver_invalid(detail: str) -> LibvirtError:
    """Return error 55 where the QEMU driver itself complains, not the configuration's check."""
    return operation_invalid(detail, ErrorDomain.QEMU)


def no_per_pcpu_times() -> LibvirtError:
    """Return error 84 of CPU statistics per pCPU on a host with cgroup v2."""
    detail = "operation 'getCpuacctPercpuUsage' not supported for backend 'cgroup V2'"
    return operation_unsupported(detail, ErrorDomain.CGROUP)


def unsupported_flags(flags: int, function: str) -> LibvirtError:
    """Return error 8 as libvirt's flag check gives it: template and detail are bare names."""
    message = f"unsupported flags (0x{flags:x}) in function {function}"
    return LibvirtError(ErrorCode.INVALID_ARG, ErrorDomain.QEMU, message, function, "flags")


def bad_node_cpu() -> LibvirtError:
    """Return error 8 of node statistics for a pCPU that is not there."""
    function = "virHostCPUGetStatsLinux"
    message = f"Invalid cpuNum in {function}"
    return LibvirtError(ErrorCode.INVALID_ARG, ErrorDomain.NONE, message, function, "cpuNum")


def bad_cell() -> LibvirtError:
    """Return error 8 of memory statistics for a NUMA cell that is not there."""
    function = "virHostMemGetStats"
    message = f"cellNum in {function} must be less than or equal to 0"
    return LibvirtError(ErrorCode.INVALID_ARG, ErrorDomain.NONE, message, function, "cellNum")


def start_cell_out_of_range(cell: int) -> LibvirtError:
    """Return error 1 of a question for the free memory of cells that are not there."""
    return internal_error(f"start cell {cell} out of range (0-0)", ErrorDomain.NONE)
