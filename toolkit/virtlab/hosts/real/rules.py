"""Which calls a graded program may make on a real host, as one table.

A program with libvirt's socket owns the machine: it could define a domain that has the host's
disks. So it gets what a scheduler or a coordinator needs, on the guests of its run, and the rest is
refused as a libvirtd with access control refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["FILTERED", "GUEST_CALLS", "HOST_CALLS", "Filter", "Uuids"]

Uuids = Collection[bytes]

# About the connection and the host; they change nothing.
_HOST_CALLS = """
AUTH_LIST CONNECT_CLOSE CONNECT_GET_CAPABILITIES CONNECT_GET_HOSTNAME CONNECT_GET_LIB_VERSION
CONNECT_GET_MAX_VCPUS CONNECT_GET_TYPE CONNECT_GET_URI CONNECT_GET_VERSION CONNECT_IS_SECURE
CONNECT_OPEN CONNECT_SUPPORTS_FEATURE CONNECT_REGISTER_CLOSE_CALLBACK
CONNECT_UNREGISTER_CLOSE_CALLBACK CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY
CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY CONNECT_DOMAIN_EVENT_DEREGISTER
CONNECT_DOMAIN_EVENT_DEREGISTER_ANY CONNECT_DOMAIN_EVENT_REGISTER
CONNECT_DOMAIN_EVENT_REGISTER_ANY NODE_GET_CELLS_FREE_MEMORY NODE_GET_CPU_MAP NODE_GET_CPU_STATS
NODE_GET_FREE_MEMORY NODE_GET_FREE_PAGES NODE_GET_INFO NODE_GET_MEMORY_PARAMETERS
NODE_GET_MEMORY_STATS NODE_GET_SECURITY_MODEL
"""
HOST_CALLS: Final = frozenset(_HOST_CALLS.split())

# About one guest: reading, and what moves vCPUs and memory.
_GUEST_CALLS = """
DOMAIN_HAS_MANAGED_SAVE_IMAGE DOMAIN_GET_SECURITY_LABEL DOMAIN_GET_SECURITY_LABEL_LIST
DOMAIN_GET_MESSAGES DOMAIN_GET_BLOCK_INFO
DOMAIN_BLOCK_STATS DOMAIN_BLOCK_STATS_FLAGS DOMAIN_GET_AUTOSTART DOMAIN_GET_CONTROL_INFO
DOMAIN_GET_CPU_STATS DOMAIN_GET_EMULATOR_PIN_INFO DOMAIN_GET_INFO DOMAIN_GET_JOB_INFO
DOMAIN_GET_MAX_MEMORY DOMAIN_GET_MAX_VCPUS DOMAIN_GET_METADATA DOMAIN_GET_OS_TYPE
DOMAIN_GET_SCHEDULER_PARAMETERS DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS DOMAIN_GET_SCHEDULER_TYPE
DOMAIN_GET_STATE DOMAIN_GET_VCPUS DOMAIN_GET_VCPUS_FLAGS DOMAIN_GET_VCPU_PIN_INFO
DOMAIN_GET_XML_DESC DOMAIN_INTERFACE_STATS DOMAIN_IS_ACTIVE DOMAIN_IS_PERSISTENT
DOMAIN_IS_UPDATED DOMAIN_MEMORY_STATS DOMAIN_PIN_EMULATOR DOMAIN_PIN_VCPU DOMAIN_PIN_VCPU_FLAGS
DOMAIN_SET_MEMORY DOMAIN_SET_MEMORY_FLAGS DOMAIN_SET_MEMORY_STATS_PERIOD
DOMAIN_SET_SCHEDULER_PARAMETERS DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS
"""
GUEST_CALLS: Final = frozenset(_GUEST_CALLS.split())

_ACTIVE, _INACTIVE = 1, 2  # of VIR_CONNECT_LIST_DOMAINS_*


@dataclass(frozen=True, slots=True)
class Filter:
    """A call whose reply names guests: what is asked of the host, and what of it is handed on."""

    ask: str  # the procedure that the host is asked
    arguments: Callable[[Any], tuple[Any, ...]]  # from the client's arguments
    # From the client's arguments, the host's results and the run's guests; None: no such guest.
    answer: Callable[[Any, Any, Uuids], tuple[Any, ...] | None]


def _kept(domains: list[Any], mine: Uuids) -> list[Any]:
    return [dom for dom in domains if dom.uuid in mine]


def _all_domains(args: Any, found: Any, mine: Uuids) -> tuple[Any, ...]:
    kept = _kept(found.domains, mine)
    return (kept if args.need_results else [], len(kept))


def _one(_args: Any, found: Any, mine: Uuids) -> tuple[Any, ...] | None:
    return (found.dom,) if found.dom.uuid in mine else None


def _statistics(_args: Any, found: Any, mine: Uuids) -> tuple[Any, ...]:
    return ([record for record in found.retStats if record[0].uuid in mine],)


def _listing(flags: int, answer: Callable[[Any, list[Any]], tuple[Any, ...]]) -> Filter:
    """Return an old form of a list, which is asked in the new one so that it can be filtered."""
    return Filter(
        "CONNECT_LIST_ALL_DOMAINS",
        lambda _args: (1, flags),
        lambda args, found, mine: answer(args, _kept(found.domains, mine)),
    )


def _itself(args: Any) -> tuple[Any, ...]:
    return tuple(args)


FILTERED: Final = {
    "CONNECT_LIST_ALL_DOMAINS": Filter(
        "CONNECT_LIST_ALL_DOMAINS", lambda args: (1, args.flags), _all_domains
    ),
    "CONNECT_LIST_DOMAINS": _listing(
        _ACTIVE, lambda args, kept: ([dom.id for dom in kept][: args.maxids],)
    ),
    "CONNECT_NUM_OF_DOMAINS": _listing(_ACTIVE, lambda _args, kept: (len(kept),)),
    "CONNECT_LIST_DEFINED_DOMAINS": _listing(
        _INACTIVE, lambda args, kept: ([dom.name for dom in kept][: args.maxnames],)
    ),
    "CONNECT_NUM_OF_DEFINED_DOMAINS": _listing(_INACTIVE, lambda _args, kept: (len(kept),)),
    "CONNECT_GET_ALL_DOMAIN_STATS": Filter("CONNECT_GET_ALL_DOMAIN_STATS", _itself, _statistics),
    "DOMAIN_LOOKUP_BY_NAME": Filter("DOMAIN_LOOKUP_BY_NAME", _itself, _one),
    "DOMAIN_LOOKUP_BY_UUID": Filter("DOMAIN_LOOKUP_BY_UUID", _itself, _one),
    "DOMAIN_LOOKUP_BY_ID": Filter("DOMAIN_LOOKUP_BY_ID", _itself, _one),
}
