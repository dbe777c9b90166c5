"""The page in which the program reads the time: mapped read-only there, written here alone.

Its form is `struct clock_page` of `clock/protocol.h`.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from virtlab.model.units import BOOT_S, EPOCH_S, NS_PER_S

__all__ = ["ClockPage"]

_NOW = struct.Struct("=Q")
_PAGE = struct.Struct("=QQQ")


class ClockPage:
    """A file of one page that holds the virtual time and where the program's clocks began."""

    def __init__(self, path: Path) -> None:
        """Make the file, with virtual time 0."""
        self.path = path
        with path.open("wb+") as file:
            file.write(bytes(mmap.PAGESIZE))
            file.flush()
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        _PAGE.pack_into(self._page, 0, 0, EPOCH_S * NS_PER_S, BOOT_S * NS_PER_S)

    def show(self, now_ns: int) -> None:
        """Let the program see another virtual time."""
        _NOW.pack_into(self._page, 0, now_ns)

    def step_realtime(self, ns: int) -> None:
        """Let the calendar clock jump, forwards or back; the monotonic clock does not."""
        now_ns, realtime_ns, monotonic_ns = _PAGE.unpack_from(self._page, 0)
        _PAGE.pack_into(self._page, 0, now_ns, max(realtime_ns + ns, 0), monotonic_ns)

    def close(self) -> None:
        """Remove the file; what the program has mapped stays as it is."""
        self._page.close()
        self.path.unlink(missing_ok=True)
