"""Registrations for events, and the messages that then arrive."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import EventMessage, Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.typed import Params
from virtlab.libvirt_rpc.values import DOMAIN
from virtlab.libvirt_rpc.xdr import I32, U64, Optional, String

__all__ = ["MESSAGES", "PROCEDURES"]

PROCEDURES = (
    Procedure(
        316,
        "CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY",
        "virConnectDomainEventRegisterAny",
        fields(eventID=I32, dom=Optional(DOMAIN)),
        fields(callbackID=I32),
    ),
    Procedure(
        317,
        "CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY",
        "virConnectDomainEventDeregisterAny",
        fields(callbackID=I32),
    ),
    Procedure(
        105,
        "CONNECT_DOMAIN_EVENT_REGISTER",
        "virConnectDomainEventRegister",
        results=fields(cb_registered=I32),
    ),
    Procedure(
        106,
        "CONNECT_DOMAIN_EVENT_DEREGISTER",
        "virConnectDomainEventDeregister",
        results=fields(cb_registered=I32),
    ),
    Procedure(
        167,
        "CONNECT_DOMAIN_EVENT_REGISTER_ANY",
        "virConnectDomainEventRegisterAny",
        fields(eventID=I32),
    ),
    Procedure(
        168,
        "CONNECT_DOMAIN_EVENT_DEREGISTER_ANY",
        "virConnectDomainEventDeregisterAny",
        fields(eventID=I32),
    ),
)

MESSAGES = (
    EventMessage(
        318,
        "DOMAIN_EVENT_CALLBACK_LIFECYCLE",
        callbackID=I32,
        dom=DOMAIN,
        event=I32,
        detail=I32,
    ),
    EventMessage(319, "DOMAIN_EVENT_CALLBACK_REBOOT", callbackID=I32, dom=DOMAIN),
    EventMessage(
        331, "DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE", callbackID=I32, dom=DOMAIN, actual=U64
    ),
    EventMessage(
        346, "DOMAIN_EVENT_CALLBACK_TUNABLE", callbackID=I32, dom=DOMAIN, params=Params(2048)
    ),
    EventMessage(
        348,
        "DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE",
        callbackID=I32,
        dom=DOMAIN,
        state=I32,
        reason=I32,
    ),
    EventMessage(
        379,
        "DOMAIN_EVENT_CALLBACK_METADATA_CHANGE",
        callbackID=I32,
        dom=DOMAIN,
        type=I32,
        nsuri=Optional(String()),
    ),
    EventMessage(107, "DOMAIN_EVENT_LIFECYCLE", dom=DOMAIN, event=I32, detail=I32),
    EventMessage(169, "DOMAIN_EVENT_REBOOT", dom=DOMAIN),
    EventMessage(276, "DOMAIN_EVENT_BALLOON_CHANGE", dom=DOMAIN, actual=U64),
    EventMessage(362, "CONNECT_EVENT_CONNECTION_CLOSED", reason=I32),
)
