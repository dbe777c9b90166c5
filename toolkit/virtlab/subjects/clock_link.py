"""One thread's connection to the clock server, and the words that go over it.

`clock/protocol.h` is the other end of these words, and says what each means.
"""

from __future__ import annotations

import socket
import struct

__all__ = [
    "ANSWER",
    "BORN",
    "CANCEL",
    "FOREVER",
    "HELLO",
    "LEAVES",
    "NAME",
    "REQUEST",
    "SPIN",
    "STIR",
    "WAIT",
    "WATCH",
    "Link",
    "turn_of",
]

HELLO, BORN, WAIT, WATCH, CANCEL, SPIN, NAME, LEAVES, STIR = range(1, 10)
FOREVER = (1 << 64) - 1
REQUEST = struct.Struct("=IIQ")
ANSWER = struct.Struct("=Q")
NAME_MAX = 4096  # PATH_MAX of Linux


class Link:
    """One thread of the program. Its deadline is None while it runs."""

    __slots__ = (
        "buffer",
        "child",
        "deadline",
        "host_tid",
        "named",
        "number",
        "pid",
        "releases_before",
        "sock",
        "takes_turn",
        "tid",
        "watching",
    )

    def __init__(self, number: int, sock: socket.socket, pid: int) -> None:
        self.number = number
        self.sock = sock
        self.pid = pid
        self.tid = 0  # as the thread sees it; 0 until its first word
        self.host_tid = 0  # as this machine sees it; 0 until somebody asked
        self.deadline: int | None = None
        self.watching = False  # a descriptor may wake it
        self.takes_turn = False  # nothing but its turn is missing: not held back by the end of time
        self.child = False  # lent to a newborn child until it dials under its own number
        self.buffer = b""
        self.named = b""  # as much of the path of a program as it has told
        self.releases_before = 0  # how many threads had been released when it began to wait

    def answer(self, now_ns: int) -> bool:
        """Tell the thread the time; False where it has not read so many that no more go in.

        One that died meanwhile shows so by its end of file.
        """
        try:
            return self.sock.send(ANSWER.pack(now_ns)) == ANSWER.size
        except BlockingIOError:
            return False
        except OSError:
            return True

    def name(self, eight_bytes: int) -> None:
        """Take the next piece of the path of a program that is about to start."""
        self.named = (self.named + ANSWER.pack(eight_bytes))[:NAME_MAX]

    def take_name(self) -> str:
        """Return the path that was told, and forget it."""
        path, self.named = self.named.rstrip(b"\0").decode(errors="replace"), b""
        return path

    def take(self, data: bytes) -> list[tuple[int, int, int]]:
        """Return the whole requests in what was received: (operation, thread, argument) each."""
        if self.buffer:
            data = self.buffer + data
        whole = len(data) - len(data) % REQUEST.size
        self.buffer = data[whole:]
        return list(REQUEST.iter_unpack(data[:whole]))


def turn_of(link: Link) -> tuple[int, int]:
    """Return the place of a waiting thread in the order of releases."""
    return (FOREVER if link.deadline is None else link.deadline, link.number)
