"""Stand-ins for QEMU's processes: what a program finds that looks for a guest in `/proc`.

Programs find a guest's process by its UUID on a command line (`pgrep -f`), by its name in `ps`, or
by a pid file. For each guest that runs there is a real process in the program's sandbox with QEMU's
command line and a thread for each vCPU. It only sleeps; `clock/stand_ins.c` is its other half.

A keeper in the sandbox starts and ends them at our word, and answers each, so that they are there,
or gone, before the program can look. Numbers of processes follow from the order and are the same on
every run.
"""

from __future__ import annotations

import logging
import selectors
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from virtlab.subjects.sandbox import Limits

__all__ = ["StandIn", "StandIns"]

_START, _STOP, _GO = 1, 2, 3
_REQUEST = struct.Struct("=II")  # struct stand_in_request: operation, argument
_ANSWER = struct.Struct("=I")
_PATIENCE_S = 5.0  # of real time, in which the keeper answers
_TRUE = "/usr/bin/true"
# Granted, not measured: a stack of 64 KiB (`clock/stand_ins.c`), the kernel's, a process's pages.
_THREAD_KIB = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StandIn:
    """A process that is to be there."""

    name: str  # of its guest
    vcpus: int
    arguments: tuple[str, ...]


class StandIns:
    """The stand-ins of one run."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        socket_path: Path,
        pid_folder: Path,
        wanted: Callable[[], Mapping[int, StandIn]],
    ) -> None:
        """Wait for the keeper's call.

        Args:
            selector: where its call comes in, with a callback as data.
            socket_path: where we listen.
            pid_folder: where files with processes' numbers are written, one a guest.
            wanted: tells which processes are to be there, by a key that no two ever share.
        """
        self._selector = selector
        self._path = socket_path
        self._pid_folder = pid_folder
        self._wanted = wanted
        self._pids: dict[int, tuple[int, Path]] = {}  # process and its file, by the same keys
        self._keeper: socket.socket | None = None
        pid_folder.mkdir(mode=0o755)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(socket_path))
        socket_path.chmod(0o777)  # the folder around it decides who gets here
        self._listener.listen(1)
        selector.register(self._listener, selectors.EVENT_READ, self._on_call)

    @staticmethod
    def command(argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command line that starts the keeper and becomes the program."""
        return (_TRUE, *argv)

    @staticmethod
    def environment(seen: Path) -> Mapping[str, str]:
        """Return the variable that the command needs, with the socket's path as it sees it."""
        return {"VIRTLAB_STAND_INS": str(seen)}

    @staticmethod
    def limits(limits: Limits, threads: int) -> Limits:
        """Return what a run may use that has so many threads of stand-ins beside the program's."""
        memory_kib = limits.memory_kib + threads * _THREAD_KIB
        return replace(limits, processes=limits.processes + threads + 1, memory_kib=memory_kib)

    def follow(self) -> None:
        """Start and end processes, so that those are there that are wanted."""
        if self._keeper is not None:
            self._guarded(self._follow)

    def close(self) -> None:
        """Let the keeper go, and with it the stand-ins."""
        self._hang_up()
        self._selector.unregister(self._listener)
        self._listener.close()

    def _on_call(self, _mask: int) -> None:
        caller, _ = self._listener.accept()
        if self._keeper is not None:
            caller.close()  # the program itself, which has nothing to say here
            return
        self._keeper = caller
        caller.settimeout(_PATIENCE_S)
        self._guarded(self._let_go)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            # The program may have ended the keeper: then its guests have no processes any more.
            _log.warning("the stand-ins of QEMU are given up: %s", error)
            self._hang_up()

    def _let_go(self) -> None:
        self._follow()
        self._ask(_GO, 0)

    def _follow(self) -> None:
        wanted = self._wanted()
        for key in [key for key in self._pids if key not in wanted]:
            pid, file = self._pids.pop(key)
            self._ask(_STOP, pid)
            file.unlink()
        for key in sorted(wanted.keys() - self._pids.keys()):
            self._start(key, wanted[key])

    def _start(self, key: int, stand_in: StandIn) -> None:
        texts = (str(stand_in.vcpus), *stand_in.arguments)
        data = b"".join(text.encode() + b"\0" for text in texts)
        pid = self._ask(_START, len(data), data)
        if not pid:
            raise OSError(f"none could be started for {stand_in.name}")
        file = self._pid_folder / f"{stand_in.name}.pid"
        file.write_text(f"{pid}\n")
        self._pids[key] = (pid, file)

    def _ask(self, operation: int, argument: int, data: bytes = b"") -> int:
        """Send a request and return the answer."""
        assert self._keeper is not None
        self._keeper.sendall(_REQUEST.pack(operation, argument) + data)
        answer = self._keeper.recv(_ANSWER.size, socket.MSG_WAITALL)
        if len(answer) < _ANSWER.size:
            raise ConnectionError("the keeper has gone")
        pid: int = _ANSWER.unpack(answer)[0]
        return pid

    def _hang_up(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
