"""A simulated host behind libvirt's socket, with a client that a lesson drives call by call.

It is the server of `virtlab serve` and `virtlab shell` on a UNIX socket; only its time moves as the
lesson says: by what each call costs, and while the client waits. So the same lesson shows the same
figures each time, though every answer has crossed a socket.
"""

from __future__ import annotations

import selectors
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.server import SOCKET_NAME, LibvirtServer
from virtlab.libvirt_rpc.client import Answer, ClientConnection, Event
from virtlab.model.scenario import Scenario
from virtlab.model.units import seconds
from virtlab.simulator.host import SimulatedHost

__all__ = ["Client", "ServedHost", "served"]

_CHUNK: Final = 262_144
_PATIENCE_S: Final = 5.0  # of real time; the host is in this process, and answers at once


class ServedHost:
    """A simulated host, its server, and the loop that carries bytes between them."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        """Listen in a folder; the host stands at time 0."""
        self.simulated = SimulatedHost(scenario)
        self.simulated.advance(0)
        self.socket = folder / SOCKET_NAME
        self.calls: list[str] = []  # procedures, as they were answered
        self._selector = selectors.DefaultSelector()
        self._clients: list[Client] = []
        self._server = LibvirtServer(
            self._selector,
            folder,
            SimulatedDriver(self.simulated),
            self,
            on_call=lambda call, _error, _ns: self.calls.append(call.procedure.name),
        )

    # What the server wants of a clock.

    @property
    def now_ns(self) -> int:
        """Return the host's moment."""
        return self.simulated.now_ns

    def charge(self, ns: int) -> None:
        """Let the time of a call pass."""
        self.simulated.advance(self.simulated.now_ns + ns)

    def wait(self, span_s: float) -> None:
        """Let time pass, as a client's sleep does."""
        self.simulated.advance(self.simulated.now_ns + seconds(span_s))

    def turn(self, timeout_s: float = 0.0) -> bool:
        """Carry bytes once; tell whether there were any."""
        ready = self._selector.select(timeout_s)
        for key, mask in ready:
            key.data(mask)
        return bool(ready)

    def connect(self) -> Client:
        """Return a client that has opened a connection; it is closed with the host."""
        self._clients.append(Client(self))
        return self._clients[-1]

    def close(self) -> None:
        """Drop the clients and remove the socket."""
        for client in self._clients:
            client.close()
        self._server.close()
        self._selector.close()


class Client:
    """A client of a served host."""

    def __init__(self, host: ServedHost) -> None:
        self._host = host
        self._protocol = ClientConnection()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(host.socket))
        self._socket.setblocking(False)
        self.calls = self.bytes = 0  # over the border: there, and there and back
        self.events: list[Event] = []
        self.call("AUTH_LIST")
        self.call("CONNECT_OPEN", "qemu:///system", 0)

    def call(self, name: str, *args: Any) -> Any:
        """Return the results of a call, a named tuple.

        Raises:
            LibvirtError: the host refused it.
            TimeoutError: it would be answered only as time goes on.
        """
        request = self._protocol.call(name, *args)
        self._socket.sendall(request)
        self.calls += 1
        self.bytes += len(request)
        while True:
            if not self._host.turn(_PATIENCE_S):
                raise TimeoutError(f"the host does not answer {name}: is a guest's lock held?")
            for answer in self._received():
                if answer.error is not None:
                    raise answer.error
                return answer.results

    def listen(self) -> list[Event]:
        """Return the events that have come since the last time."""
        self._received()
        while self._host.turn():
            self._received()
        found, self.events = self.events, []
        return found

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _received(self) -> list[Answer]:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the host closed the connection")
        self.bytes += len(data)
        items = self._protocol.receive(data)
        self.events += [item for item in items if isinstance(item, Event)]
        return [item for item in items if isinstance(item, Answer)]


@contextmanager
def served(scenario: Scenario) -> Iterator[ServedHost]:
    """Serve a scenario's host in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="virtlab-lesson-") as folder:
        host = ServedHost(scenario, Path(folder))
        try:
            yield host
        finally:
            host.close()
