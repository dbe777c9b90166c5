"""Calls about storage pools and their volumes, for the lab's own looks at a real host.

The simulated host has no pools, so it does not serve them and they stand in no table of it.

Source: remote_protocol.x of libvirt 9.0.0.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import UUID
from virtlab.libvirt_rpc.xdr import I32, U32, U64, Array, String

__all__ = [
    "POOL_BUILD",
    "POOL_CREATE",
    "POOL_DEFINE_XML",
    "POOL_GET_XML_DESC",
    "POOL_IS_ACTIVE",
    "POOL_LIST_ALL_VOLUMES",
    "POOL_REFRESH",
    "POOL_SET_AUTOSTART",
    "VOL_GET_INFO",
    "VOL_GET_PATH",
]

_VOLUMES_MAX = 16_384  # REMOTE_STORAGE_VOL_LIST_MAX
_TEXT = String()
_POOL = fields(name=_TEXT, uuid=UUID)
_VOLUME = fields(pool=_TEXT, name=_TEXT, key=_TEXT)

POOL_DEFINE_XML = Procedure(
    77, "STORAGE_POOL_DEFINE_XML", "virStoragePoolDefineXML",
    fields(xml=_TEXT, flags=U32), fields(pool=_POOL), changes_state=True,
)  # fmt: skip
POOL_CREATE = Procedure(
    78, "STORAGE_POOL_CREATE", "virStoragePoolCreate",
    fields(pool=_POOL, flags=U32), changes_state=True,
)  # fmt: skip
POOL_BUILD = Procedure(
    79, "STORAGE_POOL_BUILD", "virStoragePoolBuild",
    fields(pool=_POOL, flags=U32), changes_state=True,
)  # fmt: skip
POOL_REFRESH = Procedure(
    83, "STORAGE_POOL_REFRESH", "virStoragePoolRefresh",
    fields(pool=_POOL, flags=U32), changes_state=True,
)  # fmt: skip
POOL_GET_XML_DESC = Procedure(
    88, "STORAGE_POOL_GET_XML_DESC", "virStoragePoolGetXMLDesc",
    fields(pool=_POOL, flags=U32), fields(xml=_TEXT),
)  # fmt: skip
POOL_SET_AUTOSTART = Procedure(
    90, "STORAGE_POOL_SET_AUTOSTART", "virStoragePoolSetAutostart",
    fields(pool=_POOL, autostart=I32), changes_state=True,
)  # fmt: skip
VOL_GET_INFO = Procedure(
    98, "STORAGE_VOL_GET_INFO", "virStorageVolGetInfo",
    fields(vol=_VOLUME), fields(type=I32, capacity=U64, allocation=U64),  # sizes in bytes
)  # fmt: skip
VOL_GET_PATH = Procedure(
    100, "STORAGE_VOL_GET_PATH", "virStorageVolGetPath", fields(vol=_VOLUME), fields(name=_TEXT)
)
POOL_IS_ACTIVE = Procedure(
    154, "STORAGE_POOL_IS_ACTIVE", "virStoragePoolIsActive", fields(pool=_POOL), fields(active=I32)
)
POOL_LIST_ALL_VOLUMES = Procedure(
    282, "STORAGE_POOL_LIST_ALL_VOLUMES", "virStoragePoolListAllVolumes",
    fields(pool=_POOL, need_results=I32, flags=U32),
    fields(vols=Array(_VOLUME, _VOLUMES_MAX), ret=U32),
)  # fmt: skip
