"""What the SPIN lesson starts beside itself, and what was left of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from virtlab.errors import EnvironmentLackError
from virtlab.lessons.served import ServedHost
from virtlab.lessons.spin_far import LAST_CALL
from virtlab.lessons.spin_near import ACTS, DURATION_S

__all__ = ["far_look_ns", "fate_nearby", "fate_over_the_wire", "started_nearby"]

Place = Literal["inside", "guarded"]
Child = subprocess.Popen[str]

_PATIENCE_S: Final = 30.0  # for what ends by itself, on a busy machine
_HANG_S: Final = 0.5  # what nobody ends is watched for so long
_TURN_S: Final = 0.02


@contextmanager
def started_nearby(place: Place, kind: str) -> Iterator[Child]:
    """Have a host and a hostile policy in one process, which is ended in any case."""
    with _started("spin_near", place, kind) as child:
        yield child


def fate_nearby(child: Child, place: Place, kind: str) -> str:
    """Return what was left where host and policy share a process."""
    if kind == "never returns" and place == "inside":
        assert child.stdout is not None
        if child.stdout.readline().strip() != ACTS:
            raise _too_busy()
        time.sleep(_HANG_S)
        return "stands still" if child.poll() is None else "all gone"
    try:
        child.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise _too_busy() from error
    if child.returncode < 0:
        return "all gone"
    return "loop over" if child.returncode else "run over, next plays"


def fate_over_the_wire(kind: str, host: ServedHost) -> str:
    """Return what was left where a hostile policy is a client of its own."""
    with _started("spin_far", str(host.socket), "does", kind) as child:
        _carry(host, until=lambda: LAST_CALL in host.calls)
        if kind != "never returns":
            _carry(host, until=lambda: child.poll() is not None)
        other = host.connect()
        answers = 0
        for _ in range(DURATION_S):
            host.wait(1.0)
            other.call("NODE_GET_INFO")
            answers += 1
        left = "client hangs" if child.poll() is None else "client gone"
    return f"{left}, {answers}/{DURATION_S}"


def far_look_ns(role: Literal["looks", "bulk"], looks: int, host: ServedHost) -> float:
    """Return what a look takes of the processor, in a client's process and in this one."""
    begun_ns = time.process_time_ns()
    with _started("spin_far", str(host.socket), role, str(looks)) as child:
        _carry(host, until=lambda: child.poll() is not None)
        assert child.stdout is not None
        here_ns = time.process_time_ns() - begun_ns
        return float(child.stdout.read()) + here_ns / looks


def _carry(host: ServedHost, *, until: Callable[[], bool]) -> None:
    """Serve until something has come about."""
    deadline = time.monotonic() + _PATIENCE_S
    while not until():
        if time.monotonic() > deadline:
            raise _too_busy()
        host.turn(_TURN_S)


@contextmanager
def _started(module: str, *arguments: str) -> Iterator[Child]:
    with subprocess.Popen(
        [sys.executable, "-m", f"virtlab.lessons.{module}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def _too_busy() -> EnvironmentLackError:
    return EnvironmentLackError(
        f"a process of the lesson did not come to its end in {_PATIENCE_S:g} s",
        fix="run the lesson again when the machine is less busy.",
    )
