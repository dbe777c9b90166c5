"""Faults as a scenario has them: what breaks on the host, or between it and the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GuestFault", "GuestFaultKind", "HostFault", "HostFaultKind"]

GuestFaultKind = Literal["balloon-stuck", "statistics-stale", "statistics-missing", "blocked"]
HostFaultKind = Literal["libvirtd-restart", "clock-step"]


@dataclass(frozen=True, slots=True)
class GuestFault:
    """Something of one guest breaks, for a time or for ever."""

    time_ns: int
    guest: str
    kind: GuestFaultKind
    for_ns: int | None = None  # None: for ever
    fields: tuple[str, ...] = ()  # of missing statistics; none named: all that the guest reports


@dataclass(frozen=True, slots=True)
class HostFault:
    """Something happens to the host itself."""

    time_ns: int
    kind: HostFaultKind
    for_ns: int = 0  # how long libvirtd is away
    step_ns: int = 0  # by how much the host's calendar clock jumps, forwards or back
