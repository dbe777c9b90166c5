"""What a program finds in /proc and /sys about the machine that it is on: the simulated host.

The files lie in a folder of their own, in memory where the machine has such a place: there a file
costs some 8 us instead of 70. In bubblewrap they are mounted over the machine's own, for every
process of the program; without it the clock library leads the program's opens to the folder
(`clock/host_files.c`).
"""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from virtlab.subjects.live_files import LiveFiles
from virtlab.subjects.sandbox import Folder
from virtlab.subjects.work_directory import work_directory

__all__ = ["HostView"]

_IN_MEMORY = Path("/dev/shm")
_SYS = "/sys"


class HostView:
    """The files that describe a host, made for one run."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        live: Mapping[str, Callable[[], str]],
        texts: Mapping[str, str],
        links: Mapping[str, str],
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the files.

        Args:
            selector: see `LiveFiles`.
            live: what gives the present text of each file that changes, by its path on a host.
            texts: the texts of those that do not.
            links: where each link leads, by its path.
            on_look: see `LiveFiles`.
        """
        in_memory = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
        self._held = ExitStack()
        self.root = self._held.enter_context(work_directory(in_memory))
        made: set[str] = set()
        for path in (*live, *texts, *links):
            _make_folder(f"{self.root}{path.rpartition('/')[0]}", made)
        for path, text in texts.items():
            _write(f"{self.root}{path}", text.encode())
        for path, target in links.items():
            Path(f"{self.root}{path}").symlink_to(target)
        self._single = [path for path in live if not path.startswith(_SYS)]
        self.files = LiveFiles(
            selector,
            {Path(f"{self.root}{path}"): text for path, text in live.items()},
            on_look,
        )

    def folders(self) -> tuple[Folder, ...]:
        """Return what is mounted over the machine's own: all of /sys, single files of /proc."""
        singles = (Folder(Path(f"{self.root}{path}"), path) for path in self._single)
        return (*singles, Folder(Path(f"{self.root}{_SYS}"), _SYS))

    def close(self) -> None:
        """Remove the files."""
        self.files.close()
        self._held.close()


def _make_folder(path: str, made: set[str]) -> None:
    if path not in made:
        made.add(path)
        Path(path).mkdir(parents=True, exist_ok=True)


def _write(path: str, data: bytes) -> None:
    """Write a new file, in as few steps as it takes: there are hundreds."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    os.write(file, data)
    os.close(file)
