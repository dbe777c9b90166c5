"""Handlers of disks and interfaces; none of them is ever busy."""

from __future__ import annotations

from typing import Final

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.config import Disk
from virtlab.hosts.simulated.driver.state import STRING_OKAY, DriverState
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import SimulatedGuest

__all__ = ["DISK_BYTES", "DISK_USED_BYTES", "DeviceHandlers"]

# Each disk is an image of 10 GiB of which a cloud system uses one.
DISK_BYTES: Final = 10 << 30
DISK_USED_BYTES: Final = 1 << 30

_UNKNOWN = -1
_BLOCK_FIELDS = ("wr_bytes", "wr_operations", "rd_bytes", "rd_operations")
_JOB_BANDWIDTH_BYTES = 1  # virDomainBlockJobInfoFlags


class DeviceHandlers:
    """Answers about traffic: there is none."""

    def __init__(self, state: DriverState) -> None:
        self._state = state

    def domain_block_stats(self, dom: DomainHandle, path: str) -> tuple[int, int, int, int, int]:
        """Return reads and writes of a disk, or of all."""
        self._running_disk(dom, path)
        return (0, 0, 0, 0, _UNKNOWN)

    def domain_block_stats_flags(
        self, dom: DomainHandle, path: str, nparams: int, flags: int
    ) -> tuple[list[Param], int]:
        """Return reads and writes of a disk as named values."""
        refusals.check_flags(flags, STRING_OKAY, "qemuDomainBlockStatsFlags")
        self._running_disk(dom, path)
        if nparams == 0:
            return ([], len(_BLOCK_FIELDS))
        params = [Param(field, ParamType.LLONG, 0) for field in _BLOCK_FIELDS][:nparams]
        return (params, len(params))

    def domain_get_block_info(
        self, dom: DomainHandle, path: str, flags: int
    ) -> tuple[int, int, int]:
        """Return how large a disk is, in bytes."""
        refusals.check_flags(flags, 0, "qemuDomainGetBlockInfo")
        if self._disk(self._state.guest(dom), path) is None:
            raise errors.invalid_argument(f"invalid path {path} not assigned to domain")
        return (DISK_USED_BYTES, DISK_BYTES, DISK_USED_BYTES)

    def domain_get_block_job_info(
        self, dom: DomainHandle, path: str, flags: int
    ) -> tuple[int, int, int, int, int]:
        """Return that no job works on a disk."""
        refusals.check_flags(flags, _JOB_BANDWIDTH_BYTES, "qemuDomainGetBlockJobInfo")
        if self._disk(self._state.running(dom), path) is None:
            raise errors.invalid_argument(f"disk '{path}' not found in domain")
        return (0, 0, 0, 0, 0)

    def domain_get_disk_errors(
        self, dom: DomainHandle, maxerrors: int, flags: int
    ) -> tuple[list[tuple[str, int]], int]:
        """Return which disks failed: none."""
        refusals.check_flags(flags, 0, "qemuDomainGetDiskErrors")
        self._state.running(dom)
        return ([], 0)

    def domain_interface_stats(
        self, dom: DomainHandle, device: str
    ) -> tuple[int, int, int, int, int, int, int, int]:
        """Return what an interface received and sent."""
        guest = self._state.running(dom)
        if device not in self._state.vnets(guest):
            raise errors.invalid_argument(
                f"'{device}' is not a known interface", ErrorDomain.DOMAIN
            )
        return (0, 0, 0, 0, 0, 0, 0, 0)

    def _running_disk(self, dom: DomainHandle, path: str) -> None:
        guest = self._state.running(dom)
        if path and self._disk(guest, path) is None:
            raise errors.invalid_argument(f"invalid path: {path}")

    def _disk(self, guest: SimulatedGuest, path: str) -> Disk | None:
        """Return the disk with a target or a path."""
        for disk in self._state.disks(guest):
            if path and path in disk:
                return disk
        return None
