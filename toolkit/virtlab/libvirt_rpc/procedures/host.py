"""Procedures about the host that management tools ask for: parameters, models, security."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure, always
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.typed import Params
from virtlab.libvirt_rpc.xdr import I32, U32, U64, Array, Optional, String

__all__ = ["PROCEDURES"]

_TEXT = String()
_MAYBE = Optional(_TEXT)
_NODE_PARAMS = Params(64)  # REMOTE_NODE_MEMORY_PARAMETERS_MAX
_CELLS_MAX = 1024  # REMOTE_NODE_MAX_CELLS
_CHARACTER = I32  # C's char takes a whole word
_MODELS_MAX = 8192  # REMOTE_CONNECT_CPU_MODELS_MAX

PROCEDURES = (
    Procedure(
        203,
        "CONNECT_GET_SYSINFO",
        "virConnectGetSysinfo",
        fields(flags=U32),
        fields(sysinfo=_TEXT),
    ),
    Procedure(
        312,
        "CONNECT_GET_CPU_MODEL_NAMES",
        "virConnectGetCPUModelNames",
        fields(arch=_TEXT, need_results=I32, flags=U32),
        fields(models=Array(_TEXT, _MODELS_MAX), ret=I32),
    ),
    Procedure(
        342,
        "CONNECT_GET_DOMAIN_CAPABILITIES",
        "virConnectGetDomainCapabilities",
        fields(emulatorbin=_MAYBE, arch=_MAYBE, machine=_MAYBE, virttype=_MAYBE, flags=U32),
        fields(capabilities=_TEXT),
        privileged=always,  # it runs the emulator that the client names
    ),
    Procedure(
        289,
        "NODE_GET_MEMORY_PARAMETERS",
        "virNodeGetMemoryParameters",
        fields(nparams=I32, flags=U32),
        fields(params=_NODE_PARAMS, nparams=I32),
    ),
    Procedure(
        340,
        "NODE_GET_FREE_PAGES",
        "virNodeGetFreePages",
        # sizes of pages in KiB
        fields(pages=Array(U32, _CELLS_MAX), startCell=I32, cellCount=U32, flags=U32),
        fields(counts=Array(U64, _CELLS_MAX)),
    ),
    Procedure(
        122,
        "NODE_GET_SECURITY_MODEL",
        "virNodeGetSecurityModel",
        results=fields(model=Array(_CHARACTER, 257), doi=Array(_CHARACTER, 257)),
    ),
)
