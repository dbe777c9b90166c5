"""What waits to be sent to one client, without copies of large replies."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

__all__ = ["Backlog"]

_CHUNKS_A_CALL: Final = 64  # well below the kernel's limit of 1024
_JOIN_BELOW_BYTES: Final = 1 << 14


class Backlog:
    """Bytes in the order in which they are to be sent; its length is their number."""

    __slots__ = ("_bytes", "_chunks")

    def __init__(self) -> None:
        self._chunks: deque[bytes | memoryview] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many bytes wait."""
        return self._bytes

    def add(self, chunks: Sequence[bytes]) -> None:
        """Put bytes at the end; small ones of one turn go together."""
        size = sum(map(len, chunks))
        if len(chunks) > 1 and size < _JOIN_BELOW_BYTES:
            chunks = (b"".join(chunks),)
        self._chunks.extend(chunks)
        self._bytes += size

    def send(self, to: socket.socket) -> None:
        """Send what the socket takes at once.

        Raises:
            OSError: it takes nothing now (BlockingIOError), or its other end is closed.
        """
        chunks = self._chunks
        if not chunks:
            return
        if len(chunks) == 1:
            sent = to.send(chunks[0])
        else:
            sent = to.sendmsg([chunks[n] for n in range(min(len(chunks), _CHUNKS_A_CALL))])
        self._bytes -= sent
        while sent:
            first = chunks.popleft()
            if sent < len(first):
                chunks.appendleft(memoryview(first)[sent:])
                return
            sent -= len(first)
