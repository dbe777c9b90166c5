"""A connection to a libvirtd, by the lab's own protocol client on a UNIX socket.

Blocking, one call at a time: for what looks at a host now and then.
"""

from __future__ import annotations

import socket
import urllib.parse
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from virtlab.errors import EnvironmentLackError, UsageError
from virtlab.libvirt_rpc.client import Answer, ClientConnection
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.libvirt_rpc.procedures.declaration import Procedure

__all__ = ["LIBVIRT_SOCKET", "HostConnection", "socket_of"]

LIBVIRT_SOCKET: Final = Path("/run/libvirt/libvirt-sock")
_TIMEOUT_S: Final = 35.0  # libvirt itself gives up on a domain's lock after 30
_CHUNK: Final = 65_536


class HostConnection:
    """One open connection to `qemu:///system`."""

    def __init__(self, path: Path = LIBVIRT_SOCKET, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Open it.

        Raises:
            EnvironmentLackError: nobody answers at the socket, or it may not be used.
        """
        self.path = path
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
        return self.request(BY_NAME[name], *args)

    def request(self, procedure: Procedure, *args: Any) -> Any:
        """Return what a call brings, by its procedure; errors are those of `call`."""
        try:
            return self._answer(self._protocol.request(procedure, *args))
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


def socket_of(uri: str) -> Path:
    """Return libvirtd's socket on this machine from a URI.

    Raises:
        UsageError: the URI means another machine, or another driver.
    """
    parts = urllib.parse.urlsplit(uri)
    query = urllib.parse.parse_qs(parts.query)
    local = parts.scheme in ("qemu", "qemu+unix") and not parts.netloc and parts.path == "/system"
    if not local or set(query) - {"socket"}:
        raise UsageError(
            f"{uri}: the lab needs the socket of a libvirtd on this machine.",
            fix="qemu:///system, or qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
        )
    return Path(query["socket"][0]) if "socket" in query else LIBVIRT_SOCKET
