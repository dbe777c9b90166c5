"""The sockets of a graded program on a real host: each of its connections is guarded on the way.

It carries bytes and decides nothing; `guard` does. Like the simulated host's server it is served by
a shared selector, whose keys carry the callback as data, and never blocks: a side that does not
read stops the other side's bytes from being read.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from virtlab.hosts.real.guard import Guard, OnCall, Passage
from virtlab.hosts.real.rules import Uuids
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.errors import ProtocolError

__all__ = ["SOCKET_NAMES", "GuardedHost"]

SOCKET_NAMES: Final = ("libvirt-sock", "libvirt-sock-ro")
_READ_BYTES: Final = 65_536  # malloc maps a larger buffer anew at each read, 12 us more
_UNSENT_PAUSE_BYTES: Final = 1 << 20  # from here on the other side waits
_CLIENTS_MAX: Final = 100
_BACKLOG: Final = 128
_SOCKET_MODE: Final = 0o777  # the folder around the socket decides who gets here

_log = logging.getLogger(__name__)


class GuardedHost:
    """Listens in a folder, and connects each client to libvirtd behind a guard."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        directory: Path,
        host_directory: Path,
        mine: Callable[[], Uuids],
        on_call: OnCall,
    ) -> None:
        """Start to listen.

        Args:
            selector: its keys carry the callback as data.
            directory: where the program finds the sockets.
            host_directory: where libvirtd has its own, such as /run/libvirt.
            mine: gives the UUIDs of the run's guests.
            on_call: told of each call when it is answered.

        Raises:
            OSError: a socket cannot be made there.
        """
        self._selector = selector
        self._mine = mine
        self._on_call = on_call
        self._links: set[_Link] = set()
        self._listeners: list[socket.socket] = []
        self._paths = [directory / name for name in SOCKET_NAMES]
        try:
            for path in self._paths:
                self._listen(path, host_directory / path.name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up on all and remove the sockets; closing twice is harmless."""
        for link in list(self._links):
            link.close()
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _listen(self, path: Path, host_path: Path) -> None:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(str(path))
            path.chmod(_SOCKET_MODE)
            listener.listen(_BACKLOG)
            callback = partial(self._accept, listener, host_path)
            self._selector.register(listener, selectors.EVENT_READ, callback)
        except BaseException:
            listener.close()
            raise
        self._listeners.append(listener)

    def _accept(self, listener: socket.socket, host_path: Path, _mask: int) -> None:
        try:
            client, _ = listener.accept()
        except OSError as error:
            _log.warning("cannot accept a client: %s", error)
            return
        if len(self._links) >= _CLIENTS_MAX:
            _log.warning("a client is turned away: %d are connected", len(self._links))
            client.close()
            return
        host = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            host.connect(str(host_path))  # a local libvirtd accepts at once, or not at all
        except OSError as error:
            _log.warning("libvirtd does not answer: %s", error)
            client.close()
            host.close()
            return
        link = _Link(self._selector, client, host, self._mine, self._on_call, self._links)
        self._links.add(link)


class _End:
    """One side's socket, and what waits to be sent there."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected
        self.unsent = bytearray()
        self.mask = 0


class _Link:
    """A client and its connection to libvirtd."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        client: socket.socket,
        host: socket.socket,
        mine: Callable[[], Uuids],
        on_call: OnCall,
        links: set[_Link],
    ) -> None:
        self._selector = selector
        self._answered: list[tuple[Call, str | None]] = []
        self._guard = Guard(mine, lambda call, error: self._answered.append((call, error)))
        self._on_call = on_call
        self._links = links
        self._client, self._host = _End(client), _End(host)
        self._closed = False
        self._watch()

    def close(self) -> None:
        """Hang up on both sides."""
        if self._closed:
            return
        self._closed = True
        self._links.discard(self)
        for end in (self._client, self._host):
            if end.mask:
                self._selector.unregister(end.socket)
            end.socket.close()

    def _ready(self, end: _End, mask: int) -> None:
        if self._closed:  # by an earlier callback of the same turn
            return
        try:
            if mask & selectors.EVENT_READ and not self._carry(end):
                self.close()
                return
            self._send(self._client)
            self._send(self._host)
        except (OSError, ProtocolError) as error:
            _log.info("a connection ends: %s", error)
            self.close()
            return
        finally:
            self._tell()
        self._watch()

    def _carry(self, end: _End) -> bool:
        """Take what one side sent; return False where it has left."""
        try:
            data = end.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return True
        if not data:
            return False
        passage: Passage
        if end is self._client:
            passage = self._guard.client_sent(data)
        else:
            passage = self._guard.host_sent(data)
        self._host.unsent += passage.to_host
        self._client.unsent += passage.to_client
        return True

    def _tell(self) -> None:
        """Tell of the calls that were answered, once the answers are out: those are waited for."""
        if self._answered:
            for call, error in self._answered:
                self._on_call(call, error)
            self._answered.clear()

    def _send(self, end: _End) -> None:
        if not end.unsent:
            return
        try:
            sent = end.socket.send(end.unsent)
        except (BlockingIOError, InterruptedError):
            return
        del end.unsent[:sent]

    def _watch(self) -> None:
        """Read from a side as long as the other takes what follows from it; write what waits."""
        client, host = self._client, self._host
        if client.mask == host.mask == selectors.EVENT_READ and not (client.unsent or host.unsent):
            return  # as it is after nearly every call
        full = max(len(client.unsent), len(host.unsent)) > _UNSENT_PAUSE_BYTES
        for end in (client, host):
            mask = 0 if full else selectors.EVENT_READ
            if end.unsent:
                mask |= selectors.EVENT_WRITE
            self._set_mask(end, mask)

    def _set_mask(self, end: _End, mask: int) -> None:
        if mask == end.mask:
            return
        callback = partial(self._ready, end)
        if not mask:
            self._selector.unregister(end.socket)
        elif not end.mask:
            self._selector.register(end.socket, mask, callback)
        else:
            self._selector.modify(end.socket, mask, callback)
        end.mask = mask
