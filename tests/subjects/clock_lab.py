"""Real programs under a clock server of their own: what the tests of the virtual clock share."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from virtlab.model.units import NS_PER_S, seconds
from virtlab.subjects.clock_library import preload_environment
from virtlab.subjects.clock_server import ClockServer

__all__ = ["REAL_LIMIT_S", "Lab", "Run", "run_program"]

REAL_LIMIT_S = 4.0  # a hang is a failure, not a stuck suite


@dataclass
class Run:
    """What a program under the clock left behind."""

    output: str = ""
    status: int | None = None
    end_ns: int = 0
    waits: int = 0
    forced: int = 0
    advanced: list[int] = field(default_factory=list)
    left: list[tuple[str, int]] = field(default_factory=list)  # programs without a clock
    ends: list[tuple[int, str]] = field(default_factory=list)


Lab = Callable[..., Run]


def run_program(
    library: Path,
    directory: Path,
    command: tuple[str, ...],
    end_s: float | None,
    environment: Mapping[str, str],
) -> Run:
    result = Run()
    selector = selectors.DefaultSelector()
    clock = ClockServer(
        selector,
        directory,
        result.advanced.append,
        on_leave=lambda path, reach: result.left.append((path, reach)),
    )
    variables = preload_environment(
        library, clock_socket=clock.socket_path, clock_page=clock.page_path
    )
    process = subprocess.Popen(
        command,
        env={**os.environ, **variables, **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]

    def on_end() -> None:
        chosen = signals.pop(0)
        result.ends.append((clock.now_ns, chosen.name))
        clock.allow_until(clock.now_ns + 2 * NS_PER_S)
        os.kill(process.pid, chosen)

    if end_s is not None:
        clock.set_end(seconds(end_s))
        clock.on_end = on_end
    try:
        result.end_ns = serve_until_exit(clock, selector, process)
        result.output = process.communicate()[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        result.waits, result.forced = clock.waits, clock.forced
        clock.close()
        selector.close()
    result.status = process.returncode
    return result


def serve_until_exit(
    clock: ClockServer, selector: selectors.BaseSelector, process: subprocess.Popen[str]
) -> int:
    ended: list[int] = []
    pidfd = os.pidfd_open(process.pid)
    selector.register(pidfd, selectors.EVENT_READ, ended.append)
    give_up = time.monotonic() + REAL_LIMIT_S
    while not ended:
        assert time.monotonic() < give_up, f"stuck at {clock.now_ns} ns"
        pause = clock.turn()
        for key, mask in selector.select(1.0 if pause is None else pause):
            key.data(mask)
    selector.unregister(pidfd)
    os.close(pidfd)
    return clock.now_ns
