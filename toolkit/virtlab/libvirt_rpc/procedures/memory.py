"""Procedures about memory; all sizes are KiB."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import DOMAIN, MEMORY_STAT
from virtlab.libvirt_rpc.xdr import I32, U32, U64, Array

__all__ = ["PROCEDURES"]

PROCEDURES = (
    Procedure(
        31,
        "DOMAIN_SET_MEMORY",
        "virDomainSetMemory",
        fields(dom=DOMAIN, memory=U64),
        changes_state=True,
    ),
    Procedure(
        30,
        "DOMAIN_SET_MAX_MEMORY",
        "virDomainSetMaxMemory",
        fields(dom=DOMAIN, memory=U64),
        changes_state=True,
    ),
    Procedure(
        204,
        "DOMAIN_SET_MEMORY_FLAGS",
        "virDomainSetMemoryFlags",
        fields(dom=DOMAIN, memory=U64, flags=U32),
        changes_state=True,
    ),
    Procedure(
        159,
        "DOMAIN_MEMORY_STATS",
        "virDomainMemoryStats",
        fields(dom=DOMAIN, maxStats=U32, flags=U32),
        fields(stats=Array(MEMORY_STAT, 1024)),
    ),
    Procedure(
        308,
        "DOMAIN_SET_MEMORY_STATS_PERIOD",
        "virDomainSetMemoryStatsPeriod",
        fields(dom=DOMAIN, period=I32, flags=U32),  # period in seconds, 0 off
        changes_state=True,
    ),
)
