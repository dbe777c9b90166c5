"""Ctrl-C, once: the first one interrupts, and what follows it is not disturbed again.

An interrupted grading still ends the programs under test, removes its folders and writes what is
done. That takes a moment, in which people press Ctrl-C again, and a terminal or `timeout` may send
the signal twice by itself. A request to end (SIGTERM) and a terminal that is gone (SIGHUP) count as
Ctrl-C; what the caller has us ignore, as `nohup` does, stays ignored.

A worker process notes the signal and finishes what it runs, so that nothing is half done. Only a
run on the paced clock, which would take minutes, asks for it and ends.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["check_interrupt", "note_interrupts", "one_interrupt"]

_noted = False

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Let the first such signal raise KeyboardInterrupt in this block, and ignore later ones."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's business
        return
    before = {
        number: handler
        for number in _SIGNALS
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def note_interrupts() -> None:
    """Have this process, a worker, take note of SIGINT and go on."""
    signal.signal(signal.SIGINT, _note)


def _note(_number: int, _frame: FrameType | None) -> None:
    global _noted
    _noted = True


def check_interrupt() -> None:
    """Raise KeyboardInterrupt where this worker has noted one."""
    if _noted:
        raise KeyboardInterrupt
