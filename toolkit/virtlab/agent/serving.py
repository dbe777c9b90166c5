"""A daemon as a process: its loop, its signals, and its end."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

from virtlab.agent.daemon import Daemon
from virtlab.agent.deciding import StopDeciding
from virtlab.agent.undo import PutBack, put_back
from virtlab.errors import EnvironmentLackError
from virtlab.model.units import NS_PER_S

__all__ = ["Stopping", "SystemClock", "restore", "run"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# A daemon ends within a second of SIGTERM: so much of it is for putting things back.
_RESTORE_S: Final = 0.7
_ANSWER_S: Final = 0.3
_SETTLE_S: Final = 0.1

_log = logging.getLogger(__name__)


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Return the moment on a clock that never goes back."""
        return time.monotonic_ns()

    def wall_s(self) -> float:
        """Return the moment on the calendar's clock, in seconds since 1970."""
        return time.time()


class Stopping:
    """Tells whether a signal asked for the end; a policy that decides is interrupted by it."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self) -> None:
        """Ask for the end."""
        self.asked = True


def run(daemon: Daemon, *, until_ns: int | None = None) -> None:
    """Serve until a signal asks for the end, or until a moment of the daemon's clock.

    Raises:
        VirtlabError: it had to end, and why.
        OSError: libvirtd did not listen at the start.
    """
    with contextlib.suppress(io.UnsupportedOperation):  # where stderr is no file
        # A policy that hangs in C is ended by this signal (`deciding`): say where it was.
        faulthandler.register(signal.SIGVTALRM, all_threads=False, chain=True)
    with _stop_signals(daemon) as stopping:
        daemon.start()
        while not stopping.asked:
            due_ns = daemon.turn()
            if daemon.fatal is not None:
                raise daemon.fatal
            now_ns = daemon.clock.now_ns()
            if until_ns is not None and now_ns >= until_ns:
                return
            wait_s = max(min(due_ns, until_ns or due_ns) - now_ns, 0) / NS_PER_S
            for key, mask in daemon.selector.select(wait_s):
                key.data(mask)


def restore(daemon: Daemon) -> None:
    """Put back what was changed, as far as there is time; the log says what is left."""
    assert daemon.changes is not None
    try:
        found = put_back(
            daemon.settings.socket,
            daemon.changes.path,
            timeout_s=_ANSWER_S,
            deadline_s=_RESTORE_S,
            settle_s=_SETTLE_S,
        )
    except (EnvironmentLackError, OSError) as error:
        _log.warning("nothing was put back: %s", str(error).splitlines()[0])
        return
    _tell(found)


def _tell(found: list[PutBack]) -> None:
    for one in found:
        if one.outcome in ("left", "failed"):
            _log.warning(
                "%s was not put back: %s; `virtlab undo` tries again", one.change.name, one.why
            )
    back = sum(one.outcome == "back" for one in found)
    _log.info("%d of %d changes were put back", back, len(found))


@contextlib.contextmanager
def _stop_signals(daemon: Daemon) -> Iterator[Stopping]:
    """Have SIGINT and SIGTERM end the loop at once, also in the middle of a decision."""
    stopping = Stopping()
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def woken(_mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            reader.recv(64)

    def noticed(_number: int, _frame: FrameType | None) -> None:
        stopping.ask()
        if daemon.decider is not None and daemon.decider.deciding:
            daemon.decider.stopped = True
            raise StopDeciding

    handlers = {number: signal.signal(number, noticed) for number in _SIGNALS}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    daemon.selector.register(reader, selectors.EVENT_READ, woken)
    try:
        yield stopping
    finally:
        daemon.selector.unregister(reader)
        signal.set_wakeup_fd(descriptor)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()
