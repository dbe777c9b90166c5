"""Procedures that make domains, forget them, and change what is written about them."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import DOMAIN
from virtlab.libvirt_rpc.xdr import I32, U32, Optional, String

__all__ = ["PROCEDURES"]

_TEXT = String()
_MAYBE = Optional(_TEXT)
_DOM = fields(dom=DOMAIN)
_DOM_FLAGS = fields(dom=DOMAIN, flags=U32)

PROCEDURES = (
    Procedure(
        10,
        "DOMAIN_CREATE_XML",
        "virDomainCreateXML",
        fields(xml=_TEXT, flags=U32),
        _DOM,
        changes_state=True,
    ),
    Procedure(
        11, "DOMAIN_DEFINE_XML", "virDomainDefineXML", fields(xml=_TEXT), _DOM, changes_state=True
    ),
    Procedure(
        350,
        "DOMAIN_DEFINE_XML_FLAGS",
        "virDomainDefineXMLFlags",
        fields(xml=_TEXT, flags=U32),
        _DOM,
        changes_state=True,
    ),
    Procedure(35, "DOMAIN_UNDEFINE", "virDomainUndefine", _DOM, changes_state=True),
    Procedure(
        231, "DOMAIN_UNDEFINE_FLAGS", "virDomainUndefineFlags", _DOM_FLAGS, changes_state=True
    ),
    Procedure(
        358,
        "DOMAIN_RENAME",
        "virDomainRename",
        fields(dom=DOMAIN, new_name=_MAYBE, flags=U32),
        fields(retcode=I32),
        changes_state=True,
    ),
    Procedure(
        29,
        "DOMAIN_SET_AUTOSTART",
        "virDomainSetAutostart",
        fields(dom=DOMAIN, autostart=I32),
        changes_state=True,
    ),
    Procedure(
        264,
        "DOMAIN_SET_METADATA",
        "virDomainSetMetadata",
        fields(dom=DOMAIN, type=I32, metadata=_MAYBE, key=_MAYBE, uri=_MAYBE, flags=U32),
        changes_state=True,
    ),
    Procedure(
        265,
        "DOMAIN_GET_METADATA",
        "virDomainGetMetadata",
        fields(dom=DOMAIN, type=I32, uri=_MAYBE, flags=U32),
        fields(metadata=_TEXT),
    ),
)
