"""The event queue: what happens in virtual time, in an order that is the same on every run.

Events are ordered by (time, priority, sequence). The priority tells which component goes first at
one instant, so that equal moments do not depend on who scheduled first; the sequence settles the
rest. Between two events nothing changes its rate, so components integrate lazily when they are
asked, and the cost of a run follows its events and not its length.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Final

__all__ = ["Action", "EventHandle", "EventQueue", "Priority"]

Action = Callable[[int], None]

# Cancelled events stay in the heap until they are due, or until they outnumber the live ones.
_CANCELLED_MIN: Final = 64


class Priority(IntEnum):
    """Who goes first at one instant."""

    SCENARIO = 0
    MEMORY = 1
    CPU = 2
    NOISE = 3


class EventHandle:
    """One scheduled event; give it back to `EventQueue.cancel` to take it off."""

    __slots__ = ("action", "time_ns")

    def __init__(self, time_ns: int, action: Action) -> None:
        self.time_ns = time_ns
        self.action: Action | None = action  # None: cancelled, or done

    @property
    def pending(self) -> bool:
        """Tell whether the event is still to come."""
        return self.action is not None


class EventQueue:
    """Runs scheduled actions in order of time; `now_ns` is the instant it has come to."""

    __slots__ = ("_cancelled", "_heap", "_sequence", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        self._heap: list[tuple[int, int, int, EventHandle]] = []
        self._sequence = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """Return how many events are still to come."""
        return len(self._heap) - self._cancelled

    def schedule(self, time_ns: int, priority: int, action: Action) -> EventHandle:
        """Have `action(time_ns)` called at that instant, which may be now but not before.

        Raises:
            ValueError: the instant has passed.
        """
        if time_ns < self.now_ns:
            raise ValueError(f"cannot schedule an event at {time_ns} ns: it is {self.now_ns} ns")
        handle = EventHandle(time_ns, action)
        heappush(self._heap, (time_ns, priority, self._sequence, handle))
        self._sequence += 1
        return handle

    def cancel(self, handle: EventHandle | None) -> None:
        """Take an event off; one that ran or was cancelled already is left alone, as is None."""
        if handle is None or handle.action is None:
            return
        handle.action = None
        self._cancelled += 1
        if self._cancelled > max(_CANCELLED_MIN, len(self._heap) // 2):
            self._heap[:] = [entry for entry in self._heap if entry[3].action is not None]
            heapify(self._heap)
            self._cancelled = 0

    def run_until(self, time_ns: int) -> None:
        """Run every event up to and including an instant, and come to that instant.

        Raises:
            ValueError: the instant has passed.
        """
        if time_ns < self.now_ns:
            raise ValueError(f"cannot go back to {time_ns} ns: it is {self.now_ns} ns")
        heap = self._heap
        while heap and heap[0][0] <= time_ns:
            due_ns, _, _, handle = heappop(heap)
            action = handle.action
            if action is None:
                self._cancelled -= 1
                continue
            handle.action = None
            self.now_ns = due_ns
            action(due_ns)
        self.now_ns = time_ns
