"""How small a guest may be made, and how much more the host can give, when sizes are put back.

What a guest used when its size was changed says nothing of now. One that is made smaller than what
it uses stalls, and its next allocation has the kernel end the largest program in it. So a size is
taken back only as far as a report of now says that it lies idle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from virtlab.agent.change_log import Owed
from virtlab.model.units import KIB_PER_MIB, mib

__all__ = ["SizeBack", "host_room_kib", "is_fresh", "needed_kib", "size_back"]

# CS6210's coordinator leaves as much unused in each guest, and twice as much to the host.
_GUEST_KEEPS_KIB: Final = mib(100)
_HOST_KEEPS_KIB: Final = mib(200)
_AGE_S_MAX: Final = 10.0  # of a report
_EARLY_S_MAX: Final = 1.0  # its date is of the same calendar, in whole seconds
# A size that a daemon wrote down is reckoned from a report where that is newer than libvirt's.
_OFF_KIB: Final = mib(16)

Figures = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SizeBack:
    """What is to be asked of a balloon, and how far that puts the size back."""

    size_kib: int | None  # None: nothing is asked
    outcome: Literal["back", "left", "theirs"]
    why: str = ""


def is_fresh(figures: Figures, wall_s: float) -> bool:
    """Tell whether a guest's last report is of now, by the calendar."""
    return -_EARLY_S_MAX <= wall_s - figures.get("balloon.last-update", 0) <= _AGE_S_MAX


def needed_kib(figures: Figures) -> int | None:
    """Return the size below which a guest is not taken; None where it does not tell what it uses.

    Of a guest that grows libvirt shows the size of up to a second ago; its report may know better.
    """
    idle_kib = figures.get("balloon.usable", figures.get("balloon.unused"))
    if idle_kib is None:
        return None
    size_kib = max(figures["balloon.current"], figures.get("balloon.available", 0))
    return size_kib - idle_kib + _GUEST_KEEPS_KIB


def size_back(one: Owed, figures: Figures, floor_kib: int, *, fresh: bool) -> SizeBack:
    """Return what is to be done about a size.

    Args:
        one: what it was before, and where it may have been left.
        figures: the guest's, of now.
        floor_kib: what its description keeps for it at least.
        fresh: whether its report is of now.
    """
    now_kib, before_kib = figures["balloon.current"], one.change.before[0]
    sizes = [value[0] for value in one.values]
    if not min(sizes) - _OFF_KIB <= now_kib <= max(sizes) + _OFF_KIB:  # none that it passes through
        return SizeBack(None, "theirs", f"somebody else set {now_kib // KIB_PER_MIB} MiB since")
    if before_kib >= now_kib:
        return SizeBack(before_kib, "back")
    need_kib = needed_kib(figures) if fresh else None
    if need_kib is None:
        return SizeBack(None, "left", "the guest does not report what it uses")
    least_kib = max(before_kib, need_kib, floor_kib)
    if least_kib == before_kib:
        return SizeBack(before_kib, "back")
    size_kib = least_kib if least_kib < now_kib else None
    left_kib = now_kib if size_kib is None else size_kib
    return SizeBack(size_kib, "left", f"it is left {left_kib // KIB_PER_MIB} MiB, which it uses")


def host_room_kib(memory: Figures) -> int:
    """Return how much larger guests may be made, by the host's own memory statistics."""
    free_kib = sum(memory.get(name, 0) for name in ("free", "buffers", "cached"))
    return free_kib - _HOST_KEEPS_KIB
