"""Watch that a program, or a build, keeps within what the folder that it may write to may hold.

The kernel bounds a single file only, so the folder is looked at again and again while the program
runs, and files that it has removed and still holds open are counted, too. Between two looks more
may be written than is granted.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from virtlab.subjects.processes import bytes_of_removed_files
from virtlab.subjects.trees import TreeLimits, excess

__all__ = ["LOOK_EVERY_S", "Room"]

LOOK_EVERY_S = 0.25  # of real time; a disk takes some hundred MiB meanwhile


class Room:
    """The room of one folder."""

    def __init__(self, folder: Path, limits: TreeLimits | None = None) -> None:
        """Take the folder, and what it may hold."""
        self.folder = folder
        self._limits = limits or TreeLimits()
        self.excess: str | None = None  # what is too much, as words behind "it made"

    def look(self, pids: Collection[int]) -> bool:
        """Tell whether there is too much, now or before.

        Args:
            pids: the program's processes.
        """
        if self.excess is None:
            self.excess = excess(self.folder, self._limits)
        if self.excess is None:
            held = bytes_of_removed_files(pids, self.folder.stat().st_dev)
            if held > self._limits.bytes:
                mib = self._limits.bytes // 1024 // 1024
                self.excess = f"more than {mib} MiB of files that it removed and holds open"
        return self.excess is not None
