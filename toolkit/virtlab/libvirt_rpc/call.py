"""A call as a client made it, and its short description for a log of calls."""

from __future__ import annotations

from typing import Any

from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.packet import REMOTE_PROGRAM, VERSION
from virtlab.libvirt_rpc.procedures.declaration import Procedure
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["Call"]

_DETAIL_MAX = 200  # characters
_ITEMS_MAX = 8  # of a list that are spelt out


class Call:
    """One complete call: answer it unless `refusal` says that the connection already did."""

    __slots__ = (
        *("answered", "args", "procedure", "program", "refusal", "serial", "size", "version"),
        "waits",
    )

    def __init__(
        self,
        procedure: Procedure,
        args: Any,
        serial: int,
        refusal: LibvirtError | None = None,
        program: int = REMOTE_PROGRAM,
        version: int = VERSION,
        size: int = 0,
    ) -> None:
        self.procedure = procedure
        self.args = args  # a named tuple with the declared fields; () where it was refused unread
        self.serial = serial
        self.refusal = refusal
        self.program = program
        self.version = version
        self.size = size  # bytes of its arguments on the wire
        self.answered = False
        self.waits = False  # it was put off, to be answered later

    @property
    def guest(self) -> str | None:
        """Return the name of the guest that the call is about, if it is about one."""
        dom = getattr(self.args, "dom", None)
        return dom.name if isinstance(dom, DomainHandle) else None

    def detail(self) -> str:
        """Return the arguments in brief: `aos_vm1 vcpu=0 map=0x1`."""
        names = getattr(self.args, "_fields", ())
        text = " ".join(_brief(name, value) for name, value in zip(names, self.args, strict=True))
        return text if len(text) <= _DETAIL_MAX else text[: _DETAIL_MAX - 3] + "..."


def _brief(name: str, value: Any) -> str:
    """Return one argument as text."""
    if isinstance(value, DomainHandle):
        return value.name
    if name == "cpumap":
        return f"map={hex(int.from_bytes(value, 'little'))}"
    if name == "params":
        return " ".join(f"{param.field}={param.value}" for param in value[:_ITEMS_MAX])
    if name == "doms":
        names = ",".join(dom.name for dom in value[:_ITEMS_MAX])
        return f"doms={names or 'all'}{',...' if len(value) > _ITEMS_MAX else ''}"
    if isinstance(value, bytes):
        return f"{name}={value.hex()}"
    return f"{name}={value}"
