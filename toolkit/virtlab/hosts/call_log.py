"""The calls of a program: all are counted, its first and its last ones are kept."""

from __future__ import annotations

from collections import deque

from virtlab.libvirt_rpc.call import Call
from virtlab.model.timeline import CallRecord

__all__ = ["CallLog"]


class CallLog:
    """Calls in the order in which they were answered."""

    def __init__(self, first: int = 5_000, last: int = 200) -> None:
        """Take how many of the first and of the last calls are kept."""
        self.total = 0
        self._first: list[_RawCall] = []
        self._first_max = first
        self._last: deque[_RawCall] = deque(maxlen=last)

    def add(self, time_ns: int, call: Call, error: str | None) -> None:
        """Note a call; its arguments are put into words only where it is kept."""
        self.total += 1
        if len(self._first) < self._first_max:
            self._first.append((time_ns, call, error))
        else:
            self._last.append((time_ns, call, error))

    def records(self) -> tuple[CallRecord, ...]:
        """Return what is kept."""
        return tuple(_record(raw) for raw in (*self._first, *self._last))


_RawCall = tuple[int, Call, str | None]


def _record(raw: _RawCall) -> CallRecord:
    time_ns, call, error = raw
    return CallRecord(time_ns, call.procedure.function, call.guest, call.detail(), error)
