"""Shared wire values: the domain handle and what lists are made of."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from virtlab.libvirt_rpc.structs import Struct
from virtlab.libvirt_rpc.xdr import I32, U32, U64, Encoder, FixedOpaque, String

__all__ = [
    "DOMAIN",
    "MEMORY_STAT",
    "NODE_STAT",
    "UUID",
    "VCPU_INFO",
    "DomainHandle",
    "MemoryStat",
    "NodeStat",
    "VcpuInfo",
]


class DomainHandle(NamedTuple):
    """A guest as the wire names it; match it by `uuid`, as name and id may be stale.

    Source: remote_protocol.x, struct remote_nonnull_domain.
    """

    name: str
    uuid: bytes
    id: int  # -1 when it is not running


class VcpuInfo(NamedTuple):
    """One vCPU of virDomainGetVcpus.

    Source: remote_protocol.x, struct remote_vcpu_info.
    """

    number: int
    state: int  # 0 offline, 1 running, 2 blocked
    cpu_time: int  # ns
    cpu: int  # pCPU


class NodeStat(NamedTuple):
    """One figure of the host.

    Source: remote_protocol.x, structs remote_node_get_cpu_stats and _memory_stats.
    """

    field: str
    value: int


class MemoryStat(NamedTuple):
    """One figure of virDomainMemoryStats.

    Source: remote_protocol.x, struct remote_domain_memory_stat.
    """

    tag: int
    val: int


class _DomainStruct(Struct):
    """A struct whose encoder remembers: a host sends the same few handles over and over."""

    def encoder(self) -> Encoder:
        """Return the handle's encoder, which keeps the latest handles' bytes."""
        return lru_cache(maxsize=16_384)(super().encoder())


UUID = FixedOpaque(16)
DOMAIN = _DomainStruct({"name": String(), "uuid": UUID, "id": I32}, DomainHandle)
VCPU_INFO = Struct({"number": U32, "state": I32, "cpu_time": U64, "cpu": I32}, VcpuInfo)
NODE_STAT = Struct({"field": String(79), "value": U64}, NodeStat)
MEMORY_STAT = Struct({"tag": I32, "val": U64}, MemoryStat)
