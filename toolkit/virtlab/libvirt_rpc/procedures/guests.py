"""Procedures that find, list and describe guests, and start and stop them."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import DOMAIN, UUID
from virtlab.libvirt_rpc.xdr import I32, U32, U64, Array, String

__all__ = ["PROCEDURES"]

_DOMAINS_MAX = 16_384  # REMOTE_DOMAIN_LIST_MAX
_SECURE = 1 | 8  # VIR_DOMAIN_XML_SECURE, and VIR_DOMAIN_XML_MIGRATABLE, which shows as much
_DOM = fields(dom=DOMAIN)
_DOM_FLAGS = fields(dom=DOMAIN, flags=U32)

_FINDING = (
    Procedure(
        273,
        "CONNECT_LIST_ALL_DOMAINS",
        "virConnectListAllDomains",
        fields(need_results=I32, flags=U32),
        fields(domains=Array(DOMAIN, _DOMAINS_MAX), ret=U32),
    ),
    Procedure(
        37,
        "CONNECT_LIST_DOMAINS",
        "virConnectListDomains",
        fields(maxids=I32),
        fields(ids=Array(I32, _DOMAINS_MAX)),
    ),
    Procedure(51, "CONNECT_NUM_OF_DOMAINS", "virConnectNumOfDomains", results=fields(num=I32)),
    Procedure(
        21,
        "CONNECT_LIST_DEFINED_DOMAINS",
        "virConnectListDefinedDomains",
        fields(maxnames=I32),
        fields(names=Array(String(), _DOMAINS_MAX)),
    ),
    Procedure(
        25,
        "CONNECT_NUM_OF_DEFINED_DOMAINS",
        "virConnectNumOfDefinedDomains",
        results=fields(num=I32),
    ),
    Procedure(22, "DOMAIN_LOOKUP_BY_ID", "virDomainLookupByID", fields(id=I32), _DOM),
    Procedure(23, "DOMAIN_LOOKUP_BY_NAME", "virDomainLookupByName", fields(name=String()), _DOM),
    Procedure(24, "DOMAIN_LOOKUP_BY_UUID", "virDomainLookupByUUID", fields(uuid=UUID), _DOM),
)

_DESCRIBING = (
    Procedure(
        16,
        "DOMAIN_GET_INFO",
        "virDomainGetInfo",
        _DOM,
        # C's unsigned char and unsigned short; sizes in KiB, time in ns
        fields(state=U32, maxMem=U64, memory=U64, nrVirtCpu=U32, cpuTime=U64),
    ),
    Procedure(
        212,
        "DOMAIN_GET_STATE",
        "virDomainGetState",
        _DOM_FLAGS,
        fields(state=I32, reason=I32),
    ),
    Procedure(
        14,
        "DOMAIN_GET_XML_DESC",
        "virDomainGetXMLDesc",
        _DOM_FLAGS,
        fields(xml=String()),
        privileged=lambda args: bool(args.flags & _SECURE),
        denied="virDomainGetXMLDesc with secure flag",
    ),
    Procedure(19, "DOMAIN_GET_OS_TYPE", "virDomainGetOSType", _DOM, fields(type=String())),
    Procedure(17, "DOMAIN_GET_MAX_MEMORY", "virDomainGetMaxMemory", _DOM, fields(memory=U64)),
    Procedure(18, "DOMAIN_GET_MAX_VCPUS", "virDomainGetMaxVcpus", _DOM, fields(num=I32)),
    Procedure(15, "DOMAIN_GET_AUTOSTART", "virDomainGetAutostart", _DOM, fields(autostart=I32)),
    Procedure(150, "DOMAIN_IS_ACTIVE", "virDomainIsActive", _DOM, fields(active=I32)),
    Procedure(151, "DOMAIN_IS_PERSISTENT", "virDomainIsPersistent", _DOM, fields(persistent=I32)),
    Procedure(202, "DOMAIN_IS_UPDATED", "virDomainIsUpdated", _DOM, fields(updated=I32)),
    Procedure(
        183,
        "DOMAIN_HAS_MANAGED_SAVE_IMAGE",
        "virDomainHasManagedSaveImage",
        _DOM_FLAGS,
        fields(result=I32),
    ),
)

_LIFE_CYCLE = (
    Procedure(9, "DOMAIN_CREATE", "virDomainCreate", _DOM, changes_state=True),
    Procedure(
        196,
        "DOMAIN_CREATE_WITH_FLAGS",
        "virDomainCreateWithFlags",
        _DOM_FLAGS,
        _DOM,
        changes_state=True,
    ),
    Procedure(33, "DOMAIN_SHUTDOWN", "virDomainShutdown", _DOM, changes_state=True),
    Procedure(
        258, "DOMAIN_SHUTDOWN_FLAGS", "virDomainShutdownFlags", _DOM_FLAGS, changes_state=True
    ),
    Procedure(12, "DOMAIN_DESTROY", "virDomainDestroy", _DOM, changes_state=True),
    Procedure(234, "DOMAIN_DESTROY_FLAGS", "virDomainDestroyFlags", _DOM_FLAGS, changes_state=True),
    Procedure(34, "DOMAIN_SUSPEND", "virDomainSuspend", _DOM, changes_state=True),
    Procedure(28, "DOMAIN_RESUME", "virDomainResume", _DOM, changes_state=True),
    Procedure(27, "DOMAIN_REBOOT", "virDomainReboot", _DOM_FLAGS, changes_state=True),
    Procedure(245, "DOMAIN_RESET", "virDomainReset", _DOM_FLAGS, changes_state=True),
)

PROCEDURES = (*_FINDING, *_DESCRIBING, *_LIFE_CYCLE)
