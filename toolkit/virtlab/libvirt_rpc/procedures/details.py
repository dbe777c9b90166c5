"""Procedures that tools ask about one domain beside the usual ones: limits, jobs, agents, notes."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure, always
from virtlab.libvirt_rpc.structs import Struct, fields
from virtlab.libvirt_rpc.typed import Params
from virtlab.libvirt_rpc.values import DOMAIN
from virtlab.libvirt_rpc.xdr import I32, I64, U32, U64, Array, Opaque, Optional, String

__all__ = ["PROCEDURES"]

_TEXT = String()
_DOM = fields(dom=DOMAIN)
_DOM_FLAGS = fields(dom=DOMAIN, flags=U32)
_CHARACTER = I32  # C's char takes a whole word

_PARAMS = Params(16)  # REMOTE_DOMAIN_MEMORY_PARAMETERS_MAX and its like
_ASK_PARAMS = fields(dom=DOMAIN, nparams=I32, flags=U32)
_GOT_PARAMS = fields(params=_PARAMS, nparams=I32)
_SET_PARAMS = fields(dom=DOMAIN, params=_PARAMS, flags=U32)
_MORE_PARAMS = fields(params=Params(64))  # REMOTE_DOMAIN_PERF_EVENTS_MAX and its like

_LABEL = fields(label=Array(_CHARACTER, 4097), enforcing=I32)
_NAMED = fields(name=_TEXT, dom=DOMAIN)  # snapshots and checkpoints
_LIST_MAX = 16_384  # REMOTE_DOMAIN_SNAPSHOT_LIST_MAX
_FROM_AGENT = 1  # VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT


def _pair(get: int, set_: int, name: str, function: str) -> tuple[Procedure, Procedure]:
    """Return how parameters of one kind are read and written."""
    return (
        Procedure(
            get,
            f"DOMAIN_GET_{name}_PARAMETERS",
            f"virDomainGet{function}Parameters",
            _ASK_PARAMS,
            _GOT_PARAMS,
        ),
        Procedure(
            set_,
            f"DOMAIN_SET_{name}_PARAMETERS",
            f"virDomainSet{function}Parameters",
            _SET_PARAMS,
            changes_state=True,
        ),
    )


def _ask(number: int, name: str, function: str, results: Struct) -> Procedure:
    """Return a question that takes a domain and flags."""
    return Procedure(number, name, function, _DOM_FLAGS, results)


def _ask_agent(number: int, name: str, function: str, results: Struct) -> Procedure:
    """Return the same, refused to those who may only read: something in the guest has to work."""
    return Procedure(number, name, function, _DOM_FLAGS, results, privileged=always)


_LIMITS = (
    *_pair(198, 197, "MEMORY", "Memory"),
    *_pair(255, 254, "NUMA", "Numa"),
    *_pair(206, 205, "BLKIO", "Blkio"),
    Procedure(
        32,
        "DOMAIN_SET_VCPUS",
        "virDomainSetVcpus",
        fields(dom=DOMAIN, nvcpus=U32),
        changes_state=True,
    ),
    _ask(
        351,
        "DOMAIN_GET_IOTHREAD_INFO",
        "virDomainGetIOThreadInfo",
        fields(info=Array(fields(iothread_id=U32, cpumap=Opaque(2048)), _LIST_MAX), ret=U32),
    ),
    _ask(365, "DOMAIN_GET_PERF_EVENTS", "virDomainGetPerfEvents", _MORE_PARAMS),
    _ask_agent(
        396, "DOMAIN_GET_LAUNCH_SECURITY_INFO", "virDomainGetLaunchSecurityInfo", _MORE_PARAMS
    ),
)

_JOBS = (
    Procedure(
        163,
        "DOMAIN_GET_JOB_INFO",
        "virDomainGetJobInfo",
        _DOM,
        fields(
            type=I32,
            timeElapsed=U64,
            timeRemaining=U64,
            dataTotal=U64,
            dataProcessed=U64,
            dataRemaining=U64,
            memTotal=U64,
            memProcessed=U64,
            memRemaining=U64,
            fileTotal=U64,
            fileProcessed=U64,
            fileRemaining=U64,
        ),
    ),
    _ask(
        298,
        "DOMAIN_GET_JOB_STATS",
        "virDomainGetJobStats",
        fields(type=I32, params=Params(64)),
    ),
    Procedure(164, "DOMAIN_ABORT_JOB", "virDomainAbortJob", _DOM, changes_state=True),
    _ask(
        229,
        "DOMAIN_GET_CONTROL_INFO",
        "virDomainGetControlInfo",
        fields(state=U32, details=U32, stateTime=U64),
    ),
    _ask(
        387,
        "DOMAIN_MIGRATE_GET_MAX_DOWNTIME",
        "virDomainMigrateGetMaxDowntime",
        fields(downtime=U64),  # ms
    ),
)

_AGENT = (
    _ask_agent(337, "DOMAIN_GET_TIME", "virDomainGetTime", fields(seconds=I64, nseconds=U32)),
    _ask_agent(277, "DOMAIN_GET_HOSTNAME", "virDomainGetHostname", fields(hostname=_TEXT)),
    _ask_agent(
        349,
        "DOMAIN_GET_FSINFO",
        "virDomainGetFSInfo",
        fields(
            info=Array(
                fields(mountpoint=_TEXT, name=_TEXT, fstype=_TEXT, dev_aliases=Array(_TEXT, 256)),
                256,
            ),
            ret=U32,
        ),
    ),
    Procedure(
        418,
        "DOMAIN_GET_GUEST_INFO",
        "virDomainGetGuestInfo",
        fields(dom=DOMAIN, types=U32, flags=U32),
        fields(params=Params(2048)),
        privileged=always,
    ),
    Procedure(
        353,
        "DOMAIN_INTERFACE_ADDRESSES",
        "virDomainInterfaceAddresses",
        fields(dom=DOMAIN, source=U32, flags=U32),
        fields(
            ifaces=Array(
                fields(
                    name=_TEXT,
                    hwaddr=Optional(_TEXT),
                    addrs=Array(fields(type=I32, addr=_TEXT, prefix=U32), 2048),
                ),
                2048,
            )
        ),
        privileged=lambda args: args.source == _FROM_AGENT,
    ),
)

_AGENT_CHANGES = (
    Procedure(
        338,
        "DOMAIN_SET_TIME",
        "virDomainSetTime",
        fields(dom=DOMAIN, seconds=I64, nseconds=U32, flags=U32),
        changes_state=True,
    ),
    Procedure(
        294,
        "DOMAIN_FSTRIM",
        "virDomainFSTrim",
        fields(dom=DOMAIN, mountPoint=Optional(_TEXT), minimum=U64, flags=U32),
        changes_state=True,
    ),
    Procedure(
        335,
        "DOMAIN_FSFREEZE",
        "virDomainFSFreeze",
        fields(dom=DOMAIN, mountpoints=Array(_TEXT, 256), flags=U32),
        fields(filesystems=I32),
        changes_state=True,
    ),
    Procedure(
        336,
        "DOMAIN_FSTHAW",
        "virDomainFSThaw",
        fields(dom=DOMAIN, mountpoints=Array(_TEXT, 256), flags=U32),
        fields(filesystems=I32),
        changes_state=True,
    ),
    Procedure(
        357,
        "DOMAIN_SET_USER_PASSWORD",
        "virDomainSetUserPassword",
        fields(dom=DOMAIN, user=Optional(_TEXT), password=Optional(_TEXT), flags=U32),
        changes_state=True,
    ),
    Procedure(
        261,
        "DOMAIN_PM_SUSPEND_FOR_DURATION",
        "virDomainPMSuspendForDuration",
        fields(dom=DOMAIN, target=U32, duration=U64, flags=U32),
        changes_state=True,
    ),
    _ask_agent(371, "DOMAIN_GET_GUEST_VCPUS", "virDomainGetGuestVcpus", _MORE_PARAMS),
)

_NOTES = (
    Procedure(121, "DOMAIN_GET_SECURITY_LABEL", "virDomainGetSecurityLabel", _DOM, _LABEL),
    Procedure(
        278,
        "DOMAIN_GET_SECURITY_LABEL_LIST",
        "virDomainGetSecurityLabelList",
        _DOM,
        fields(labels=Array(_LABEL, 64), ret=I32),
    ),
    _ask(426, "DOMAIN_GET_MESSAGES", "virDomainGetMessages", fields(msgs=Array(_TEXT, 2048))),
    Procedure(
        263,
        "DOMAIN_GET_DISK_ERRORS",
        "virDomainGetDiskErrors",
        fields(dom=DOMAIN, maxerrors=U32, flags=U32),
        fields(errors=Array(fields(disk=_TEXT, error=I32), 256), nerrors=I32),
    ),
    Procedure(
        194,
        "DOMAIN_GET_BLOCK_INFO",
        "virDomainGetBlockInfo",
        fields(dom=DOMAIN, path=_TEXT, flags=U32),
        fields(allocation=U64, capacity=U64, physical=U64),  # bytes
    ),
    Procedure(
        238,
        "DOMAIN_GET_BLOCK_JOB_INFO",
        "virDomainGetBlockJobInfo",
        fields(dom=DOMAIN, path=_TEXT, flags=U32),
        fields(found=I32, type=I32, bandwidth=U64, cur=U64, end=U64),
    ),
)

_SAVED = (
    _ask(187, "DOMAIN_SNAPSHOT_NUM", "virDomainSnapshotNum", fields(num=I32)),
    Procedure(
        188,
        "DOMAIN_SNAPSHOT_LIST_NAMES",
        "virDomainSnapshotListNames",
        fields(dom=DOMAIN, maxnames=I32, flags=U32),
        fields(names=Array(_TEXT, _LIST_MAX)),
    ),
    _ask(190, "DOMAIN_HAS_CURRENT_SNAPSHOT", "virDomainHasCurrentSnapshot", fields(result=I32)),
    _ask(191, "DOMAIN_SNAPSHOT_CURRENT", "virDomainSnapshotCurrent", fields(snap=_NAMED)),
    Procedure(
        189,
        "DOMAIN_SNAPSHOT_LOOKUP_BY_NAME",
        "virDomainSnapshotLookupByName",
        fields(dom=DOMAIN, name=_TEXT, flags=U32),
        fields(snap=_NAMED),
    ),
    Procedure(
        274,
        "DOMAIN_LIST_ALL_SNAPSHOTS",
        "virDomainListAllSnapshots",
        fields(dom=DOMAIN, need_results=I32, flags=U32),
        fields(snapshots=Array(_NAMED, _LIST_MAX), ret=I32),
    ),
    Procedure(
        413,
        "DOMAIN_LIST_ALL_CHECKPOINTS",
        "virDomainListAllCheckpoints",
        fields(dom=DOMAIN, need_results=I32, flags=U32),
        fields(checkpoints=Array(_NAMED, _LIST_MAX), ret=I32),
    ),
    Procedure(
        415,
        "DOMAIN_CHECKPOINT_LOOKUP_BY_NAME",
        "virDomainCheckpointLookupByName",
        fields(dom=DOMAIN, name=_TEXT, flags=U32),
        fields(checkpoint=_NAMED),
    ),
    Procedure(
        184,
        "DOMAIN_MANAGED_SAVE_REMOVE",
        "virDomainManagedSaveRemove",
        _DOM_FLAGS,
        changes_state=True,
    ),
)

PROCEDURES = (*_LIMITS, *_JOBS, *_AGENT, *_AGENT_CHANGES, *_NOTES, *_SAVED)
