"""Functions run side by side in processes, or one after the other in this one.

A terminal's Ctrl-C reaches the main process alone, which tells the workers: they are process groups
of their own, and finish what they run, long runs excepted (`interrupts`). Where the main process is
killed, they die with it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

from virtlab.errors import EnvironmentLackError
from virtlab.grading.interrupts import note_interrupts

__all__ = ["Workers", "open_workers"]

P = ParamSpec("P")
T = TypeVar("T")

_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Workers(Protocol):
    """Where functions run."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a function run; its arguments and its result have to be picklable."""

    def finished(self, futures: list[Future[T]]) -> Iterator[Future[T]]:
        """Yield futures as they finish."""

    def interrupt(self) -> None:
        """Tell them that the user has interrupted: what is not begun is not begun any more."""


@contextmanager
def open_workers(jobs: int) -> Iterator[Workers]:
    """Give workers: so many processes, or this one where one job is asked for.

    Raises:
        EnvironmentLackError: in the block, where a worker was killed.
    """
    if jobs == 1:
        yield _InTurn()
        return
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_become_worker, initargs=(os.getpid(),)
    )
    try:
        # No signal may come between a worker's birth and the moment at which it is one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pool.submit(os.getpid)  # with fork the first call starts all of them
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield _SideBySide(pool)
    except BrokenProcessPool as error:
        raise EnvironmentLackError(
            "A process of the lab was killed, perhaps as the machine has too little memory.",
            fix="free some memory, or grade with fewer --jobs.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _InTurn:
    """Runs each function when its result is waited for."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self._waiting.append((future, lambda: function(*args, **kwargs)))
        return future

    def finished(self, futures: list[Future[T]]) -> Iterator[Future[T]]:
        wanted = set(futures)
        while self._waiting and wanted:
            future, call = self._waiting.popleft()
            future.set_result(call())
            if future in wanted:
                wanted.remove(future)
                yield future

    def interrupt(self) -> None:
        self._waiting.clear()


class _SideBySide:
    """Runs functions in worker processes."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._pool.submit(function, *args, **kwargs)

    def finished(self, futures: list[Future[T]]) -> Iterator[Future[T]]:
        return as_completed(futures)

    def interrupt(self) -> None:
        for worker in multiprocessing.active_children():
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGINT)


def _become_worker(parent: int) -> None:
    """Leave the signals of a terminal to the main process, and end with it."""
    os.setpgid(0, 0)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    note_interrupts()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
