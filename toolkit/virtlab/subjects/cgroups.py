"""Control groups around one run: they bound its memory and its processes, and name all of them.

Version 2 and version 1 (hierarchies memory and pids) are used, each below the group that this
process is in already, so that its own bounds still hold. In version 2 that group may be used only
where it has the controllers delegated to its children and holds no process that would be in the
way; where it is not so, `find_cgroups` says that there are none.

Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the Linux kernel.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cgroup", "Cgroups", "find_cgroups"]

CONTROLLERS = ("memory", "pids")
_REMOVE_TRIES = 20  # a killed process leaves its group a moment after it was reaped
_REMOVE_PAUSE_S = 0.005
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The groups of one run, one folder a controller (version 1) or one for both (version 2)."""

    folders: Mapping[str, Path]  # by controller

    def add(self, pid: int) -> None:
        """Put a process into the groups; its later children are born in them."""
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def pids(self) -> frozenset[int]:
        """Return the processes in the groups, by their numbers on this machine."""
        found: set[int] = set()
        for folder in set(self.folders.values()):
            with contextlib.suppress(OSError):
                found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
        return frozenset(found)

    def memory_kills(self) -> int:
        """Return how many processes the kernel has ended because the memory bound was reached."""
        folder = self.folders.get("memory")
        if folder is None:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                for line in (folder / name).read_text().splitlines():
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        return int(value)
        return 0

    def remove(self) -> None:
        """Remove the groups once their processes are gone; what is in use still is left."""
        for folder in set(self.folders.values()):
            for _ in range(_REMOVE_TRIES):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(_REMOVE_PAUSE_S)
                else:
                    break


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where groups can be made on this machine."""

    version: int
    parents: Mapping[str, Path]  # by controller

    @property
    def bounds_memory(self) -> bool:
        """Tell whether a group bounds memory."""
        return "memory" in self.parents

    @property
    def bounds_processes(self) -> bool:
        """Tell whether a group bounds the number of processes."""
        return "pids" in self.parents

    def create(self, *, memory_kib: int, processes: int) -> Cgroup:
        """Return new groups with these bounds.

        Raises:
            OSError: the kernel refuses.
        """
        name = f"virtlab-{os.getpid()}-{next(_numbers)}"
        group = Cgroup({controller: parent / name for controller, parent in self.parents.items()})
        try:
            for folder in set(group.folders.values()):
                folder.mkdir()
            self._bound(group, memory_kib * 1024, processes)
        except OSError:
            group.remove()
            raise
        return group

    def _bound(self, group: Cgroup, memory_bytes: int, processes: int) -> None:
        if folder := group.folders.get("memory"):
            name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
            (folder / name).write_text(str(memory_bytes))
            # Without these two a hog would fill the swap; not every kernel counts swap.
            swap = ("memory.swap.max", "0")
            if self.version == 1:
                swap = ("memory.memsw.limit_in_bytes", str(memory_bytes))
            with contextlib.suppress(OSError):
                (folder / swap[0]).write_text(swap[1])
        if folder := group.folders.get("pids"):
            (folder / "pids.max").write_text(str(processes))


def find_cgroups() -> Cgroups | None:
    """Return where groups can be made, or None where this process may make none."""
    own = _own_groups()
    mounts = _mounts()
    parents: dict[str, Path] = {}
    for controller in CONTROLLERS:
        if controller in mounts and controller in own:
            parents[controller] = mounts[controller] / own[controller].lstrip("/")
    version = 1
    if not parents and "" in mounts and "" in own:
        version = 2
        parents = _delegated(mounts[""] / own[""].lstrip("/"))
    candidate = Cgroups(version, parents)
    if not parents or not _works(candidate):
        return None
    _sweep(candidate)
    return candidate


def _sweep(candidate: Cgroups) -> None:
    """Remove the empty groups of runs whose grader was killed before it could."""
    for parent in set(candidate.parents.values()):
        for folder in sorted(parent.glob("virtlab-*-*")):
            owner = folder.name.split("-")[1]
            if not Path("/proc", owner).exists():
                with contextlib.suppress(OSError):  # in use still, or another's
                    folder.rmdir()


def _works(candidate: Cgroups) -> bool:
    """Tell whether a group can be made; a group that refuses processes shows only later."""
    try:
        candidate.create(memory_kib=64 * 1024, processes=16).remove()
    except OSError:
        return False
    return True


def _delegated(folder: Path) -> dict[str, Path]:
    """Return the controllers that children of a version 2 group get."""
    try:
        offered = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return {}
    return {controller: folder for controller in CONTROLLERS if controller in offered}


def _own_groups() -> dict[str, str]:
    """Return this process's group by controller; version 2 has the empty name."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    groups: dict[str, str] = {}
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _mounts() -> dict[str, Path]:
    """Return where each controller's hierarchy is mounted; version 2 has the empty name."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, (kind, *rest) = before.split(), after.split()
        # A container's mount may show a part of the hierarchy only; its root is no root then.
        if fields[3] != "/":
            continue
        if kind == "cgroup2":
            found[""] = Path(fields[4])
        elif kind == "cgroup":
            for option in rest[-1].split(","):
                if option in CONTROLLERS:
                    found[option] = Path(fields[4])
    return found
