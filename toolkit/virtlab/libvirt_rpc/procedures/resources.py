"""Procedures about networks, storage, interfaces, devices, secrets and filters: lists, look-ups.

The simulated host has none of these. Tools still list them, and a host that has none answers with
empty lists, not with errors.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import Struct, fields
from virtlab.libvirt_rpc.values import UUID
from virtlab.libvirt_rpc.xdr import I32, U32, Array, Optional, String

__all__ = ["PROCEDURES"]

_TEXT = String()
_LIST_MAX = 16_384  # REMOTE_NETWORK_LIST_MAX and its like
_DEVICES_MAX = 65_536  # REMOTE_NODE_DEVICE_LIST_MAX

_NAMED = fields(name=_TEXT, uuid=UUID)  # networks, pools and filters
_INTERFACE = fields(name=_TEXT, mac=_TEXT)
_VOLUME = fields(pool=_TEXT, name=_TEXT, key=_TEXT)
_DEVICE = fields(name=_TEXT)
_SECRET = fields(uuid=UUID, usageType=I32, usageID=_TEXT)
_BINDING = fields(portdev=_TEXT, filtername=_TEXT)

_BY_NAME = fields(name=_TEXT)
_BY_UUID = fields(uuid=UUID)


def _count(number: int, name: str, function: str) -> Procedure:
    return Procedure(number, name, function, results=fields(num=I32))


def _names(number: int, name: str, function: str) -> Procedure:
    return Procedure(
        number, name, function, fields(maxnames=I32), fields(names=Array(_TEXT, _LIST_MAX))
    )


def _all(number: int, name: str, function: str, item: Struct, limit: int = _LIST_MAX) -> Procedure:
    return Procedure(
        number,
        name,
        function,
        fields(need_results=I32, flags=U32),
        fields(items=Array(item, limit), ret=U32),
    )


def _lookup(number: int, name: str, function: str, key: Struct, item: Struct) -> Procedure:
    return Procedure(number, name, function, key, fields(item=item))


_NETWORKS = (
    _count(52, "CONNECT_NUM_OF_NETWORKS", "virConnectNumOfNetworks"),
    _names(38, "CONNECT_LIST_NETWORKS", "virConnectListNetworks"),
    _count(50, "CONNECT_NUM_OF_DEFINED_NETWORKS", "virConnectNumOfDefinedNetworks"),
    _names(36, "CONNECT_LIST_DEFINED_NETWORKS", "virConnectListDefinedNetworks"),
    _all(283, "CONNECT_LIST_ALL_NETWORKS", "virConnectListAllNetworks", _NAMED),
    _lookup(46, "NETWORK_LOOKUP_BY_NAME", "virNetworkLookupByName", _BY_NAME, _NAMED),
    _lookup(47, "NETWORK_LOOKUP_BY_UUID", "virNetworkLookupByUUID", _BY_UUID, _NAMED),
)

_STORAGE = (
    _count(71, "CONNECT_NUM_OF_STORAGE_POOLS", "virConnectNumOfStoragePools"),
    _names(72, "CONNECT_LIST_STORAGE_POOLS", "virConnectListStoragePools"),
    _count(73, "CONNECT_NUM_OF_DEFINED_STORAGE_POOLS", "virConnectNumOfDefinedStoragePools"),
    _names(74, "CONNECT_LIST_DEFINED_STORAGE_POOLS", "virConnectListDefinedStoragePools"),
    _all(281, "CONNECT_LIST_ALL_STORAGE_POOLS", "virConnectListAllStoragePools", _NAMED),
    _lookup(84, "STORAGE_POOL_LOOKUP_BY_NAME", "virStoragePoolLookupByName", _BY_NAME, _NAMED),
    _lookup(85, "STORAGE_POOL_LOOKUP_BY_UUID", "virStoragePoolLookupByUUID", _BY_UUID, _NAMED),
    _lookup(
        391,
        "STORAGE_POOL_LOOKUP_BY_TARGET_PATH",
        "virStoragePoolLookupByTargetPath",
        fields(path=_TEXT),
        _NAMED,
    ),
    _lookup(
        96, "STORAGE_VOL_LOOKUP_BY_KEY", "virStorageVolLookupByKey", fields(key=_TEXT), _VOLUME
    ),
    _lookup(
        97, "STORAGE_VOL_LOOKUP_BY_PATH", "virStorageVolLookupByPath", fields(path=_TEXT), _VOLUME
    ),
)

_INTERFACES = (
    _count(126, "CONNECT_NUM_OF_INTERFACES", "virConnectNumOfInterfaces"),
    _names(127, "CONNECT_LIST_INTERFACES", "virConnectListInterfaces"),
    _count(137, "CONNECT_NUM_OF_DEFINED_INTERFACES", "virConnectNumOfDefinedInterfaces"),
    _names(138, "CONNECT_LIST_DEFINED_INTERFACES", "virConnectListDefinedInterfaces"),
    _all(284, "CONNECT_LIST_ALL_INTERFACES", "virConnectListAllInterfaces", _INTERFACE),
    _lookup(128, "INTERFACE_LOOKUP_BY_NAME", "virInterfaceLookupByName", _BY_NAME, _INTERFACE),
    _lookup(
        129,
        "INTERFACE_LOOKUP_BY_MAC_STRING",
        "virInterfaceLookupByMACString",
        fields(mac=_TEXT),
        _INTERFACE,
    ),
)

_DEVICES = (
    Procedure(
        111,
        "NODE_NUM_OF_DEVICES",
        "virNodeNumOfDevices",
        fields(cap=Optional(_TEXT), flags=U32),
        fields(num=I32),
    ),
    Procedure(
        112,
        "NODE_LIST_DEVICES",
        "virNodeListDevices",
        fields(cap=Optional(_TEXT), maxnames=I32, flags=U32),
        fields(names=Array(_TEXT, _DEVICES_MAX)),
    ),
    _all(
        285,
        "CONNECT_LIST_ALL_NODE_DEVICES",
        "virConnectListAllNodeDevices",
        _DEVICE,
        _DEVICES_MAX,
    ),
    _lookup(113, "NODE_DEVICE_LOOKUP_BY_NAME", "virNodeDeviceLookupByName", _BY_NAME, _DEVICE),
)

_SECRETS = (
    _count(139, "CONNECT_NUM_OF_SECRETS", "virConnectNumOfSecrets"),
    _names(140, "CONNECT_LIST_SECRETS", "virConnectListSecrets"),
    _all(287, "CONNECT_LIST_ALL_SECRETS", "virConnectListAllSecrets", _SECRET),
    _lookup(141, "SECRET_LOOKUP_BY_UUID", "virSecretLookupByUUID", _BY_UUID, _SECRET),
    _lookup(
        147,
        "SECRET_LOOKUP_BY_USAGE",
        "virSecretLookupByUsage",
        fields(usageType=I32, usageID=_TEXT),
        _SECRET,
    ),
)

_FILTERS = (
    _count(178, "CONNECT_NUM_OF_NWFILTERS", "virConnectNumOfNWFilters"),
    _names(179, "CONNECT_LIST_NWFILTERS", "virConnectListNWFilters"),
    _all(286, "CONNECT_LIST_ALL_NWFILTERS", "virConnectListAllNWFilters", _NAMED),
    _all(401, "CONNECT_LIST_ALL_NWFILTER_BINDINGS", "virConnectListAllNWFilterBindings", _BINDING),
    _lookup(175, "NWFILTER_LOOKUP_BY_NAME", "virNWFilterLookupByName", _BY_NAME, _NAMED),
    _lookup(176, "NWFILTER_LOOKUP_BY_UUID", "virNWFilterLookupByUUID", _BY_UUID, _NAMED),
)

PROCEDURES = (*_NETWORKS, *_STORAGE, *_INTERFACES, *_DEVICES, *_SECRETS, *_FILTERS)
