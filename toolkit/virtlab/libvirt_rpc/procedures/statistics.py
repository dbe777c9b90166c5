"""Procedures that read figures: all guests at once, disks and network interfaces."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.typed import DOMAIN_STATS, Params
from virtlab.libvirt_rpc.values import DOMAIN
from virtlab.libvirt_rpc.xdr import I32, I64, U32, Array, String

__all__ = ["DOMAINS_MAX", "PROCEDURES"]

DOMAINS_MAX = 16_384  # REMOTE_DOMAIN_LIST_MAX

PROCEDURES = (
    Procedure(
        344,
        "CONNECT_GET_ALL_DOMAIN_STATS",
        "virConnectGetAllDomainStats",
        fields(doms=Array(DOMAIN, DOMAINS_MAX), stats=U32, flags=U32),
        fields(retStats=Array(DOMAIN_STATS, DOMAINS_MAX)),
    ),
    Procedure(
        64,
        "DOMAIN_BLOCK_STATS",
        "virDomainBlockStats",
        fields(dom=DOMAIN, path=String()),
        fields(rd_req=I64, rd_bytes=I64, wr_req=I64, wr_bytes=I64, errs=I64),
    ),
    Procedure(
        243,
        "DOMAIN_BLOCK_STATS_FLAGS",
        "virDomainBlockStatsFlags",
        fields(dom=DOMAIN, path=String(), nparams=I32, flags=U32),
        fields(params=Params(16), nparams=I32),
    ),
    Procedure(
        65,
        "DOMAIN_INTERFACE_STATS",
        "virDomainInterfaceStats",
        fields(dom=DOMAIN, device=String()),
        fields(
            rx_bytes=I64,
            rx_packets=I64,
            rx_errs=I64,
            rx_drop=I64,
            tx_bytes=I64,
            tx_packets=I64,
            tx_errs=I64,
            tx_drop=I64,
        ),
    ),
)
