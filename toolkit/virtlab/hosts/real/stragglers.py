"""Processes that outlive the playbook which started them, and would go on with its task.

ansible-runner ends a playbook's process group where it is interrupted; ansible-core's workers have
left that group (`WorkerProcess._detach` calls setsid). One that goes on would start a guest after
the run has put everything back, or write into a folder that is gone. They are known by a
variable of their environment that no other process has.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["end_stragglers"]

_PATIENCE_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05


def end_stragglers(name: str, value: str) -> bool:
    """Kill each process that has a variable in its environment; tell whether all are gone."""
    wanted = f"{name}={value}".encode()
    until_s = time.monotonic() + _PATIENCE_S
    while found := list(_with_variable(wanted)):
        if time.monotonic() > until_s:
            return False
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_EVERY_S)
    return True


def _with_variable(wanted: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it has ended, or is another user's
                # A process that has ended and was not waited for has an empty environment.
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
