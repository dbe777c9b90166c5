"""A client of the SPIN lesson, in a process of its own.

python -m virtlab.lessons.spin_far SOCKET looks COUNT    looks at a host, and times them
python -m virtlab.lessons.spin_far SOCKET bulk COUNT     the same with one call a look
python -m virtlab.lessons.spin_far SOCKET does KIND      does its worst
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from virtlab.hosts.real.connection import HostConnection

__all__ = ["KINDS", "LAST_CALL", "do_worst"]

KINDS: Final = ("raises", "answers nonsense", "never returns", "kills its process")
LAST_CALL: Final = "CONNECT_GET_HOSTNAME"  # of a hostile client
_STATE_AND_VCPU, _NOWAIT, _LIVE = 1 | 8, 1 << 29, 1


def do_worst(kind: str) -> None:
    """Do one of three things at once; of nonsense the caller is the source."""
    if kind == "raises":
        raise RuntimeError("a bug in the policy")
    if kind == "never returns":
        while True:
            pass
    if kind == "kills its process":
        os.kill(os.getpid(), signal.SIGKILL)


def _does(path: Path, kind: str) -> None:
    with HostConnection(path) as host:
        host.call(LAST_CALL)
        do_worst(kind)
    with socket.socket(socket.AF_UNIX) as raw:  # nonsense on a wire is bytes that mean nothing
        raw.connect(str(path))
        raw.sendall(b"\xff" * 4096)
        raw.recv(1)


def _timed_look(host: HostConnection, *, whole: bool) -> int:
    """Return what it takes of the processor to ask what a policy beside the host just reads."""
    begun_ns = time.process_time_ns()
    records = host.call("CONNECT_GET_ALL_DOMAIN_STATS", [], _STATE_AND_VCPU, _NOWAIT).retStats
    for record in records if whole else ():  # what bulk statistics leave out: masks and caps
        host.call("DOMAIN_GET_VCPUS", record.dom, 1, 8)
        host.call("DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS", record.dom, 16, _LIVE)
    return time.process_time_ns() - begun_ns


def _main(path: str, role: str, what: str) -> None:
    if role == "does":
        _does(Path(path), what)
        return
    with HostConnection(Path(path)) as host:
        print(min(_timed_look(host, whole=role == "looks") for _ in range(int(what))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
