"""A policy behind a guard: what it does wrong is named, and ends its run alone.

Four things may be wrong with a policy of a user's: it raises, it answers what is no plan for this
host, it takes too long over a decision or over all of a run, or it takes more and more memory
(`agent.memory_limit`). The last two are limits of this process, so two policies do not run at once
in one process.

A decision may take so much processor time, as a machine that is busy with other things is no fault
of a policy's, and some times that of real time, for one that sleeps. It is interrupted by a signal;
one that hangs outside of Python, in a call that never comes back, is beyond that.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from virtlab.agent.memory_limit import GROWTH_KIB
from virtlab.model.plan import CpuPlan, MemoryPlan, Pin, Resize
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot

__all__ = ["DECISION_S", "RUN_S", "Guarded", "PolicyError"]

DECISION_S: Final = 10.0  # of processor time for one decision
_PATIENCE: Final = 6.0  # times that of real time
RUN_S: Final = 120.0  # of processor time for all decisions of a run


class PolicyError(Exception):
    """What a policy did wrong, in a sentence."""


class _TookTooLong(BaseException):
    """No Exception, so that a policy that catches everything of its own does not catch it."""


class Guarded:
    """Decides as the policy does, or raises `PolicyError`; use it within `memory_limit`."""

    def __init__(
        self, policy: Any, *, decision_s: float = DECISION_S, run_s: float = RUN_S
    ) -> None:
        """Take a policy of either kind, and what its decisions may take each and together."""
        self._policy = policy
        self._decision_s = decision_s
        self._run_s = run_s
        self._took_s = 0.0

    def decide(self, host: Any) -> Any:
        """Return the policy's plan.

        Raises:
            PolicyError: it has none, or none that makes sense here.
        """
        began_s = time.process_time()
        try:
            with _alarm(self._decision_s):
                plan = self._policy.decide(host)
        except _TookTooLong:
            raise PolicyError(
                f"it took longer than {self._decision_s:g} s over a decision at "
                f"{host.time_ns / 1e9:g} s"
            ) from None
        except MemoryError:
            raise PolicyError(
                f"it took more than {GROWTH_KIB >> 10} MiB of memory by {host.time_ns / 1e9:g} s"
            ) from None
        except Exception as error:
            raise PolicyError(
                f"it raised {type(error).__name__} at {host.time_ns / 1e9:g} s: {error}"
            ) from error
        self._took_s += time.process_time() - began_s
        if self._took_s > self._run_s:
            raise PolicyError(
                f"its decisions took longer than {self._run_s:g} s together by "
                f"{host.time_ns / 1e9:g} s"
            )
        wrong = _nonsense(plan, host)
        if wrong is not None:
            raise PolicyError(f"at {host.time_ns / 1e9:g} s {wrong}")
        return plan


@contextmanager
def _alarm(limit_s: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's business
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise _TookTooLong

    clocks = (
        (signal.ITIMER_PROF, signal.SIGPROF, limit_s),
        (signal.ITIMER_REAL, signal.SIGALRM, _PATIENCE * limit_s),
    )
    before = [signal.signal(number, ring) for _, number, _ in clocks]
    for timer, _, span_s in clocks:
        signal.setitimer(timer, span_s, span_s)
    try:
        yield
    finally:
        for (timer, number, _), handler in zip(clocks, before, strict=True):
            signal.setitimer(timer, 0.0)
            signal.signal(number, handler)


def _nonsense(plan: object, host: CpuSnapshot | MemorySnapshot) -> str | None:
    """Return what is wrong with an answer, or None."""
    if isinstance(host, CpuSnapshot):
        if not isinstance(plan, CpuPlan) or not isinstance(plan.actions, tuple | list):
            return f"it answered {_shown(plan)}, and a CpuPlan is wanted"
        known = {vcpu.key for vcpu in host.vcpus}
        return next(
            (wrong for pin in plan.actions if (wrong := _wrong_pin(pin, host, known))), None
        )
    if not isinstance(plan, MemoryPlan) or not isinstance(plan.actions, tuple | list):
        return f"it answered {_shown(plan)}, and a MemoryPlan is wanted"
    largest_kib = {guest.guest: guest.max_kib for guest in host.guests}
    return next(
        (wrong for resize in plan.actions if (wrong := _wrong_size(resize, largest_kib))), None
    )


def _wrong_pin(pin: object, host: CpuSnapshot, known: set[Any]) -> str | None:
    if not isinstance(pin, Pin):
        return f"it planned {_shown(pin)}, and a Pin is wanted"
    if pin.vcpu not in known:
        return f"it pinned {_shown(pin.vcpu)}, and there is no such vCPU"
    if not isinstance(pin.pcpus, frozenset | set) or not pin.pcpus:
        return f"it pinned {pin.vcpu} to {_shown(pin.pcpus)}, and a set of pCPUs is wanted"
    pcpus = len(host.topology.capacity)
    for pcpu in pin.pcpus:
        if type(pcpu) is not int or not 0 <= pcpu < pcpus:
            return f"it pinned {pin.vcpu} to pCPU {_shown(pcpu)}, and the host has 0-{pcpus - 1}"
    return None


def _wrong_size(resize: object, largest_kib: dict[str, int]) -> str | None:
    if not isinstance(resize, Resize):
        return f"it planned {_shown(resize)}, and a Resize is wanted"
    if resize.guest not in largest_kib:
        return f"it resized {_shown(resize.guest)}, and there is no such guest"
    size_kib = resize.memory_kib
    if type(size_kib) is not int or not 0 < size_kib <= largest_kib[resize.guest]:
        return (
            f"it resized {resize.guest} to {_shown(size_kib)} KiB, and a whole number from 1 to "
            f"{largest_kib[resize.guest]} is wanted"
        )
    return None


def _shown(value: object) -> str:
    """Return a value as text that is short whatever it is."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
