"""One client of the server: its socket, session, registrations, and what it has not read yet."""

from __future__ import annotations

import selectors
import socket
import struct
from collections import deque
from typing import Final

from virtlab.hosts.simulated.backlog import Backlog
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.session import ServerConnection, State

__all__ = ["ServedClient"]

# From here on a client's calls wait until it has read what it was sent.
_UNSENT_PAUSE_BYTES: Final = 1 << 20
_PEER_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


class ServedClient:
    """One connection; what is done with it is the server's."""

    def __init__(
        self, connected: socket.socket, driver: SimulatedDriver, *, read_only: bool
    ) -> None:
        self.socket = connected
        self.session = ServerConnection(read_only=read_only)
        self.subscriptions = Subscriptions()
        self.handlers = driver.handlers_for(self.subscriptions)
        self.unsent = Backlog()
        self.overdue: deque[tuple[Call, int]] = deque()  # were put off, and waited for room since
        self.mask = selectors.EVENT_READ
        self.admitted = True
        self.closed = False

    @property
    def unfinished_bytes(self) -> int:
        """Return how much there is of calls that are not complete, or that wait their turn."""
        return self.session.unfinished_bytes

    @property
    def is_due(self) -> bool:
        """Tell whether calls wait that can be answered: not while it has much to read."""
        return (self.session.has_packets or bool(self.overdue)) and not self.is_full

    @property
    def is_full(self) -> bool:
        """Tell whether it has yet to read so much that its calls wait."""
        return len(self.unsent) > _UNSENT_PAUSE_BYTES

    @property
    def has_left(self) -> bool:
        """Tell whether it took leave and was sent all that it is to get."""
        return self.session.state is State.CLOSED and not self.unsent

    def collect(self) -> None:
        """Take from the session what is to be sent.

        Raises:
            ProtocolError: the client never reads.
        """
        self.unsent.add(self.session.chunks_to_send())

    def wanted_mask(self) -> int:
        """Return what to wait for: calls, room to write, or both.

        Nothing is read from a client whose calls wait, so that there is one read of them at most.
        """
        waits = self.session.has_packets or self.is_full
        mask = 0 if waits else selectors.EVENT_READ
        if self.unsent or not mask:  # a selector wants something to wait for
            mask |= selectors.EVENT_WRITE
        return mask

    def peer_pid(self) -> int:
        """Return the process that connected, as the kernel saw it."""
        size = _PEER_CREDENTIALS.size
        credentials = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid: int = _PEER_CREDENTIALS.unpack(credentials)[0]
        return pid
