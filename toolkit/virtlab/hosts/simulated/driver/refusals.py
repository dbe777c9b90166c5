"""Refusals of libvirt's QEMU driver that only one call has, word for word.

Source: a libvirtd 9.0.0 asked the same; the details are the message texts of its QEMU driver.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.errors import (
    ErrorCode,
    ErrorDomain,
    LibvirtError,
    argument_unsupported,
    internal_error,
    operation_invalid,
    operation_unsupported,
)

__all__ = [
    "bad_argument",
    "bad_cell",
    "bad_node_cpu",
    "below",
    "check_flags",
    "check_nonzero",
    "check_room",
    "driver_invalid",
    "no_agent",
    "no_cause",
    "no_metadata",
    "no_per_pcpu_times",
    "one_impact",
    "only_minus_one",
    "start_cell_out_of_range",
    "transient",
]

_LIVE_AND_CONFIG = 3  # virDomainModificationImpact


def driver_invalid(detail: str) -> LibvirtError:
    """Return error 55 where the QEMU driver itself complains, not the configuration's check."""
    return operation_invalid(detail, ErrorDomain.QEMU)


def transient() -> LibvirtError:
    """Return error 55 of a change to the stored description of a domain that has none."""
    return operation_invalid("transient domains do not have any persistent config")


def no_agent() -> LibvirtError:
    """Return error 74 of a call that only a guest's agent could answer."""
    return argument_unsupported("QEMU guest agent is not configured")


def no_metadata() -> LibvirtError:
    """Return error 80 of a note that a domain does not carry."""
    detail = "Requested metadata element is not present"
    return LibvirtError.of(ErrorCode.NO_DOMAIN_METADATA, detail, ErrorDomain.DOMAIN)


def no_per_pcpu_times() -> LibvirtError:
    """Return error 84 of CPU statistics per pCPU on a host with cgroup v2."""
    detail = "operation 'getCpuacctPercpuUsage' not supported for backend 'cgroup V2'"
    return operation_unsupported(detail, ErrorDomain.CGROUP)


def bad_argument(
    function: str, argument: str, message: str, domain: int = ErrorDomain.DOMAIN
) -> LibvirtError:
    """Return error 8 as libvirt's own checks of arguments give it.

    Unlike other errors it has bare names for template and detail, and zeros for numbers.
    """
    return LibvirtError(ErrorCode.INVALID_ARG, domain, message, function, argument, int1=0, int2=0)


def check_flags(flags: int, known: int, function: str, domain: int = ErrorDomain.QEMU) -> None:
    """Refuse bits that a function of the QEMU driver, or of another one, does not know.

    Raises:
        LibvirtError: there are some.
    """
    if unknown := flags & ~known:
        message = f"unsupported flags (0x{unknown:x}) in function {function}"
        raise bad_argument(function, "flags", message, domain)


def one_impact(flags: int, function: str, argument: str = "ctl") -> None:
    """Refuse a question about the running and the stored domain at once.

    Raises:
        LibvirtError: both bits are set.
    """
    if flags & _LIVE_AND_CONFIG == _LIVE_AND_CONFIG:
        message = (
            "Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive"
        )
        raise bad_argument(function, argument, message)


def check_nonzero(value: int, argument: str, function: str) -> None:
    """Refuse a zero.

    Raises:
        LibvirtError: it is one.
    """
    if value == 0:
        raise bad_argument(function, argument, f"{argument} in {function} must not be zero")


def only_minus_one(argument: str, function: str) -> LibvirtError:
    """Return error 8 of a negative number that is not the one which means all.

    The memory statistics' check names the wrong argument in its detail, as real hosts do.
    """
    message = f"{argument} in {function} only accepts -1 as a negative value"
    return bad_argument(function, "cpuNum", message)


def check_room(nparams: int, needed: int, what: str, function: str, argument: str) -> None:
    """Refuse room for another number of parameters than there are; none asks for their number.

    Args:
        nparams: the room.
        needed: how many there are.
        what: how libvirt says that it has to be as many, such as "must be".
        function: that of libvirt which checks.
        argument: its name there.

    Raises:
        LibvirtError: it is another number.
    """
    if nparams not in (0, needed):
        message = f"nparams in {function} {what} {needed}"
        raise bad_argument(function, argument, message, ErrorDomain.NONE)


def below(argument: str, function: str, least: str) -> LibvirtError:
    """Return error 8 of a number below the `least` that libvirt takes, "zero or greater" say."""
    return bad_argument(function, argument, f"{argument} in {function} must be {least}")


def no_cause() -> LibvirtError:
    """Return error 1 of a call that failed where libvirt has no words for it."""
    message = "An error occurred, but the cause is unknown"
    return LibvirtError(ErrorCode.INTERNAL_ERROR, ErrorDomain.NONE, message, int1=0, int2=0)


def bad_node_cpu() -> LibvirtError:
    """Return error 8 of node statistics for a pCPU that is not there."""
    function = "virHostCPUGetStatsLinux"
    return bad_argument(function, "cpuNum", f"Invalid cpuNum in {function}", ErrorDomain.NONE)


def bad_cell(last: int = 0) -> LibvirtError:
    """Return error 8 of memory statistics for a NUMA cell that is not there."""
    function = "virHostMemGetStats"
    message = f"cellNum in {function} must be less than or equal to {last}"
    return bad_argument(function, "cellNum", message, ErrorDomain.NONE)


def start_cell_out_of_range(cell: int, last: int = 0) -> LibvirtError:
    """Return error 1 of a question for the free memory of cells that are not there."""
    return internal_error(f"start cell {cell} out of range (0-{last})", ErrorDomain.NONE)
