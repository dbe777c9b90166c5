"""Waiting for a guest, by stages: where it stands, and at which it stopped.

Limits are those of guests under KVM; emulated ones take several times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from virtlab.errors import EnvironmentLackError

__all__ = ["Clock", "GuestNotReadyError", "Stage", "pass_stages"]

# A Debian guest that was emulated had its lease after 23 s and was through with cloud-init after
# 52, alone on two cores; several at a time, or beside other work, take several times as long.
_EMULATED: Final = 5.0
_POLL_S: Final = 0.5
_TAIL_LINES: Final = 8
_LOOK_LEAST_S: Final = 5.0  # a shorter look would tell of no end, and not of what is wrong

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Clock:
    """How time is told and spent."""

    now_s: Callable[[], float] = time.monotonic
    sleep_s: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Stage:
    """One step on the way to a guest that is ready."""

    name: str
    limit_s: float  # under KVM
    # What is not there yet, in words; None: passed. Told how many seconds it may take to look.
    lacks: Callable[[float], str | None]
    fix: str


class GuestNotReadyError(EnvironmentLackError):
    """A guest that stopped on its way; `stage` says where."""

    def __init__(self, name: str, stage: Stage, waited_s: float, lack: str, tail: str) -> None:
        said = "\n".join(tail.splitlines()[-_TAIL_LINES:])
        words = f"\n  its serial console's last words:\n{said}" if said else ""
        super().__init__(
            f"{name} stopped at stage '{stage.name}' after {waited_s:.0f} s: {lack}{words}",
            fix=stage.fix,
        )
        self.stage = stage.name


def pass_stages(
    name: str,
    stages: Sequence[Stage],
    accelerator: Literal["kvm", "qemu"] | str,
    *,
    gone: Callable[[], str | None],
    tail: Callable[[], str],
    limit_s: float | None = None,
    progress: Progress = lambda _line: None,
    clock: Clock | None = None,
) -> dict[str, float]:
    """Wait until a guest has passed each stage; return the seconds until it had, by stage.

    Args:
        name: of the guest, for messages.
        stages: in their order.
        accelerator: what it runs on, which scales the limits.
        gone: tells, in words, that the guest does not run any more.
        tail: returns the end of its serial log.
        limit_s: for each stage, instead of its own.
        progress: told of each stage as it begins.
        clock: how time is told and spent.

    Raises:
        GuestNotReadyError: a stage was not passed in time, or the guest is gone.
    """
    time_of = Clock() if clock is None else clock
    scale = 1.0 if accelerator == "kvm" else _EMULATED
    passed: dict[str, float] = {}
    began = time_of.now_s()
    for stage in stages:
        entered = time_of.now_s()
        limit = stage.limit_s * scale if limit_s is None else limit_s
        progress(f"{name}: {stage.name}, {limit:.0f} s at most")
        while True:
            left = limit - (time_of.now_s() - entered)
            lack = gone() or stage.lacks(max(left, _LOOK_LEAST_S))
            if lack is None:
                break
            waited = time_of.now_s() - entered
            # One that does not run comes no further, whatever time is left.
            if waited >= limit or gone() is not None:
                raise GuestNotReadyError(name, stage, waited, lack, tail())
            time_of.sleep_s(_POLL_S)
        passed[stage.name] = round(time_of.now_s() - began, 1)
    return passed
