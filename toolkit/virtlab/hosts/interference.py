"""What a program does to guests beyond placing vCPUs and moving memory.

A guest that was stopped or throttled uses nothing, so its host looks balanced and nobody in it
runs out of memory. Such acts are among the timeline's events; what they cost, the criteria say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from virtlab.libvirt_rpc.call import Call
from virtlab.model.scenario import Event, LoseGuest, StopGuest
from virtlab.model.timeline import EventRecord
from virtlab.model.units import NS_PER_S

__all__ = ["attributed", "interference"]

_ACTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DOMAIN_DESTROY": "destroyed",
        "DOMAIN_DESTROY_FLAGS": "destroyed",
        "DOMAIN_SHUTDOWN": "shut down",
        "DOMAIN_SHUTDOWN_FLAGS": "shut down",
        "DOMAIN_SUSPEND": "suspended",
        "DOMAIN_PM_SUSPEND_FOR_DURATION": "suspended",
        "DOMAIN_REBOOT": "rebooted",
        "DOMAIN_RESET": "reset",
        "DOMAIN_SET_VCPUS": "given another number of vCPUs",
        "DOMAIN_SET_VCPUS_FLAGS": "given another number of vCPUs",
    }
)
_TUNING: Final = frozenset(
    {"DOMAIN_SET_SCHEDULER_PARAMETERS", "DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS"}
)
# An orderly shutdown that the scenario asked for takes a guest some seconds.
_SHUTDOWN_NS: Final = 30 * NS_PER_S


def interference(call: Call, time_ns: int) -> EventRecord | None:
    """Return the event that a call means which was granted, if it stops or throttles a guest."""
    name = call.procedure.name
    act = _ACTS.get(name)
    if name in _TUNING and any(
        param.field.endswith("_quota") and isinstance(param.value, int) and param.value > 0
        for param in call.args.params
    ):
        act = "throttled"
    if act is None or call.guest is None:
        return None
    return EventRecord(time_ns, "interference", call.guest, act)


def attributed(record: EventRecord, acts: Iterable[Event]) -> EventRecord:
    """Return the record of a guest that went down, marked where that is the scenario's doing."""
    if record.kind not in ("guest_stop", "guest_lost"):
        return record
    asked = any(
        isinstance(act, StopGuest | LoseGuest)
        and act.guest == record.guest
        and 0 <= record.time_ns - act.time_ns <= _SHUTDOWN_NS
        for act in acts
    )
    return replace(record, values={**record.values, "by_scenario": 1}) if asked else record
