"""Serving a simulated host in real time, at a pace, for people and for programs of any kind.

The host moves on whenever somebody looks: before each call and at least twenty times a second, so
that events reach clients in time.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.server import LibvirtServer
from virtlab.model.scenario import Scenario
from virtlab.model.units import NS_PER_S
from virtlab.simulator.host import SimulatedHost

__all__ = ["LONGEST_TURN_S", "PacedClock", "PacedHost", "run_beside", "stop_signals"]

LONGEST_TURN_S = 0.05  # longest time between two moves of the host

# A client often calls again at once. Waking the loop takes longer than answering, so it stays awake
# for about as long as a round trip takes: that of virDomainGetInfo fell from 82 to 45 us.
_AWAKE_NS = 60_000

# A suspended machine wakes up far in the future; the host then catches up in slices, so that
# clients are answered meanwhile.
_SLICE_NS = 600 * NS_PER_S


class PacedClock:
    """Virtual time that follows the machine's clock, `pace` times as fast."""

    def __init__(
        self,
        pace: float,
        advance: Callable[[int], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start at virtual time 0.

        Args:
            pace: virtual seconds in one real second.
            advance: moves the host to a virtual instant.
            monotonic_ns: the machine's clock.
        """
        self._pace = pace
        self._advance = advance
        self._monotonic_ns = monotonic_ns
        self._start_ns = monotonic_ns()
        self._now_ns = 0

    @property
    def now_ns(self) -> int:
        """Return the instant to which the host was moved last."""
        return self._now_ns

    def charge(self, ns: int) -> None:
        """Move the host to the present; a call costs real time here, and no other."""
        self.catch_up()

    def catch_up(self) -> None:
        """Move the host to the present, by one slice at most."""
        present_ns = round((self._monotonic_ns() - self._start_ns) * self._pace)
        if present_ns > self._now_ns + _SLICE_NS:
            present_ns = self._now_ns + _SLICE_NS
        if present_ns > self._now_ns:
            self._advance(present_ns)
            self._now_ns = present_ns


class PacedHost:
    """A simulated host on its sockets, moving with real time until it is stopped."""

    def __init__(self, scenario: Scenario, directory: Path, *, pace: float = 1.0) -> None:
        """Start to listen in a folder.

        Raises:
            OSError: the sockets cannot be made there.
        """
        self.selector = selectors.DefaultSelector()
        host = SimulatedHost(scenario)
        host.advance(0)
        self._clock = PacedClock(pace, host.advance)
        self._server = LibvirtServer(self.selector, directory, SimulatedDriver(host), self._clock)
        self._stopping = False

    def stop(self) -> None:
        """Have `serve` return after its present turn."""
        self._stopping = True

    def serve(self) -> None:
        """Serve until `stop`, whatever the scenario's duration is."""
        select, monotonic_ns = self.selector.select, time.monotonic_ns
        awake_until_ns = 0
        while not self._stopping:
            awake = monotonic_ns() < awake_until_ns
            ready = select(0 if awake else LONGEST_TURN_S)
            for key, mask in ready:
                key.data(mask)
            if ready:
                awake_until_ns = monotonic_ns() + _AWAKE_NS
            if ready or not awake:
                self._clock.catch_up()

    def close(self) -> None:
        """Drop the clients and remove the sockets."""
        self._server.close()
        self.selector.close()


@contextlib.contextmanager
def stop_signals(host: PacedHost) -> Iterator[None]:
    """Stop the host on SIGINT and SIGTERM, at once and without interrupting a call."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def woken(_mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            reader.recv(64)
        host.stop()

    def noticed(_number: int, _frame: FrameType | None) -> None:
        """Let the descriptor tell the loop."""

    handlers = {number: signal.signal(number, noticed) for number in _STOP_SIGNALS}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    host.selector.register(reader, selectors.EVENT_READ, woken)
    try:
        yield
    finally:
        host.selector.unregister(reader)
        signal.set_wakeup_fd(descriptor)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_beside(host: PacedHost, argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command in the foreground, serve the host until it ends, and return its exit code.

    Ctrl-C belongs to the command meanwhile, which shares our terminal.
    """
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _TERMINAL_SIGNALS}
    try:
        child = subprocess.Popen(argv, env=environment, preexec_fn=_default_signals)
        ended = os.pidfd_open(child.pid)
        try:
            host.selector.register(ended, selectors.EVENT_READ, lambda _mask: host.stop())
            host.serve()
            host.selector.unregister(ended)
            code = child.wait()
        finally:
            os.close(ended)
            if child.poll() is None:
                child.kill()
                child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


_TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGQUIT)


def _default_signals() -> None:
    """Give the child what we ignore: an ignored signal stays ignored over an exec."""
    for number in _TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
