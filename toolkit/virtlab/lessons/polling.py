"""Jobs that arrive on one pCPU, and a scheduler that looks at the host more or less often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from virtlab.league.cpu_run import run_scheduler
from virtlab.lessons.lesson import Bars, Said, Shown, Table
from virtlab.lessons.small_hosts import cpu_guest, finishes, small_host
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.policies.parameters import tunable
from virtlab.policies.policy import SchedulingPolicy
from virtlab.policies.scheduling.even import Even
from virtlab.policies.scheduling.leave_alone import LeaveAlone

_JOBS, _WORK_S, _FIRST_S, _EVERY_S = 12, 8.0, 2.5, 4.0


@dataclass(frozen=True, slots=True)
class Polling:
    """The same jobs with no scheduler, and with one that polls."""

    interval_s: int = tunable(
        5, unit="s", effect="an interval of your own beside 1, 2 and 10 s", at_least=1, at_most=60
    )

    def shown(self) -> Iterator[Shown]:
        """Yield what a scheduler asks, and what each interval costs."""
        jobs = _jobs()
        polls = run_scheduler(jobs, Even(), wire=True)
        yield Table("tick", ("one turn of the loop", "calls"), _calls_of_a_tick(polls))

        waits = {"no scheduler": _mean_wait_s(run_scheduler(jobs, LeaveAlone()))}
        rows = []
        for interval_s in sorted({1, 2, self.interval_s, 10}):
            timeline = run_scheduler(replace(jobs, interval_s=interval_s), _scheduler())
            name = f"every {interval_s} s"
            waits[name] = _mean_wait_s(timeline)
            moves = sum(pin.effective for pin in timeline.pins)
            rows.append((name, jobs.duration_s // interval_s, moves, waits[name]))
        yield Table("intervals", ("scheduler", "looks", "moves", "mean wait, s"), rows)
        yield Bars("waits", "s", waits)
        yield Said(
            "waits",
            f"Without a scheduler nobody calls anybody: no call, no move, and a job of {_WORK_S:g} "
            f"s waits {waits['no scheduler']:.0f} s on average, beside three idle pCPUs.",
        )


def _scheduler() -> SchedulingPolicy:
    """Return the scheduler that polls; put another one here."""
    return Even()


def _jobs() -> Scenario:
    """Return guests that all sit on pCPU 0, in which jobs begin one after the other."""
    guests = [cpu_guest(f"job{n:02}", [0]) for n in range(_JOBS)]
    begins = [
        finishes(guest.name, _WORK_S, at_s=_FIRST_S + n * _EVERY_S)
        for n, guest in enumerate(guests)
    ]
    return small_host(guests, begins, duration_s=180)


def _mean_wait_s(timeline: Timeline) -> float:
    """Return by how much jobs took longer than their work."""
    ends_s = {e.guest: e.time_ns / NS_PER_S for e in timeline.events if e.kind == "load_done"}
    waits = [
        ends_s.get(f"job{n:02}", timeline.duration_ns / NS_PER_S)
        - _FIRST_S
        - n * _EVERY_S
        - _WORK_S
        for n in range(_JOBS)
    ]
    return sum(waits) / len(waits)


def _calls_of_a_tick(timeline: Timeline) -> list[tuple[str, int]]:
    """Return which calls were made from the look before the first move to the next look."""
    first_ns = next(call.time_ns for call in timeline.calls if "Pin" in call.procedure)
    begin_ns = first_ns // timeline.interval_ns * timeline.interval_ns
    inside = [c for c in timeline.calls if begin_ns <= c.time_ns < begin_ns + timeline.interval_ns]
    return list(Counter(call.procedure for call in inside).items())
