"""A bound to what this process may grow by while a policy is at work; more raises MemoryError."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["GROWTH_KIB", "memory_limit", "resident_kib"]

_SIZE, _RESIDENT = 0, 1  # columns of /proc/self/statm, in pages
GROWTH_KIB: Final = 1 << 20  # of address space, for one run or one decision


@contextmanager
def memory_limit(growth_kib: int = GROWTH_KIB) -> Iterator[None]:
    """Let this process grow by so much and no more in this block; more raises MemoryError.

    Where the kernel does not tell how large the process is, there is no limit.
    """
    try:
        size_kib = _statm_kib(_SIZE)
    except (OSError, ValueError, IndexError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = (size_kib + growth_kib) << 10
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def resident_kib() -> int:
    """Return how much memory this process has now; 0 where the kernel does not tell."""
    try:
        return _statm_kib(_RESIDENT)
    except (OSError, ValueError, IndexError):
        return 0


def _statm_kib(column: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # no file of a user's
        pages = int(file.read().split()[column])
    return pages * (resource.getpagesize() >> 10)
