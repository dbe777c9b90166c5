"""Handlers of disks and interfaces: each guest has one of both, and neither is ever busy."""

from __future__ import annotations

from virtlab.hosts.simulated.driver.descriptions import DISK, disk_path, interface_name
from virtlab.hosts.simulated.driver.state import DriverState
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import SimulatedGuest

__all__ = ["DeviceHandlers"]

_UNKNOWN = -1
_BLOCK_FIELDS = ("wr_bytes", "wr_operations", "rd_bytes", "rd_operations")


class DeviceHandlers:
    """Answers about traffic: there is none."""

    def __init__(self, state: DriverState) -> None:
        self._state = state

    def domain_block_stats(self, dom: DomainHandle, path: str) -> tuple[int, int, int, int, int]:
        """Return reads and writes of a disk."""
        self._disk(dom, path)
        return (0, 0, 0, 0, _UNKNOWN)

    def domain_block_stats_flags(
        self, dom: DomainHandle, path: str, nparams: int, flags: int
    ) -> tuple[list[Param], int]:
        """Return reads and writes of a disk as named values."""
        self._disk(dom, path)
        if nparams == 0:
            return ([], len(_BLOCK_FIELDS))
        params = [Param(field, ParamType.LLONG, 0) for field in _BLOCK_FIELDS][: max(nparams, 0)]
        return (params, len(params))

    def domain_interface_stats(
        self, dom: DomainHandle, device: str
    ) -> tuple[int, int, int, int, int, int, int, int]:
        """Return what an interface received and sent."""
        guest = self._state.running(dom)
        if device != interface_name(guest.id):
            raise errors.invalid_argument(f"'{device}' is not a known interface")
        return (0, 0, 0, 0, 0, 0, 0, 0)

    def _disk(self, dom: DomainHandle, path: str) -> SimulatedGuest:
        guest = self._state.running(dom)
        if path not in ("", DISK, disk_path(guest.spec)):
            raise errors.invalid_argument(f"invalid path: {path}")
        return guest
