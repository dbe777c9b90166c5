"""Asking a policy for its plan, whatever it does: raise, answer nonsense, or take too long.

A policy is somebody's Python code in this process. What goes wrong in it is named, the tick is
held, and the next one is decided by a fresh policy, as nobody knows what the old one remembers.
One that fails again and again ends the daemon.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from virtlab.model.plan import CpuPlan, MemoryPlan, Pin, Plan, Rejected, Resize
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot, VcpuKey

__all__ = ["FAILURES_MAX", "Decider", "StopDeciding"]

FAILURES_MAX: Final = 10  # in a row
_REAL: Final = signal.ITIMER_REAL

MakePolicy = Callable[[], Any]


class StopDeciding(BaseException):
    """Raised in the middle of a policy by a signal; no policy's `except Exception` catches it."""


class Decider:
    """Keeps a policy, and a fresh one ready to be made."""

    def __init__(self, make_policy: MakePolicy, limit_s: float) -> None:
        """Make the first policy.

        Args:
            make_policy: gives a fresh one.
            limit_s: how long a decision may take, in real time.
        """
        self._make = make_policy
        self._limit_s = limit_s
        self.policy = make_policy()
        self.failures = 0  # in a row
        self.took_s = 0.0  # the last decision
        self.deciding = False
        self.stopped = False  # whoever raised StopDeciding wants the daemon to end

    def decide(self, snapshot: CpuSnapshot | MemorySnapshot) -> Plan[Any] | str:
        """Return the plan, or in words what is wrong with the policy."""
        began_s = time.perf_counter()
        try:
            with self._limited():
                plan = self.policy.decide(snapshot)
        except StopDeciding:
            late = f"took longer than {self._limit_s:g} s to decide"
            failure: str | None = "was stopped while it decided" if self.stopped else late
        except Exception as error:
            failure = f"raised {type(error).__name__}: {error}{_line_of(error)}"
        else:
            failure = _nonsense(plan, snapshot)
        self.took_s = time.perf_counter() - began_s
        if failure is None:
            self.failures = 0
            checked: Plan[Any] = plan
            return checked
        self.failures += 1
        self.policy = self._make()
        return failure

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """End the block by an exception where it takes too long; in the main thread only."""

        def over(_number: int, _frame: FrameType | None) -> None:
            raise StopDeciding

        before = signal.signal(signal.SIGALRM, over)
        self.deciding = True
        signal.setitimer(_REAL, self._limit_s)
        try:
            yield
        finally:
            signal.setitimer(_REAL, 0)
            self.deciding = False
            signal.signal(signal.SIGALRM, before)


def _line_of(error: Exception) -> str:
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    return where


def _nonsense(plan: object, snapshot: CpuSnapshot | MemorySnapshot) -> str | None:
    """Return why a plan cannot be one for this snapshot, or None."""
    wanted: type = CpuPlan if isinstance(snapshot, CpuSnapshot) else MemoryPlan
    if not isinstance(plan, wanted):
        return f"answered {type(plan).__name__}, and not a {wanted.__name__}"
    assert isinstance(plan, Plan)
    if not isinstance(plan.actions, tuple) or not isinstance(plan.rejected, tuple):
        return "answered a plan whose actions or rejected are no tuple"
    if not all(isinstance(one, Rejected) for one in plan.rejected):
        return "answered a plan with a rejected alternative that is no Rejected"
    if isinstance(snapshot, CpuSnapshot):
        pcpus, keys = frozenset(snapshot.pcpus), {vcpu.key for vcpu in snapshot.vcpus}
        wrongs = (_wrong_pin(one, pcpus, keys) for one in plan.actions)
    else:
        most = {guest.guest: guest.max_kib for guest in snapshot.guests}
        wrongs = (_wrong_resize(one, most) for one in plan.actions)
    return next((wrong for wrong in wrongs if wrong is not None), None)


def _wrong_pin(one: object, pcpus: frozenset[int], keys: set[VcpuKey]) -> str | None:
    if not isinstance(one, Pin):
        return f"planned {type(one).__name__}, and not a Pin"
    if one.vcpu not in keys:
        return f"planned for vCPU {one.vcpu}, which is not there"
    if not isinstance(one.pcpus, frozenset) or not one.pcpus or not one.pcpus <= pcpus:
        shown = sorted(map(str, one.pcpus)) if isinstance(one.pcpus, frozenset) else one.pcpus
        return f"planned pCPUs {shown} for vCPU {one.vcpu}; the host has 0-{len(pcpus) - 1}"
    return None


def _wrong_resize(one: object, most: dict[str, int]) -> str | None:
    if not isinstance(one, Resize):
        return f"planned {type(one).__name__}, and not a Resize"
    if one.guest not in most:
        return f"planned for guest {one.guest}, which is not there"
    if type(one.memory_kib) is not int or not 0 < one.memory_kib <= most[one.guest]:
        return (
            f"planned {one.memory_kib} KiB for {one.guest}, whose size may be 1 to "
            f"{most[one.guest]}"
        )
    return None
