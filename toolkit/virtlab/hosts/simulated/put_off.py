"""Calls that wait for a domain's lock: when each is answered, and how many a client may have.

Such a call keeps its texts until the host comes to the moment at which the lock is free, or the
call gives up; so their number and their bytes are bounded. Where the client goes, they go too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.served_client import ServedClient
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.call import Call
from virtlab.simulator.engine import EventHandle

__all__ = ["PutOffCalls"]

# libvirtd reads no more from a client of which five calls are under way; here there may be as many
# as threads of a program could make.
_CALLS_MAX: Final = 1_000
_BYTES_MAX: Final = 4 << 20  # of their arguments


class PutOffCalls:
    """The calls that wait, by client."""

    def __init__(
        self, driver: SimulatedDriver, answer: Callable[[ServedClient, Call, int], None]
    ) -> None:
        """Take the driver whose locks they wait for, and who answers a call once it may.

        Args:
            driver: knows the locks, and has things done when the host comes to a moment.
            answer: gets the client, the call, and the moment since which it waits.
        """
        self._driver = driver
        self._answer = answer
        self._waiting: dict[ServedClient, dict[Call, EventHandle]] = {}

    @property
    def next_ns(self) -> int | None:
        """Return the earliest moment at which one of them is answered, if there is one."""
        moments = (handle.time_ns for calls in self._waiting.values() for handle in calls.values())
        return min(moments, default=None)

    def has_to_wait(self, client: ServedClient, call: Call, since_ns: int) -> bool:
        """Tell whether a call has to wait; it is answered in its time then.

        Args:
            client: whose call it is.
            call: one that is not refused.
            since_ns: when it came.

        Raises:
            LibvirtError: it has to, but this client has too many that do.
        """
        at_ns = self._driver.locks.answered_at(call, since_ns)
        if at_ns is None:
            return False
        calls = self._waiting.get(client, {})
        if len(calls) >= _CALLS_MAX:
            raise errors.operation_failed(f"{_CALLS_MAX} calls of this client wait already")
        kept_bytes = sum(each.size for each in calls)
        if kept_bytes + call.size > _BYTES_MAX:
            raise errors.operation_failed(
                f"calls of this client wait already with {kept_bytes} bytes of arguments, of "
                f"{_BYTES_MAX} that may"
            )
        calls[call] = self._driver.at(at_ns, partial(self._due, client, call, since_ns))
        self._waiting[client] = calls
        client.session.put_off(call)
        return True

    def forget(self, client: ServedClient) -> None:
        """Let go of the calls of a client that has left."""
        for handle in self._waiting.pop(client, {}).values():
            self._driver.cancel(handle)

    def _due(self, client: ServedClient, call: Call, since_ns: int, _now_ns: int) -> None:
        calls = self._waiting[client]
        del calls[call]
        if not calls:
            del self._waiting[client]
        self._answer(client, call, since_ns)
