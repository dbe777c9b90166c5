"""Calls about networks, for the lab's own looks at a real host.

The simulated host has no networks, so it does not serve them and they stand in no table of it.

Source: remote_protocol.x of libvirt 9.0.0.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import UUID
from virtlab.libvirt_rpc.xdr import I32, String

__all__ = ["NETWORK_CREATE", "NETWORK_DESTROY", "NETWORK_IS_ACTIVE"]

_NET = fields(net=fields(name=String(), uuid=UUID))

NETWORK_CREATE = Procedure(39, "NETWORK_CREATE", "virNetworkCreate", _NET, changes_state=True)
NETWORK_DESTROY = Procedure(42, "NETWORK_DESTROY", "virNetworkDestroy", _NET, changes_state=True)
NETWORK_IS_ACTIVE = Procedure(
    152, "NETWORK_IS_ACTIVE", "virNetworkIsActive", _NET, fields(active=I32)
)
