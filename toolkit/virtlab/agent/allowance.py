"""How many changes may still be made: so many in any hour, and no more."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from virtlab.model.units import NS_PER_S

__all__ = ["Allowance"]

_HOUR_NS: Final = 3600 * NS_PER_S


@dataclass(slots=True)
class Allowance:
    """Counts changes over the last hour."""

    per_hour: int | None  # None: as many as the policy likes
    _made_ns: deque[int] = field(default_factory=deque)

    def left(self, now_ns: int) -> int | None:
        """Return how many may be made now; None: as many as the policy likes."""
        if self.per_hour is None:
            return None
        while self._made_ns and self._made_ns[0] <= now_ns - _HOUR_NS:
            self._made_ns.popleft()
        return self.per_hour - len(self._made_ns)

    def take(self, now_ns: int, number: int) -> None:
        """Count changes that are made."""
        if self.per_hour is not None:
            self._made_ns.extend([now_ns] * number)
