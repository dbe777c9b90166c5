"""Asking a policy for its plan, whatever it does: raise, answer nonsense, or take too long.

A policy is somebody's Python code in this process. What goes wrong in it is named, the tick is
held, and the next one is decided by a fresh policy, as nobody knows what the old one remembers.
One that fails again and again ends the daemon. What the journal shows of a plan and of the policy's
memory is made here as well, as that runs into the policy's objects.

A decision may take so much processor time, and six times that of real time. A machine that is busy
with other things is no fault of a policy's, so a tick that the latter ends counts for nothing.
What takes longer is interrupted by a signal, again and again for as long as it goes on. A policy
that catches that each time, too, cannot be left: the process says so and ends. One that hangs in a
call of C sees no signal of Python's: after ten times as much processor time the kernel ends the
process by SIGVTALRM, and whoever runs the daemon starts it anew.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from virtlab.agent.memory_limit import memory_limit
from virtlab.agent.plain import Json, memory_of, plain
from virtlab.model.plan import CpuPlan, MemoryPlan, Pin, Plan, Rejected, Resize
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot, VcpuKey

__all__ = ["FAILURES_MAX", "GIVEN_UP", "Decided", "Decider", "StopDeciding"]

FAILURES_MAX: Final = 10  # in a row
GIVEN_UP: Final = 3  # the exit code for a policy that cannot be used
_GROWTH_KIB: Final = 800 << 10  # for one decision; the daemon itself takes less than 100 MiB
_RINGS_MAX: Final = 5  # times that a decision is interrupted
_AGAIN_S: Final = 0.1  # from one to the next at least, so that none comes while one is answered
_PATIENCE: Final = 6.0  # times the limit, of real time
_KILLED_AFTER: Final = 10.0  # times the limit, of processor time
_CLOCKS: Final = (signal.ITIMER_PROF, signal.ITIMER_REAL, signal.ITIMER_VIRTUAL)
_BELLS: Final = (signal.SIGPROF, signal.SIGALRM)  # of the first two

MakePolicy = Callable[[], Any]

_log = logging.getLogger(__name__)


class StopDeciding(BaseException):
    """Raised in the middle of a policy by a signal; no policy's `except Exception` catches it."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan that can be one for its snapshot, and what the journal shows of it."""

    plan: Plan[Any]
    shown: Json
    memory: dict[str, Json]  # what the policy remembers now


class _NonsenseError(Exception):
    """What is wrong with an answer, in words."""


class Decider:
    """Keeps a policy, and a fresh one ready to be made."""

    def __init__(self, make_policy: MakePolicy, limit_s: float) -> None:
        """Make the first policy.

        Args:
            make_policy: gives a fresh one.
            limit_s: how much processor time a decision may take.
        """
        self._make = make_policy
        self._limit_s = limit_s
        self.policy: Any = make_policy()  # None: the last one failed, and no other could be made
        self.failures = 0  # in a row
        self.took_s = 0.0  # the last decision
        self.deciding = False
        self._rings = 0  # times that the last decision was interrupted
        self._waited = False  # and that at first only since the machine did other things
        self.stopped = False  # whoever raised StopDeciding wants the daemon to end

    def decide(self, snapshot: CpuSnapshot | MemorySnapshot) -> Decided | str:
        """Return the plan, or in words what is wrong with the policy."""
        before = [signal.signal(number, self._ring) for number in _BELLS]
        try:
            try:
                decided = self._answer(snapshot)
            finally:
                self._hush()
        except StopDeciding:
            failure: str | None = "was stopped while it decided" if self.stopped else self._late()
        except _NonsenseError as error:
            failure = str(error)
        except Exception as error:
            failure = f"raised {type(error).__name__}: {error}{_line_of(error)}"
        else:
            failure = self._late() if self._rings else None
        finally:
            self._hush()  # a ring may have come in the middle of the first
            for number, handler in zip(_BELLS, before, strict=True):
                signal.signal(number, handler)
        if failure is None:
            self.failures = 0
            return decided
        if not (self._rings and self._waited):
            self.failures += 1
        return failure + self._begin_anew()

    def _begin_anew(self) -> str:
        """Make a fresh policy; return in words where that fails."""
        try:
            self.policy = self._make()
        except Exception as error:
            self.policy = None
            return f"; and no other could be made: {type(error).__name__}: {error}"
        return ""

    def _late(self) -> str:
        if self._waited:
            patience_s = _PATIENCE * self._limit_s
            return (
                f"had not decided after {patience_s:g} s, in which it had less than "
                f"{self._limit_s:g} s of the processor"
            )
        return f"took longer than {self._limit_s:g} s to decide"

    def _answer(self, snapshot: CpuSnapshot | MemorySnapshot) -> Decided:
        """Return what the policy answers in time; in the main thread only."""
        self._rings, self._waited = 0, False
        self.deciding = True
        signal.setitimer(signal.ITIMER_VIRTUAL, _KILLED_AFTER * self._again_s)
        signal.setitimer(signal.ITIMER_PROF, self._limit_s)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE * self._limit_s)
        with memory_limit(_GROWTH_KIB):
            if self.policy is None:
                self.policy = self._make()
            began_s = time.perf_counter()
            try:
                plan = self.policy.decide(snapshot)
            finally:
                self.took_s = time.perf_counter() - began_s
            wrong = _nonsense(plan, snapshot)
            if wrong is not None:
                raise _NonsenseError(wrong)
            return Decided(plan, plain(plan), _remembered(self.policy))

    @property
    def _again_s(self) -> float:
        return max(self._limit_s, _AGAIN_S)

    def _ring(self, number: int, _frame: FrameType | None) -> None:
        """Interrupt the policy; end the process where that was in vain too often."""
        if not self.deciding:
            return
        if self._rings == 0:
            self._waited = number == signal.SIGALRM
            # From now on one clock alone rings, so that no ring comes while one is answered.
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, self._again_s, self._again_s)
        self._rings += 1
        if self._rings > _RINGS_MAX:
            _log.error("a policy decides on and on, and catches what is to stop it: the end")
            os._exit(GIVEN_UP)
        raise StopDeciding

    def _hush(self) -> None:
        self.deciding = False
        for clock in _CLOCKS:
            signal.setitimer(clock, 0)


def _remembered(policy: object) -> dict[str, Json]:
    """Return what a policy remembers; one that may be decided by is not ended by what it keeps."""
    try:
        return memory_of(policy)
    except Exception as error:
        return {"cannot be shown": f"{type(error).__name__}: {error}"}


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
    if not isinstance(one.vcpu, VcpuKey):
        return f"planned for {one.vcpu}, which is no VcpuKey"
    if one.vcpu not in keys:
        return f"planned for vCPU {one.vcpu}, which is not there"
    if not isinstance(one.reason, str):
        return f"planned for vCPU {one.vcpu} with a reason that is no text"
    whole = isinstance(one.pcpus, frozenset) and all(type(pcpu) is int for pcpu in one.pcpus)
    if not whole or not one.pcpus or not one.pcpus <= pcpus:
        shown = sorted(map(str, one.pcpus)) if isinstance(one.pcpus, frozenset) else one.pcpus
        return f"planned pCPUs {shown} for vCPU {one.vcpu}; the host has 0-{len(pcpus) - 1}"
    return None


def _wrong_resize(one: object, most: dict[str, int]) -> str | None:
    if not isinstance(one, Resize):
        return f"planned {type(one).__name__}, and not a Resize"
    if one.guest not in most:
        return f"planned for guest {one.guest}, which is not there"
    if not isinstance(one.reason, str):
        return f"planned for guest {one.guest} with a reason that is no text"
    if type(one.memory_kib) is not int or not 0 < one.memory_kib <= most[one.guest]:
        return (
            f"planned {one.memory_kib} KiB for {one.guest}, whose size may be 1 to "
            f"{most[one.guest]}"
        )
    return None
