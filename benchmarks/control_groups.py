"""Groups of the kernel's CPU controller, for a measure: weights and quotas as libvirt sets them.

Written for version 1 of control groups only, where it was tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PERIOD_US", "SHARES_MAX", "ControlGroup", "private_group", "used_per_cpu_ns"]

SHARES_MAX = 262_144
PERIOD_US = 100_000
_NAME = "virtlab-benchmark"


class ControlGroup:
    """A group of the CPU controller."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    @property
    def processes(self) -> Path:
        """Return the file into which a process writes 0 to join."""
        return self._folder / "cgroup.procs"

    def within(self, name: str, *, shares: int = 1024, quota: float | None = None) -> ControlGroup:
        """Return a new group in this one; a quota is a share of one CPU."""
        group = ControlGroup(self._folder / name)
        group.weigh(shares)
        if quota is not None:
            (group._folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group._folder / "cpu.cfs_quota_us").write_text(str(round(quota * PERIOD_US)))
        return group

    def weigh(self, shares: int) -> None:
        """Set the weight against the groups beside it."""
        (self._folder / "cpu.shares").write_text(str(shares))

    def remove(self) -> None:
        """Remove it; no process and no group may be left in it."""
        self._folder.rmdir()


@contextmanager
def private_group() -> Iterator[ControlGroup | None]:
    """Provide a group that outweighs all others, or None where none can be made."""
    root = _controller("cpu")
    group = None
    if root is not None:
        try:
            group = ControlGroup(root / _NAME)
            group.weigh(SHARES_MAX)
        except OSError:
            group = None
    try:
        yield group
    finally:
        if group is not None:
            group.remove()


def used_per_cpu_ns() -> list[int] | None:
    """Return what all processes ran on each CPU so far, or None where the kernel does not tell."""
    root = _controller("cpuacct")
    if root is None:
        return None
    return [int(word) for word in (root / "cpuacct.usage_percpu").read_text().split()]


def _controller(name: str) -> Path | None:
    """Return where a controller of version 1 is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup" and name in options.split(","):
            return Path(folder)
    return None
