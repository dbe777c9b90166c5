"""What a busy SMT sibling takes: two threads of one core that are busy together are slower each.

A core with both threads busy does `smt_yield` of the work that it does with one, so that each of
them runs at smt_yield / 2. A thread whose sibling is busy for a share u of the time is taken to
meet it for u of its own, whenever that is; its mean speed is

    1 - u (1 - smt_yield / 2)

The sibling's u follows from *its* speed, and so on in turn: `speeds` looks for the point at which
the two agree. Sleeps and work of real siblings are not independent. Against the exact answer for
two loops with exponential rounds, one on each thread, duties of 5 to 90 % and a yield of 1.15, the
law is within 1.3 points of utilisation, and within 2.0 for a yield of 1 (`test_smt_law` works that
out).

Range: cores of two threads, whose work is alike. Published yields for pairs of programs go from
below 1 to above 1.5, and depend on both; the simulator has one number for the host.

Source of the default: Linux 4, `smt_gain` of 1178/1024 in kernel/sched/topology.c.
"""

from __future__ import annotations

from typing import TypeVar

__all__ = ["beside"]

_Number = TypeVar("_Number", bound=float)


def beside(used: _Number, smt_yield: float) -> _Number:
    """Return the speed of a thread whose sibling is busy for a share of the time.

    The share may be an array of numpy, for many threads at once.
    """
    return 1.0 - used * (1.0 - smt_yield / 2.0)  # type: ignore[return-value]  # of the same kind
