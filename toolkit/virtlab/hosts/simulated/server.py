"""The server: libvirt's two sockets of a simulated host, served by a shared selector.

It carries bytes and decides nothing: the sans-IO session turns bytes into calls, the driver turns
calls into values. Each client has its own session, registrations and buffers, all with limits, so
that one that is hostile, slow or dead harms no other and never blocks the loop.

A call on a domain whose lock is held is put off: its answer leaves when the host comes to the
moment at which the lock is free, or the call gives up. Others go on meanwhile. Where the daemon
restarts, all connections end, and new ones are refused until it serves again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from virtlab.hosts.clock import HostClock, call_cost_ns
from virtlab.hosts.simulated.backlog import Backlog
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import DomainEvent, Subscriptions
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.session import Call, ServerConnection
from virtlab.libvirt_rpc.xdr import LimitError
from virtlab.simulator.engine import EventHandle

__all__ = ["SOCKET_NAME", "SOCKET_NAME_READ_ONLY", "LibvirtServer", "OnCall"]

SOCKET_NAME = "libvirt-sock"
SOCKET_NAME_READ_ONLY = "libvirt-sock-ro"

# The call, libvirt's message where it was refused, and the virtual instant of its answer.
OnCall = Callable[[Call, str | None, int], None]

_READ_BYTES: Final = 65_536
# libvirtd's max_clients is 5000; a program that opens a connection a round stays far below this.
_CLIENTS_MAX: Final = 500
# From here on a client's calls wait until it has read what it was sent.
_UNSENT_PAUSE_BYTES: Final = 1 << 20
# Events are no answer to anything: a client that never reads them loses those beyond this.
_UNSENT_EVENTS_MAX_BYTES: Final = 1 << 20
# libvirtd reads no more from a client of which five calls are under way; here there may be as many
# as threads of a program could make.
_PUT_OFF_MAX: Final = 1_000
# A call may have 32 MiB, and a client that never completes one keeps as much memory. So each may
# have 4 MiB under way (16,384 domains are about 1 MiB), and a few at a time may have more.
_UNFINISHED_BYTES: Final = 4 << 20
_UNFINISHED_ALL_MAX_BYTES: Final = 64 << 20
_SEND_BUFFER_BYTES: Final = 1 << 20
_BACKLOG: Final = 128
# Other users may connect, as libvirt's socket for unprivileged clients allows: the sandbox runs
# the program as one of them, and the folder around the socket decides who gets here.
_SOCKET_MODE: Final = 0o777

_log = logging.getLogger(__name__)


class LibvirtServer:
    """Serves one simulated host on `libvirt-sock` and `libvirt-sock-ro` in a folder."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        directory: Path,
        driver: SimulatedDriver,
        clock: HostClock,
        *,
        on_call: OnCall | None = None,
        admit: Callable[[int], str | None] | None = None,
    ) -> None:
        """Start to listen; calls are answered from the selector's loop.

        Args:
            selector: its keys carry the callback as data.
            directory: where the sockets are made; stale ones are replaced.
            driver: answers the calls; its events go to the clients that registered.
            clock: is charged each call's cost before the call is handled.
            on_call: is told of each call after it was handled.
            admit: gets the process id of a client and returns why it is refused, or None.

        Raises:
            OSError: a socket cannot be made there.
        """
        self._selector = selector
        self._driver = driver
        self._clock = clock
        self._on_call = on_call
        self._admit = admit
        self._clients: dict[int, _Client] = {}
        self._handling = False
        self._events: list[DomainEvent] = []
        self._late: dict[Call, EventHandle] = {}  # answers that were put off
        self.hang_ups = 0  # how often the daemon went away
        self._directory = directory
        self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._listeners: list[socket.socket] = []
        try:
            self._listen_on_both()
        except BaseException:
            self.close()
            raise
        driver.events.sink = self._emit
        driver.on_outage = self._daemon_goes

    def sockets(self) -> Iterator[socket.socket]:
        """Return the clients' sockets, on which bytes may be in flight."""
        return (client.socket for client in self._clients.values())

    @property
    def next_word_ns(self) -> int | None:
        """Return the earliest moment at which an answer leaves that was put off, if one was."""
        return min((handle.time_ns for handle in self._late.values()), default=None)

    def close(self) -> None:
        """Drop all clients and remove the sockets; closing twice is harmless."""
        self._driver.events.sink = None
        self._driver.on_outage = lambda _away: None
        for client in list(self._clients.values()):
            self._drop(client)
        self._stop_listening()
        for name in (SOCKET_NAME, SOCKET_NAME_READ_ONLY):
            (self._directory / name).unlink(missing_ok=True)
        if self._spare_fd >= 0:
            os.close(self._spare_fd)
            self._spare_fd = -1

    def _daemon_goes(self, away: bool) -> None:
        """Hang up on all and listen no more, or listen again.

        The sockets' files stay, as after a daemon that was killed: connections are refused.
        """
        if not away:
            self._listen_on_both()
            return
        self.hang_ups += 1
        for client in list(self._clients.values()):
            self._drop(client)
        self._stop_listening()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()

    def _listen_on_both(self) -> None:
        self._listen(self._directory / SOCKET_NAME, read_only=False)
        self._listen(self._directory / SOCKET_NAME_READ_ONLY, read_only=True)

    def _listen(self, path: Path, *, read_only: bool) -> None:
        path.unlink(missing_ok=True)  # a server that was killed leaves its socket behind
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(str(path))
            path.chmod(_SOCKET_MODE)
            listener.listen(_BACKLOG)
            self._selector.register(
                listener, selectors.EVENT_READ, partial(self._accept, listener, read_only)
            )
        except BaseException:
            listener.close()
            raise
        self._listeners.append(listener)

    def _accept(self, listener: socket.socket, read_only: bool, _mask: int) -> None:
        if listener.fileno() < 0:  # closed by an earlier callback of the same turn
            return
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        except OSError as error:
            _log.warning("cannot accept a client: %s", error)
            self._refuse_one(listener)
            return
        if len(self._clients) >= _CLIENTS_MAX:
            _log.warning("a client is turned away: %d are connected", len(self._clients))
            accepted.close()
            return
        accepted.setblocking(False)
        # The kernel grants less; the more it takes at once, the less often the loop is woken.
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        client = _Client(accepted, self._driver, read_only=read_only)
        client.admitted = self._admit is None
        self._clients[accepted.fileno()] = client
        self._selector.register(accepted, selectors.EVENT_READ, partial(self._ready, client))

    def _refuse_one(self, listener: socket.socket) -> None:
        """Turn one client away when no descriptors are left; else the loop would spin on it."""
        os.close(self._spare_fd)
        with contextlib.suppress(OSError):
            listener.accept()[0].close()
        self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _ready(self, client: _Client, mask: int) -> None:
        if client.closed:  # dropped by an earlier callback of the same turn
            return
        if mask & selectors.EVENT_READ and not self._read(client):
            self._drop(client)
            return
        self._flush(client)

    def _read(self, client: _Client) -> bool:
        """Answer what a client sent; return False where it has left or broke the protocol."""
        try:
            data = client.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:  # it died with bytes under way
            return False
        if not data:
            return False
        try:
            calls = client.session.receive(data)
        except ProtocolError as error:
            _log.info("a client is dropped: %s", error)
            return False
        for call in calls:
            self._answer(client, call)
            if client.closed:
                break
        return client.unfinished_bytes <= _UNFINISHED_BYTES or self._room_for_large_calls()

    def _room_for_large_calls(self) -> bool:
        """Tell whether calls may go on growing, of those that are large already."""
        growing = sum(client.unfinished_bytes for client in self._clients.values())
        if growing > _UNFINISHED_ALL_MAX_BYTES:
            _log.info("a client is dropped: %d bytes of unfinished calls are kept", growing)
        return growing <= _UNFINISHED_ALL_MAX_BYTES

    def _answer(self, client: _Client, call: Call) -> None:
        self._handling = True
        try:
            self._clock.charge(call_cost_ns(call.procedure.name))
        finally:
            self._handling = False
        # Time moved on: the daemon may have gone away, and the client with it.
        if not client.closed and not self._put_off(client, call, self._driver.now_ns):
            self._reply(client, call, call.refusal)
        if self._events:
            self._send_events(client)

    def _put_off(self, client: _Client, call: Call, since_ns: int) -> bool:
        """Let a call wait for its domain's lock; tell whether it has to."""
        if call.refusal is not None or not client.admitted:
            return False
        at_ns = self._driver.locks.answered_at(call, since_ns)
        if at_ns is None:
            return False
        if client.put_off >= _PUT_OFF_MAX:
            reason = f"{_PUT_OFF_MAX} calls of this client wait already"
            self._reply(client, call, errors.operation_failed(reason))
            return True
        client.put_off += 1
        action = partial(self._answer_late, client, call, since_ns)
        self._late[call] = self._driver.at(at_ns, action)
        return True

    def _answer_late(self, client: _Client, call: Call, since_ns: int, _now_ns: int) -> None:
        del self._late[call]
        client.put_off -= 1
        if client.closed or self._put_off(client, call, since_ns):
            return
        self._reply(client, call, self._driver.locks.refusal(call))
        if self._events and not self._handling:
            self._send_events(client)
        self._flush(client)

    def _reply(self, client: _Client, call: Call, refusal: LibvirtError | None) -> None:
        name = call.procedure.name
        outer, self._handling = self._handling, True
        try:
            if refusal is None:
                if not client.admitted:
                    self._check_admission(client)
                client.session.reply(call, client.handlers[name](*call.args))
        except LibvirtError as error:
            refusal = error
        except LimitError as error:
            _log.info("the reply of %s does not fit: %s", name, error)
            refusal = errors.encode_error()
        except Exception:
            # A bug of ours must neither hang this client nor take the others down.
            _log.exception("%s could not be answered", name)
            refusal = errors.internal_error(f"the simulated host failed in {name}")
        finally:
            self._handling = outer
        if refusal is not None and not call.answered:
            client.session.reply_error(call, refusal)
        if self._on_call is not None:
            message = None if refusal is None else refusal.message
            self._on_call(call, message, self._driver.now_ns)

    def _check_admission(self, client: _Client) -> None:
        assert self._admit is not None
        reason = self._admit(client.peer_pid())
        if reason is not None:
            raise errors.operation_failed(reason)
        client.admitted = True

    def _emit(self, event: DomainEvent) -> None:
        self._events.append(event)
        if not self._handling:  # time moved on by itself
            self._send_events(None)

    def _send_events(self, current: _Client | None) -> None:
        """Queue the events after whatever reply went before; `current` is flushed by its caller."""
        events, self._events = self._events, []
        for client in list(self._clients.values()):
            told = False
            for event in events:
                for procedure, values in client.subscriptions.messages(event):
                    if len(client.unsent) <= _UNSENT_EVENTS_MAX_BYTES:
                        client.session.send_event(procedure, values)
                        told = True
            if told and client is not current:
                self._flush(client)

    def _flush(self, client: _Client) -> None:
        """Send what can be sent at once, in one write; the rest waits for room in the socket."""
        if client.closed:
            return
        try:
            chunks = client.session.chunks_to_send()
        except ProtocolError as error:
            _log.info("a client is dropped: %s", error)
            self._drop(client)
            return
        unsent = client.unsent
        unsent.add(chunks)
        try:
            unsent.send(client.socket)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:  # it left without waiting for the answer
            self._drop(client)
            return
        self._watch(client)

    def _watch(self, client: _Client) -> None:
        """Wait for calls, for room to write, or for both."""
        mask = selectors.EVENT_READ
        if client.unsent:
            mask |= selectors.EVENT_WRITE
            if len(client.unsent) > _UNSENT_PAUSE_BYTES:
                mask = selectors.EVENT_WRITE
        if mask != client.mask:
            client.mask = mask
            self._selector.modify(client.socket, mask, partial(self._ready, client))

    def _drop(self, client: _Client) -> None:
        if client.closed:
            return
        client.closed = True
        del self._clients[client.socket.fileno()]
        self._selector.unregister(client.socket)
        client.socket.close()


class _Client:
    """One connection: its socket, session, registrations and what it has not read yet."""

    def __init__(
        self, connected: socket.socket, driver: SimulatedDriver, *, read_only: bool
    ) -> None:
        self.socket = connected
        self.session = ServerConnection(read_only=read_only)
        self.subscriptions = Subscriptions()
        self.handlers = driver.handlers_for(self.subscriptions)
        self.unsent = Backlog()
        self.put_off = 0  # calls that wait for the lock of a domain
        self.mask = selectors.EVENT_READ
        self.admitted = True
        self.closed = False

    @property
    def unfinished_bytes(self) -> int:
        """Return how much there is of a call that is not complete."""
        return self.session.unfinished_bytes

    def peer_pid(self) -> int:
        """Return the process that connected, as the kernel saw it."""
        credentials = self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size
        )
        pid: int = _PEER_CREDENTIALS.unpack(credentials)[0]
        return pid


_PEER_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
