"""The server: libvirt's two sockets of a simulated host, served by a shared selector.

It carries bytes: the sans-IO session turns them into calls, the driver turns calls into values.
What it decides is who is served, and how much of each: who is admitted, how many may connect, how
many calls a client is answered in a turn and what may wait for it. So one that is hostile, slow or
dead harms no other, and holds the loop no longer than a few of its calls take.

A call on a domain whose lock is held is put off (`put_off`); others go on meanwhile. Where the
daemon restarts, all connections end, and new ones are refused until it serves again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from virtlab.hosts.clock import HostClock, call_cost_ns
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import DomainEvent
from virtlab.hosts.simulated.put_off import PutOffCalls
from virtlab.hosts.simulated.served_client import ServedClient
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import LibvirtError, ProtocolError
from virtlab.libvirt_rpc.session import Call
from virtlab.libvirt_rpc.xdr import LimitError

__all__ = ["SOCKET_NAME", "SOCKET_NAME_READ_ONLY", "LibvirtServer", "OnCall"]

SOCKET_NAME = "libvirt-sock"
SOCKET_NAME_READ_ONLY = "libvirt-sock-ro"

# The call, libvirt's message where it was refused, and the virtual instant of its answer.
OnCall = Callable[[Call, str | None, int], None]

_READ_BYTES: Final = 65_536
# libvirtd's max_clients is 5000; a program that opens a connection a round stays far below this.
_CLIENTS_MAX: Final = 500
# So many of a client's calls are answered before others have their turn. libvirtd takes as many at
# a time (its max_client_requests).
_CALLS_A_TURN: Final = 5
# Events are no answer to anything: a client that never reads them loses those beyond this.
_UNSENT_EVENTS_MAX_BYTES: Final = 1 << 20
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
        self._clients: dict[int, ServedClient] = {}
        self._handling = False
        self._events: list[DomainEvent] = []
        self._put_off = PutOffCalls(driver, self._answer_late)
        self.hang_ups = 0  # how often the daemon went away
        self._directory = directory
        self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        # Readable as long as calls wait for their clients' next turns.
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        selector.register(self._bell, selectors.EVENT_READ, self._take_turns)
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
        """Return the earliest moment at which an answer leaves that is under way, if one is.

        That is now, as long as calls wait for their client's next turn and it reads its answers.
        """
        if any(client.is_due for client in self._clients.values()):
            return self._driver.now_ns
        return self._put_off.next_ns

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
            self._selector.unregister(self._bell)
            os.close(self._bell)
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
        client = ServedClient(accepted, self._driver, read_only=read_only)
        client.admitted = self._admit is None
        self._clients[accepted.fileno()] = client
        self._selector.register(accepted, selectors.EVENT_READ, partial(self._ready, client))

    def _refuse_one(self, listener: socket.socket) -> None:
        """Turn one client away when no descriptors are left; else the loop would spin on it."""
        os.close(self._spare_fd)
        with contextlib.suppress(OSError):
            listener.accept()[0].close()
        self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _ready(self, client: ServedClient, mask: int) -> None:
        if client.closed:  # dropped by an earlier callback of the same turn
            return
        if mask & selectors.EVENT_READ and not self._read(client):
            self._drop(client)
            return
        self._take_turn(client)

    def _take_turns(self, _mask: int) -> None:
        """Give each client whose calls wait another turn."""
        os.eventfd_read(self._bell)
        for client in list(self._clients.values()):
            if client.is_due and not client.closed:
                self._take_turn(client)

    def _take_turn(self, client: ServedClient) -> None:
        broken = self._serve(client)
        self._flush(client)
        if broken is not None:
            _log.info("a client is dropped: %s", broken)
            self._drop(client)
        elif client.is_due and not client.closed:
            os.eventfd_write(self._bell, 1)  # the rest, once others were looked after

    def _read(self, client: ServedClient) -> bool:
        """Take what a client sent; return False where it has left or broke the protocol."""
        try:
            data = client.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:  # it died with bytes under way
            return False
        if not data:
            return False
        try:
            client.session.receive(data)
        except ProtocolError as error:
            _log.info("a client is dropped: %s", error)
            return False
        return client.unfinished_bytes <= _UNFINISHED_BYTES or self._room_for_large_calls()

    def _room_for_large_calls(self) -> bool:
        """Tell whether calls may go on growing, of those that are large already."""
        growing = sum(client.unfinished_bytes for client in self._clients.values())
        if growing > _UNFINISHED_ALL_MAX_BYTES:
            _log.info("a client is dropped: %d bytes of unfinished calls are kept", growing)
        return growing <= _UNFINISHED_ALL_MAX_BYTES

    def _serve(self, client: ServedClient) -> ProtocolError | None:
        """Answer a client's next calls as far as its turn goes; return how it broke the protocol.

        It gets no more than it reads; what is left waits for its next turn.
        """
        try:
            for _ in range(_CALLS_A_TURN):
                if client.closed or not client.is_due:
                    break
                if client.overdue:
                    self._reply_late(client, *client.overdue.popleft())
                elif call := client.session.next_call():
                    self._answer(client, call)
                client.collect()
        except ProtocolError as error:
            return error
        return None

    def _answer(self, client: ServedClient, call: Call) -> None:
        self._handling = True
        try:
            self._clock.charge(call_cost_ns(call.procedure.name))
        finally:
            self._handling = False
        # Time moved on: the daemon may have gone away, and the client with it.
        if not client.closed and not self._has_to_wait(client, call, self._driver.now_ns):
            self._reply(client, call, call.refusal)
        if self._events:
            self._send_events(client)

    def _has_to_wait(self, client: ServedClient, call: Call, since_ns: int) -> bool:
        """Put a call off whose domain's lock is held; tell whether there is no more to do now."""
        if call.refusal is not None or not client.admitted:
            return False
        try:
            return self._put_off.has_to_wait(client, call, since_ns)
        except LibvirtError as error:
            self._reply(client, call, error)
            return True

    def _answer_late(self, client: ServedClient, call: Call, since_ns: int) -> None:
        """Answer a call that was put off; it waits for the client's turn where that is full."""
        if client.is_full:
            client.overdue.append((call, since_ns))
            return
        self._reply_late(client, call, since_ns)
        self._flush(client)

    def _reply_late(self, client: ServedClient, call: Call, since_ns: int) -> None:
        if self._has_to_wait(client, call, since_ns):
            return
        self._reply(client, call, self._driver.locks.refusal(call))
        if self._events and not self._handling:
            self._send_events(client)

    def _reply(self, client: ServedClient, call: Call, refusal: LibvirtError | None) -> None:
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

    def _check_admission(self, client: ServedClient) -> None:
        assert self._admit is not None
        reason = self._admit(client.peer_pid())
        if reason is not None:
            raise errors.operation_failed(reason)
        client.admitted = True

    def _emit(self, event: DomainEvent) -> None:
        self._events.append(event)
        if not self._handling:  # time moved on by itself
            self._send_events(None)

    def _send_events(self, current: ServedClient | None) -> None:
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

    def _flush(self, client: ServedClient) -> None:
        """Send what can be sent at once, in one write; the rest waits for room in the socket."""
        if client.closed:
            return
        try:
            client.collect()
        except ProtocolError as error:
            _log.info("a client is dropped: %s", error)
            self._drop(client)
            return
        try:
            client.unsent.send(client.socket)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:  # it left without waiting for the answer
            self._drop(client)
            return
        if client.has_left:  # libvirtd hangs up then, and so do we
            self._drop(client)
            return
        mask = client.wanted_mask()
        if mask != client.mask:
            client.mask = mask
            self._selector.modify(client.socket, mask, partial(self._ready, client))

    def _drop(self, client: ServedClient) -> None:
        if client.closed:
            return
        client.closed = True
        self._put_off.forget(client)
        del self._clients[client.socket.fileno()]
        self._selector.unregister(client.socket)
        client.socket.close()
