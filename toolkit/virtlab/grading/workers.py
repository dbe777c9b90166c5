"""Functions run side by side in processes, or one after the other in this one.

Workers finish what they run when they are interrupted, long runs excepted (`interrupts`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

from virtlab.grading.interrupts import note_interrupts

__all__ = ["Workers", "open_workers"]

P = ParamSpec("P")
T = TypeVar("T")


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
    """Give workers: so many processes, or this one where one job is asked for."""
    if jobs == 1:
        yield _InTurn()
        return
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=note_interrupts)
    try:
        yield _SideBySide(pool)
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
        # A terminal has told them already; whoever signals this process alone has not.
        for worker in multiprocessing.active_children():
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGINT)
