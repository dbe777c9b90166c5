"""libvirt's wire protocol without sockets: bytes in, calls out; results in, bytes out.

To offer another procedure, add one `Procedure(...)` to the file of its subject in `procedures/`
(number, name, function of libvirt's API, fields of arguments and results with their limits; all
from remote_protocol.x) and one method with the procedure's name in lower case to the simulated
host's driver. The table does the rest: decoding, the read-only refusal, encoding.

    connection = ServerConnection(read_only=False)
    for call in connection.receive(data):          # ProtocolError: close the connection
        if call.refusal is not None:               # already answered, only to be logged
            continue
        try:
            connection.reply(call, handlers[call.procedure.name](*call.args))
        except LibvirtError as error:
            connection.reply_error(call, error)
    send(connection.data_to_send())                # ProtocolError: the client never reads

Handlers take the arguments in the declared order and return a tuple of results in theirs.

Modules: `xdr` and `structs` types and codecs, `packet` framing, `procedures` the table, `typed`
typed parameters and bulk statistics, `values` shared structs, `errors` refusals, `call` and
`session` the host's end, `client` (not imported here) the other end, for the lab's own looks at a
host and for tests.
"""

from __future__ import annotations

from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.session import ServerConnection
from virtlab.libvirt_rpc.typed import Param, ParamType, StatsLayout
from virtlab.libvirt_rpc.values import DomainHandle, MemoryStat, NodeStat, VcpuInfo

__all__ = [
    "Call",
    "DomainHandle",
    "LibvirtError",
    "MemoryStat",
    "NodeStat",
    "Param",
    "ParamType",
    "ProtocolError",
    "ServerConnection",
    "StatsLayout",
    "VcpuInfo",
]
