"""What vCPUs may want in a second, as rows of a table for numpy; those of one load share a row.

Rows that nobody uses any more are given to others: a trace brings another load with each point.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["NoiseTables"]

_LEVELS_MAX: Final = 18
_FIRST: Final = 16
_NOTHING: Final = 0  # the row of those for whom nothing is drawn


class NoiseTables:
    """The levels in use: how many each row has, and which."""

    def __init__(self, np: Any) -> None:
        """Take numpy."""
        self._np = np
        self.counts = np.ones(_FIRST, np.int64)
        self.values = np.zeros((_FIRST, _LEVELS_MAX))
        self._rows: dict[tuple[float, ...], int] = {}
        self._levels: dict[int, tuple[float, ...]] = {}
        self._users = [0] * _FIRST
        self._free = list(range(_FIRST - 1, _NOTHING, -1))

    def change(self, row: int, levels: tuple[float, ...]) -> int:
        """Give a vCPU's row back, and return that of other levels; with fewer than two it is 0."""
        found = self._rows.get(levels)
        if found == row:
            return row
        if row != _NOTHING:
            self._users[row] -= 1
            if not self._users[row]:
                del self._rows[self._levels.pop(row)]
                self._free.append(row)
        if len(levels) < 2:
            return _NOTHING
        if found is None:
            found = self._new(levels)
        self._users[found] += 1
        return found

    def _new(self, levels: tuple[float, ...]) -> int:
        if not self._free:
            size = len(self._users)
            np = self._np
            self.counts = np.concatenate([self.counts, np.ones(size, np.int64)])
            self.values = np.concatenate([self.values, np.zeros((size, _LEVELS_MAX))])
            self._users += [0] * size
            self._free = list(range(2 * size - 1, size - 1, -1))
        row = self._rows[levels] = self._free.pop()
        self._levels[row] = levels
        self.counts[row] = len(levels)
        self.values[row, : len(levels)] = levels
        return row
