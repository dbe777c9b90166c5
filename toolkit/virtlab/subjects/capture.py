"""One output stream of a program: all of it counted, its beginning and its end kept."""

from __future__ import annotations

__all__ = ["Capture"]


class Capture:
    """Keeps at most `keep` bytes: the first half and the last half of what is more than that."""

    def __init__(self, keep: int) -> None:
        self._half = max(keep // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take more output."""
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        # Cut in large steps: cutting at each addition would move the tail over and over.
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def left_out(self) -> int:
        """Return how many bytes were not kept."""
        return max(self.total - 2 * self._half, 0)

    def text(self) -> str:
        """Return what was kept; a line tells where bytes are missing."""
        # After cutting in steps, up to a half too much is there; the promise is exact.
        tail = bytes(self._tail[-self._half :])
        gap = f"\n[... {self.left_out} bytes left out ...]\n".encode() if self.left_out else b""
        return (bytes(self._head) + gap + tail).decode("utf-8", errors="replace")
