"""What the SPIN lesson starts beside itself, and what was left of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final, Literal

from virtlab.lessons.served import ServedHost
from virtlab.lessons.spin_far import LAST_CALL
from virtlab.lessons.spin_near import ACTS, DURATION_S

__all__ = ["Near", "far_look_ns", "fate_over_the_wire"]

_PATIENCE_S: Final = 30.0  # for what ends by itself, on a busy machine
_HANG_S: Final = 0.5  # what nobody ends is watched for so long
_TURN_S: Final = 0.02


class Near:
    """A host and a hostile policy in one process."""

    def __init__(self, place: Literal["inside", "guarded"], kind: str) -> None:
        """Start it."""
        self._place, self._kind = place, kind
        self._child = _started("spin_near", place, kind)

    def fate(self) -> str:
        """Return what was left."""
        hangs = self._kind == "never returns" and self._place == "inside"
        if hangs:
            assert self._child.stdout is not None
            assert self._child.stdout.readline().strip() == ACTS
        try:
            self._child.communicate(timeout=_HANG_S if hangs else _PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            return "the host stands still"
        if self._child.returncode < 0:
            return "the host is gone, with its process"
        if self._child.returncode > 0:
            return "the host's loop is over"
        return "the policy's run is over; the next one had its own"


def fate_over_the_wire(kind: str, host: ServedHost) -> str:
    """Return what was left where a hostile policy is a client of its own."""
    child = _started("spin_far", str(host.socket), "does", kind)
    _carry(host, until=lambda: LAST_CALL in host.calls)
    if kind != "never returns":
        _carry(host, until=lambda: child.poll() is not None)
    other = host.connect()
    answers = 0
    for _ in range(DURATION_S):
        host.wait(1.0)
        other.call("NODE_GET_INFO")
        answers += 1
    left = "hangs" if child.poll() is None else "is gone"
    child.kill()
    child.communicate()
    return f"the client {left}; another had {answers} answers in {DURATION_S} s"


def far_look_ns(looks: int, host: ServedHost) -> float:
    """Return how long the quickest of some looks takes to a client in another process."""
    child = _started("spin_far", str(host.socket), "looks", str(looks))
    _carry(host, until=lambda: child.poll() is not None)
    child.kill()
    said, _ = child.communicate()
    return float(said)


def _carry(host: ServedHost, *, until: Callable[[], bool]) -> None:
    """Serve until something has come about, or for as long as anybody would wait."""
    deadline = time.monotonic() + _PATIENCE_S
    while not until() and time.monotonic() < deadline:
        host.turn(_TURN_S)


def _started(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"virtlab.lessons.{module}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
