"""Procedures of the connection and of the host.

Source: remote_protocol.x of libvirt 9.0.0, as for all declarations in this folder.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import NODE_STAT
from virtlab.libvirt_rpc.xdr import I32, U32, U64, Array, Chars, Opaque, Optional, String

__all__ = ["PROCEDURES"]

_TEXT = String()
_NODE_STATS = fields(params=Array(NODE_STAT, 16), nparams=I32)

PROCEDURES = (
    Procedure(66, "AUTH_LIST", "virConnectOpenAuth", results=fields(types=Array(I32, 20))),
    Procedure(
        60,
        "CONNECT_SUPPORTS_FEATURE",
        "virConnectSupportsFeature",
        fields(feature=I32),
        fields(supported=I32),
    ),
    Procedure(1, "CONNECT_OPEN", "virConnectOpen", fields(name=Optional(_TEXT), flags=U32)),
    Procedure(2, "CONNECT_CLOSE", "virConnectClose"),
    Procedure(110, "CONNECT_GET_URI", "virConnectGetURI", results=fields(uri=_TEXT)),
    Procedure(3, "CONNECT_GET_TYPE", "virConnectGetType", results=fields(type=_TEXT)),
    Procedure(4, "CONNECT_GET_VERSION", "virConnectGetVersion", results=fields(hv_ver=U64)),
    Procedure(
        157, "CONNECT_GET_LIB_VERSION", "virConnectGetLibVersion", results=fields(lib_ver=U64)
    ),
    Procedure(59, "CONNECT_GET_HOSTNAME", "virConnectGetHostname", results=fields(hostname=_TEXT)),
    Procedure(149, "CONNECT_IS_SECURE", "virConnectIsSecure", results=fields(secure=I32)),
    Procedure(
        5,
        "CONNECT_GET_MAX_VCPUS",
        "virConnectGetMaxVcpus",
        fields(type=Optional(_TEXT)),
        fields(max_vcpus=I32),
    ),
    Procedure(
        7,
        "CONNECT_GET_CAPABILITIES",
        "virConnectGetCapabilities",
        results=fields(capabilities=_TEXT),
    ),
    Procedure(
        6,
        "NODE_GET_INFO",
        "virNodeGetInfo",
        results=fields(
            model=Chars(32),
            memory=U64,  # KiB
            cpus=I32,
            mhz=I32,
            nodes=I32,
            sockets=I32,
            cores=I32,
            threads=I32,
        ),
    ),
    Procedure(
        293,
        "NODE_GET_CPU_MAP",
        "virNodeGetCPUMap",
        fields(need_map=I32, need_online=I32, flags=U32),
        fields(cpumap=Opaque(2048), online=U32, ret=I32),
    ),
    Procedure(
        227,
        "NODE_GET_CPU_STATS",
        "virNodeGetCPUStats",
        fields(cpuNum=I32, nparams=I32, flags=U32),
        _NODE_STATS,
    ),
    Procedure(
        228,
        "NODE_GET_MEMORY_STATS",
        "virNodeGetMemoryStats",
        fields(nparams=I32, cellNum=I32, flags=U32),
        _NODE_STATS,
    ),
    # Free memory is in bytes, unlike every other size of the protocol.
    Procedure(102, "NODE_GET_FREE_MEMORY", "virNodeGetFreeMemory", results=fields(freeMem=U64)),
    Procedure(
        101,
        "NODE_GET_CELLS_FREE_MEMORY",
        "virNodeGetCellsFreeMemory",
        fields(startCell=I32, maxcells=I32),
        fields(cells=Array(U64, 1024)),
    ),
    Procedure(360, "CONNECT_REGISTER_CLOSE_CALLBACK", "virConnectRegisterCloseCallback"),
    Procedure(361, "CONNECT_UNREGISTER_CLOSE_CALLBACK", "virConnectUnregisterCloseCallback"),
)
