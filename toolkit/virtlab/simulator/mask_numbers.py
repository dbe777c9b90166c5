"""Numbers for the masks of vCPUs that roam, few enough for each to have a row of chances.

vCPUs of one mask share its number, and a number is free again when nobody has its mask any more.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MASKS_MAX", "NO_NUMBER", "STAYS", "MaskNumbers"]

MASKS_MAX: Final = (
    64  # a host's cells, classes of guests and the like; more are looked at one by one
)
STAYS: Final = 0  # the number of those that do not roam
NO_NUMBER: Final = -1


class MaskNumbers:
    """The masks that have a number now, and how many vCPUs have each."""

    def __init__(self) -> None:
        """Start without any."""
        self.masks: dict[int, tuple[int, ...]] = {}
        self._numbers: dict[tuple[int, ...], int] = {}
        self._users = [0] * (MASKS_MAX + 1)
        self._free = list(range(MASKS_MAX, STAYS, -1))

    def change(self, number: int, mask: tuple[int, ...] | None) -> int:
        """Give a vCPU's number back and return that of another mask; None: it stays where it is."""
        if number > STAYS:
            if self.masks[number] is mask:
                return number
            self._users[number] -= 1
            if not self._users[number]:
                del self._numbers[self.masks.pop(number)]
                self._free.append(number)
        if mask is None:
            return STAYS
        found = self._numbers.get(mask)
        if found is None:
            if not self._free:
                return NO_NUMBER
            found = self._numbers[mask] = self._free.pop()
            self.masks[found] = mask
        self._users[found] += 1
        return found
