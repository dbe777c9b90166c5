"""An unfinished download that can be gone on with: the file, and which of its pieces are there.

A piece is noted after it was written, so that a process that is killed in between loses that piece
and no more. Notes hold for the content that is wanted, wherever it comes from: a download may go on
from another mirror. What a power failure tears, the checksum of the whole finds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["PIECE_BYTES", "PartialFile"]

PIECE_BYTES: Final = 8 << 20
_THERE: Final = b"1"
_MISSING: Final = b"0"


class PartialFile:
    """A file of known size and content, on its way."""

    def __init__(
        self, path: Path, size_bytes: int, sha256: str, *, piece_bytes: int = PIECE_BYTES
    ) -> None:
        """Open it, with the pieces that an earlier try brought.

        Raises:
            OSError: it cannot be written.
        """
        self.path = path
        self.size_bytes = size_bytes
        self.piece_bytes = piece_bytes
        self._count = -(-size_bytes // piece_bytes)
        head = json.dumps({"sha256": sha256, "size": size_bytes, "piece": piece_bytes})
        self._head = head.encode() + b"\n"
        self._notes_path = path.with_name(path.name + ".pieces")
        self._there = self._earlier()
        self.resumed = any(self._there)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._notes = os.open(self._notes_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self.resumed:
            self.restart()

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close it; what is there stays."""
        os.close(self._file)
        os.close(self._notes)

    @property
    def done_bytes(self) -> int:
        """Return how much is there."""
        return sum(last - first for first, last in self._ranges(there=True))

    def missing(self) -> list[tuple[int, int]]:
        """Return the pieces that are missing: first byte, and the byte behind the last."""
        return list(self._ranges(there=False))

    def write(self, offset: int, data: bytes) -> None:
        """Write some bytes of a piece; it may be called from several threads.

        Raises:
            OSError: there is no room.
        """
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written

    def note(self, first: int) -> None:
        """Note that the piece which begins there is whole.

        Raises:
            OSError: there is no room.
        """
        number = first // self.piece_bytes
        os.pwrite(self._notes, _THERE, len(self._head) + number)
        self._there[number] = True

    def restart(self) -> None:
        """Forget all pieces.

        Raises:
            OSError: it cannot be written.
        """
        self._there = [False] * self._count
        self.resumed = False
        os.ftruncate(self._notes, 0)
        os.pwrite(self._notes, self._head + _MISSING * self._count, 0)
        os.ftruncate(self._file, 0)

    def sync(self) -> None:
        """Have the disk hold what was written.

        Raises:
            OSError: it does not.
        """
        os.fsync(self._file)

    def remove_notes(self) -> None:
        """Forget which pieces are there, once the file is whole and about to be moved."""
        self._notes_path.unlink(missing_ok=True)

    def _earlier(self) -> list[bool]:
        try:
            notes = self._notes_path.read_bytes()
            there = self.path.exists()
        except OSError:
            return [False] * self._count
        marks = notes[len(self._head) :]
        if not there or not notes.startswith(self._head) or len(marks) != self._count:
            return [False] * self._count
        return [mark == _THERE[0] for mark in marks]

    def _ranges(self, *, there: bool) -> Iterator[tuple[int, int]]:
        for number, one in enumerate(self._there):
            if one == there:
                first = number * self.piece_bytes
                yield first, min(first + self.piece_bytes, self.size_bytes)
