"""A connection to libvirtd that never waits: each call names what takes its answer.

For what watches a host while something else goes on. libvirtd answers calls of one connection side
by side, so that a guest that hangs holds up its own answers only; a connection for each guest keeps
it that way where many calls wait. For the same reason nothing is sent before the connection is
open: a call that overtakes CONNECT_OPEN is refused.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from virtlab.libvirt_rpc.client import Answer, ClientConnection, Event
from virtlab.libvirt_rpc.errors import ProtocolError
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.libvirt_rpc.procedures.declaration import Procedure

__all__ = ["HostLink", "OnAnswer", "OnEvent"]

_READ_BYTES: Final = 65_536  # malloc maps a larger buffer anew at each read, 12 us more
_URI: Final = "qemu:///system"
_CONNECT_WAIT: Final = struct.pack("@ll", 0, 200_000)  # struct timeval: s, us

OnAnswer = Callable[[Answer], None]
OnEvent = Callable[[Event], None]


class HostLink:
    """One open connection, served by a shared selector whose keys carry the callback as data."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        path: Path,
        on_lost: Callable[[], None],
        on_event: OnEvent = lambda _event: None,
    ) -> None:
        """Open it.

        Args:
            selector: its keys carry the callback as data.
            path: of libvirtd's socket.
            on_lost: told once where libvirtd hangs up; what waits for an answer gets none.
            on_event: takes what comes unasked, once it was registered for.

        Raises:
            OSError: nobody listens there, or takes anybody in, or it hangs up at once.
        """
        self._selector = selector
        self._on_lost: Callable[[], None] = lambda: None  # nobody has this link yet
        self._on_event = on_event
        self.refusal: str | None = None  # why libvirtd did not let us in, where it did not
        self._protocol = ClientConnection()
        self._waiting: dict[int, OnAnswer] = {}
        self._unsent = bytearray()
        self._held: bytearray | None = bytearray()  # calls until the connection is open
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A local libvirtd takes a connection at once; one that hangs has a queue that is full.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _CONNECT_WAIT)
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._mask = selectors.EVENT_READ
        self._selector.register(self._socket, self._mask, self._ready)
        self.open = True
        self._request("AUTH_LIST", then=self._authenticated)
        if not self.open:
            raise ConnectionResetError("libvirtd hung up at once")
        self._on_lost = on_lost

    @property
    def waiting(self) -> int:
        """Return how many calls have no answer yet."""
        return len(self._waiting)

    def ask(self, what: str | Procedure, *args: Any, then: OnAnswer = lambda _answer: None) -> None:
        """Make a call, such as `ask("DOMAIN_GET_INFO", dom, then=take)`; a lost link makes none."""
        if self.open:
            self._request(what, *args, then=then, held=self._held)

    def close(self) -> None:
        """Hang up; closing twice is harmless."""
        if self.open:
            self.open = False
            self._waiting.clear()
            self._selector.unregister(self._socket)
            self._socket.close()

    def _request(
        self, what: str | Procedure, *args: Any, then: OnAnswer, held: bytearray | None = None
    ) -> None:
        procedure = BY_NAME[what] if isinstance(what, str) else what
        data = self._protocol.request(procedure, *args)
        self._waiting[self._protocol.last_serial] = then
        if held is not None:
            held += data
            return
        self._unsent += data
        self._send()

    def _authenticated(self, _answer: Answer) -> None:
        self._request("CONNECT_OPEN", _URI, 0, then=self._opened)

    def _opened(self, answer: Answer) -> None:
        if answer.error is not None or self._held is None:
            self.refusal = None if answer.error is None else answer.error.message
            self._lost()
            return
        self._unsent += self._held
        self._held = None
        self._send()

    def _ready(self, mask: int) -> None:
        if not self.open:  # closed by an earlier callback of the same turn
            return
        if mask & selectors.EVENT_READ:
            try:
                self._receive()
            except (OSError, ProtocolError):
                self._lost()
                return
        self._send()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            raise ConnectionResetError("libvirtd closed the connection")
        for item in self._protocol.receive(data):
            if not self.open:  # by what took an answer before this one
                return
            if isinstance(item, Event):
                self._on_event(item)
            elif then := self._waiting.pop(item.serial, None):
                then(item)

    def _send(self) -> None:
        if not self.open:
            return
        try:
            sent = self._socket.send(self._unsent) if self._unsent else 0
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._lost()
            return
        del self._unsent[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if wanted != self._mask:
            self._mask = wanted
            self._selector.modify(self._socket, wanted, self._ready)

    def _lost(self) -> None:
        self.close()
        self._on_lost()
