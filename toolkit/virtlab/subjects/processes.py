"""What /proc tells about the processes of a run: who descends from whom, time used, files held.

Source: proc_pid_stat(5). The name in the second field may hold blanks and brackets, so the
fields are counted from the last bracket on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = ["bytes_of_removed_files", "cpu_seconds", "processes_of_user", "tree_of"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BLOCK_BYTES = 512  # of st_blocks, inode(7)
_PPID = 1  # counted after the name
_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14


def tree_of(pid: int, *, depth: int = 1_000_000) -> set[int]:
    """Return a process and all that descend from it, down to a number of generations."""
    children: dict[int, list[int]] = {}
    for other in _all_pids():
        if fields := _stat(other):
            children.setdefault(int(fields[_PPID]), []).append(other)
    found = {pid}
    generation = [pid]
    while generation and depth > 0:
        generation = [child for parent in generation for child in children.get(parent, [])]
        found.update(generation)
        depth -= 1
    return found


def cpu_seconds(pids: Collection[int]) -> float:
    """Return the processor time of processes and of their children that were waited for."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += sum(int(fields[index]) for index in (_UTIME, _STIME, _CUTIME, _CSTIME))
    return ticks / _TICKS_PER_S


def bytes_of_removed_files(pids: Collection[int], device: int) -> int:
    """Return what files occupy that processes hold open though they have no name any more.

    Args:
        pids: the processes; of those that we may not look into nothing is counted.
        device: `st_dev` of the file system whose files count.
    """
    sizes: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # closed meanwhile
                    found = entry.stat()
                    if found.st_dev == device and not found.st_nlink:
                        sizes[found.st_ino] = found.st_blocks * _BLOCK_BYTES
    return sum(sizes.values())


def processes_of_user(uid: int) -> int:
    """Return how many threads a user has on the machine, as the kernel's limit counts them."""
    count = 0
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            folder = Path(f"/proc/{pid}")
            if folder.stat().st_uid == uid:
                count += sum(1 for _task in (folder / "task").iterdir())
    return count


def _all_pids() -> Iterator[int]:
    with os.scandir("/proc") as entries:
        yield from (int(entry.name) for entry in entries if entry.name.isdigit())


def _stat(pid: int) -> list[str]:
    """Return the fields after the name; empty for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
