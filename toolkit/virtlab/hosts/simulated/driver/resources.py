"""Handlers of networks, storage, interfaces, devices, secrets and filters: there are none.

Tools list them beside the domains, and take an empty list well but not an error. The guests'
network `default` is a name in their descriptions only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from virtlab.hosts.simulated.driver import refusals
from virtlab.libvirt_rpc.errors import ErrorCode, ErrorDomain, LibvirtError, format_uuid

__all__ = ["ResourceHandlers"]

_NODE_DEVICE_FLAGS = 0xC03FFFFF  # virConnectListAllNodeDeviceFlags: capabilities, and the state
_NONE: tuple[list[Any]] = ([],)
_List = tuple[list[Any], int]
_NO_LIST: _List = ([], 0)


def _count(_self: object) -> tuple[int]:
    """Return how many there are: none."""
    return (0,)


def _names(_self: object, maxnames: int) -> tuple[list[Any]]:
    """Return their names: none."""
    return _NONE


def _all(function: str, domain: ErrorDomain, known: int) -> Callable[[object, int, int], _List]:
    """Return the handler that lists them all, by a function of libvirt's with flags that it has."""

    def handle(_self: object, need_results: int, flags: int) -> _List:
        refusals.check_flags(flags, known, function, domain)
        return _NO_LIST

    return handle


def _missing(code: ErrorCode, domain: ErrorDomain, detail: str) -> NoReturn:
    raise LibvirtError.of(code, detail, domain)


class ResourceHandlers:
    """Answers that there is nothing of the kind."""

    connect_num_of_networks = connect_num_of_defined_networks = _count
    connect_list_networks = connect_list_defined_networks = _names
    connect_list_all_networks = _all("networkConnectListAllNetworks", ErrorDomain.NETWORK, 0x3F)

    connect_num_of_storage_pools = connect_num_of_defined_storage_pools = _count
    connect_list_storage_pools = connect_list_defined_storage_pools = _names
    connect_list_all_storage_pools = _all(
        "storageConnectListAllStoragePools", ErrorDomain.STORAGE, 0xFFFFF
    )

    connect_num_of_interfaces = connect_num_of_defined_interfaces = _count
    connect_list_interfaces = connect_list_defined_interfaces = _names
    connect_list_all_interfaces = _all("udevConnectListAllInterfaces", ErrorDomain.INTERFACE, 0x3)

    connect_num_of_secrets = connect_num_of_nwfilters = _count
    connect_list_secrets = connect_list_nwfilters = _names
    connect_list_all_secrets = _all("secretConnectListAllSecrets", ErrorDomain.SECRET, 0xF)
    connect_list_all_nwfilters = _all("nwfilterConnectListAllNWFilters", ErrorDomain.NWFILTER, 0)
    connect_list_all_nwfilter_bindings = _all(
        "nwfilterConnectListAllNWFilterBindings", ErrorDomain.NWFILTER, 0
    )
    connect_list_all_node_devices = _all(
        "nodeConnectListAllNodeDevices", ErrorDomain.NODE_DEVICE, _NODE_DEVICE_FLAGS
    )

    def node_num_of_devices(self, cap: str | None, flags: int) -> tuple[int]:
        """Return how many devices with a capability there are: none."""
        refusals.check_flags(flags, 0, "nodeNumOfDevices", ErrorDomain.NODE_DEVICE)
        return (0,)

    def node_list_devices(self, cap: str | None, maxnames: int, flags: int) -> tuple[list[Any]]:
        """Return the names of devices with a capability: none."""
        refusals.check_flags(flags, 0, "nodeListDevices", ErrorDomain.NODE_DEVICE)
        return _NONE

    def network_lookup_by_name(self, name: str) -> NoReturn:
        """Find no network."""
        detail = f"no network with matching name '{name}'"
        _missing(ErrorCode.NO_NETWORK, ErrorDomain.NETWORK, detail)

    def network_lookup_by_uuid(self, uuid: bytes) -> NoReturn:
        """Find no network."""
        detail = f"no network with matching uuid '{format_uuid(uuid)}'"
        _missing(ErrorCode.NO_NETWORK, ErrorDomain.NETWORK, detail)

    def storage_pool_lookup_by_name(self, name: str) -> NoReturn:
        """Find no storage pool."""
        detail = f"no storage pool with matching name '{name}'"
        _missing(ErrorCode.NO_STORAGE_POOL, ErrorDomain.STORAGE, detail)

    def storage_pool_lookup_by_uuid(self, uuid: bytes) -> NoReturn:
        """Find no storage pool."""
        detail = f"no storage pool with matching uuid '{format_uuid(uuid)}'"
        _missing(ErrorCode.NO_STORAGE_POOL, ErrorDomain.STORAGE, detail)

    def storage_pool_lookup_by_target_path(self, path: str) -> NoReturn:
        """Find no storage pool."""
        detail = f"no storage pool with matching target path '{path}'"
        _missing(ErrorCode.NO_STORAGE_POOL, ErrorDomain.STORAGE, detail)

    def storage_vol_lookup_by_key(self, key: str) -> NoReturn:
        """Find no volume."""
        detail = f"no storage vol with matching key {key}"
        _missing(ErrorCode.NO_STORAGE_VOL, ErrorDomain.STORAGE, detail)

    def storage_vol_lookup_by_path(self, path: str) -> NoReturn:
        """Find no volume."""
        detail = f"no storage vol with matching path '{path}'"
        _missing(ErrorCode.NO_STORAGE_VOL, ErrorDomain.STORAGE, detail)

    def interface_lookup_by_name(self, name: str) -> NoReturn:
        """Find no interface."""
        detail = f"couldn't find interface named '{name}'"
        _missing(ErrorCode.NO_INTERFACE, ErrorDomain.INTERFACE, detail)

    def interface_lookup_by_mac_string(self, mac: str) -> NoReturn:
        """Find no interface."""
        detail = f"couldn't find interface with MAC address '{mac}'"
        _missing(ErrorCode.NO_INTERFACE, ErrorDomain.INTERFACE, detail)

    def node_device_lookup_by_name(self, name: str) -> NoReturn:
        """Find no device."""
        detail = f"no node device with matching name '{name}'"
        _missing(ErrorCode.NO_NODE_DEVICE, ErrorDomain.NODE_DEVICE, detail)

    def secret_lookup_by_uuid(self, uuid: bytes) -> NoReturn:
        """Find no secret."""
        detail = f"no secret with matching uuid '{format_uuid(uuid)}'"
        _missing(ErrorCode.NO_SECRET, ErrorDomain.SECRET, detail)

    def secret_lookup_by_usage(self, usage_type: int, usage_id: str) -> NoReturn:
        """Find no secret."""
        detail = f"no secret with matching usage '{usage_id}'"
        _missing(ErrorCode.NO_SECRET, ErrorDomain.SECRET, detail)

    def nwfilter_lookup_by_name(self, name: str) -> NoReturn:
        """Find no network filter."""
        detail = f"no nwfilter with matching name '{name}'"
        _missing(ErrorCode.NO_NWFILTER, ErrorDomain.NWFILTER, detail)

    def nwfilter_lookup_by_uuid(self, uuid: bytes) -> NoReturn:
        """Find no network filter."""
        detail = f"no nwfilter with matching uuid '{format_uuid(uuid)}'"
        _missing(ErrorCode.NO_NWFILTER, ErrorDomain.NWFILTER, detail)
