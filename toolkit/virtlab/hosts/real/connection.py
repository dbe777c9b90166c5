"""A connection to a libvirtd, by the lab's own protocol client on a UNIX socket.

Blocking, one call at a time: for what looks at a host now and then.
"""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from virtlab.errors import EnvironmentLackError
from virtlab.libvirt_rpc.client import Answer, ClientConnection
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError

__all__ = ["LIBVIRT_SOCKET", "HostConnection"]

LIBVIRT_SOCKET: Final = Path("/run/libvirt/libvirt-sock")
_TIMEOUT_S: Final = 35.0  # libvirt itself gives up on a domain's lock after 30
_CHUNK: Final = 262_144


class HostConnection:
    """One open connection to `qemu:///system`."""

    def __init__(self, path: Path = LIBVIRT_SOCKET, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Open it.

        Raises:
            EnvironmentLackError: nobody answers at the socket, or it may not be used.
        """
        self._protocol = ClientConnection()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
            self._answer(self._protocol.call("AUTH_LIST"))
            self._answer(self._protocol.call("CONNECT_OPEN", "qemu:///system", 0))
        except (OSError, LibvirtError, ProtocolError) as err:
            self._socket.close()
            fix = "virtlab host up, or virtlab doctor to see what is missing"
            raise EnvironmentLackError(
                f"libvirtd does not answer at {path}: {err}", fix=fix
            ) from err

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close it."""
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def call(self, name: str, *args: Any) -> Any:
        """Return what a call brings, such as `call("DOMAIN_LOOKUP_BY_NAME", "web").dom`.

        Raises:
            LibvirtError: libvirtd refused it.
            EnvironmentLackError: libvirtd is gone, or does not answer.
        """
        try:
            return self._answer(self._protocol.call(name, *args))
        except (OSError, ProtocolError) as err:
            raise EnvironmentLackError(f"libvirtd does not answer any more: {err}") from err

    def _answer(self, request: bytes) -> Any:
        self._socket.sendall(request)
        while True:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("it closed the connection")
            # One call at a time: the first answer is this call's, whatever events come beside it.
            for item in self._protocol.receive(data):
                if isinstance(item, Answer):
                    if item.error is not None:
                        raise item.error
                    return item.results
