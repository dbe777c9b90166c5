"""Three policies on one host, judged window by window as the course's rubric does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum

from virtlab.grading.windows import phases, spread_points, utilisation_points, windows
from virtlab.league.cpu_run import run_scheduler
from virtlab.lessons.lesson import Curves, Shown, Table
from virtlab.model.timeline import Timeline
from virtlab.policies.parameters import tunable
from virtlab.policies.policy import SchedulingPolicy
from virtlab.policies.scheduling.back_and_forth import BackAndForth
from virtlab.policies.scheduling.even import Even
from virtlab.policies.scheduling.leave_alone import LeaveAlone
from virtlab.scenario import find_scenario

_WINDOW_S, _SETTLE_INTERVALS = 2.0, 10.0
_FIRST_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Judged:
    """A run in the figures of the rubric."""

    spreads: list[float]  # of each window, in points
    settled_s: float | None  # end of the first window from which on all are even; None: never
    moves_after: int  # pins that changed a mask once it was settled, or once it had to be

    @property
    def balanced(self) -> bool:
        """Tell whether it was even by the deadline and stayed so."""
        return self.settled_s is not None and self.settled_s <= _SETTLE_INTERVALS + _WINDOW_S

    @property
    def stable(self) -> bool:
        """Tell whether nothing moved any more."""
        return self.moves_after == 0


@dataclass(frozen=True, slots=True)
class Balanced:
    """Eight equal guests that all begin on pCPU 0."""

    limit_points: float = tunable(
        5.0, unit="points", effect="the largest spread that is even", at_least=0.01, at_most=50.0
    )

    def shown(self) -> Iterator[Shown]:
        """Yield windows, spreads over time, and verdicts."""
        policies: dict[str, SchedulingPolicy] = {
            "leave-alone": LeaveAlone(),
            "back-and-forth": BackAndForth(),
            "even": Even(),
        }
        runs = {name: self.judged(policy) for name, policy in policies.items()}
        evenly = _run(Even())
        head = ("window", *(f"pCPU {n}" for n in range(4)), "mean", "spread", "even?")
        yield Table("windows", head, list(self._rows(evenly))[:_FIRST_SHOWN])
        spreads = {name: run.spreads for name, run in runs.items()}
        yield Curves("spreads", "points", "spread of each window, 30 s", spreads)
        rows = [
            (
                name,
                "never" if run.settled_s is None else f"{run.settled_s:g} s",
                run.moves_after,
                "yes" if run.balanced else "no",
                "yes" if run.stable else "no",
            )
            for name, run in runs.items()
        ]
        yield Table("verdicts", ("policy", "settled", "moves after", "balanced", "stable"), rows)

    def judged(self, policy: SchedulingPolicy) -> Judged:
        """Return how a policy does under this limit."""
        timeline = _run(policy)
        (phase,) = phases(timeline, _SETTLE_INTERVALS)
        spreads, settled_ns = [], None
        for window in windows(timeline, phase, _WINDOW_S):
            spreads.append(spread_points(utilisation_points(timeline, window)))
            if spreads[-1] > self.limit_points:
                settled_ns = None
            elif settled_ns is None:
                settled_ns = window.end_ns
        still_ns = phase.deadline_ns if settled_ns is None else min(settled_ns, phase.deadline_ns)
        late = [pin for pin in timeline.pins if pin.effective and pin.time_ns >= still_ns]
        return Judged(spreads, None if settled_ns is None else settled_ns / 1e9, len(late))

    def _rows(self, timeline: Timeline) -> Iterator[tuple[str | float, ...]]:
        (phase,) = phases(timeline, _SETTLE_INTERVALS)
        for window in windows(timeline, phase, _WINDOW_S):
            used = utilisation_points(timeline, window)
            spread = spread_points(used)
            even = "yes" if spread <= self.limit_points else "no"
            yield (window.name, *used, fsum(used) / len(used), spread, even)


def _run(policy: SchedulingPolicy) -> Timeline:
    return run_scheduler(find_scenario("cpu-1-all-on-one"), policy)
