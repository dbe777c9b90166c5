"""Files whose text is up to date whenever a program looks at it, and costs nothing otherwise.

The kernel tells when somebody opens a file on which we hold a lease (fcntl(2), F_SETLEASE), and has
the opener wait until we let go of it. That is when the text is written: a file that nobody looks at
is never filled, and it makes no difference what the program is, static, a child or a shell's `cat`,
nor which other mount of the file it opens.

Who has opened a file may go back to its start and read again later (`top` and `vmstat` do). So it
counts as held from then on, and the owner has it written anew whenever what it shows has changed,
until the kernel grants the lease again: it does so only where nobody else has the file open.

The kernel speaks by SIGIO, which reaches Python's main thread only. In another thread, and where
the file system or the kernel has no leases, all files count as held for good.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

__all__ = ["LiveFiles"]

_WAKE = b"!"
# Who is to look at its files when the signal comes, and what was done with it before the first.
_listeners: dict[int, socket.socket] = {}
_before: list[signal._HANDLER] = []


class LiveFiles:
    """Files in a folder, each with what gives its present text."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        texts: Mapping[Path, Callable[[], str]],
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the files, empty as yet; their folders are there.

        Args:
            selector: where we wait for the kernel's word, with a callback as data.
            texts: what gives the text of each file, by its path on the machine.
            on_look: called each time somebody opens a file, before it is written.
        """
        self._selector = selector
        self._on_look = on_look
        self._files: dict[int, Callable[[], str]] = {}  # by descriptor
        self._held: dict[int, None] = {}  # in order
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._leases = _listen(self._waker)
        for path, text in texts.items():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file = os.open(path, flags, 0o644)
            self._files[file] = text
            self._leases = self._leases and self._lease(file)
            if not self._leases:
                self._hold(file)
        selector.register(self._woken, selectors.EVENT_READ, self._on_word)

    @property
    def held(self) -> bool:
        """Tell whether some file may be open, and has to follow what it shows."""
        return bool(self._held)

    def refresh(self) -> None:
        """Write those files anew that may be open."""
        for file in list(self._held):
            if self._leases and self._lease(file):
                del self._held[file]
            else:
                self._write(file)

    def close(self) -> None:
        """Let go of the files; what they show stays as it is."""
        for file in self._files:
            os.close(file)  # and with it goes its lease
        self._files.clear()
        self._selector.unregister(self._woken)
        _stop_listening(self._waker)
        self._waker.close()
        self._woken.close()

    def _hold(self, file: int) -> None:
        self._held[file] = None
        self._write(file)

    def _lease(self, file: int) -> bool:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError:
            return False
        return True

    def _on_word(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(64):
                pass
        for file in self._files:
            # Of a lease that somebody's opening breaks, the kernel tells what is to become of it.
            if file not in self._held and fcntl.fcntl(file, fcntl.F_GETLEASE) != fcntl.F_WRLCK:
                self._on_look()
                self._hold(file)
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def _write(self, file: int) -> None:
        text = self._files[file]().encode()
        # In one call, and cut only then: who reads meanwhile finds a whole text.
        os.pwrite(file, text, 0)
        os.ftruncate(file, len(text))


def _listen(waker: socket.socket) -> bool:
    """Have a socket woken by the kernel's word on leases; tell whether that is possible here."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if not _listeners:
        _before.append(signal.signal(signal.SIGIO, _on_signal))
    _listeners[waker.fileno()] = waker
    return True


def _stop_listening(waker: socket.socket) -> None:
    if _listeners.pop(waker.fileno(), None) is not None and not _listeners:
        signal.signal(signal.SIGIO, _before.pop())


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    for waker in _listeners.values():
        with contextlib.suppress(BlockingIOError):  # it has yet to hear of the last word
            waker.send(_WAKE)
