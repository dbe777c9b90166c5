"""The call that reaches a guest's agent; it belongs to a program of QEMU's own.

Source: qemu_protocol.x of libvirt 9.0.0.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import DOMAIN
from virtlab.libvirt_rpc.xdr import I32, U32, Optional, String

__all__ = ["AGENT_COMMAND", "QEMU_PROGRAM"]

QEMU_PROGRAM = 0x20008087

AGENT_COMMAND = Procedure(
    3,
    "QEMU_DOMAIN_AGENT_COMMAND",
    "virDomainQemuAgentCommand",
    fields(dom=DOMAIN, cmd=String(), timeout=I32, flags=U32),  # timeout in seconds
    fields(result=Optional(String())),
    changes_state=True,
    program=QEMU_PROGRAM,
)
