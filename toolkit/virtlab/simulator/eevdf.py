"""Linux's fair scheduler, EEVDF, in small: what a few closed loops get of one CPU, turn by turn.

Where loops are alike, laws in closed form say what they get (`cpu_law`, `queue_law`). Where short
work meets long work, or weights differ, it depends on who is let in at a wake-up; here that is
played through for a while. The rules are those of Linux 6.18, kernel/sched/fair.c, whose functions
are named beside them:

- Each entity (a thread, or the group of a guest) has a virtual run time, which grows by what it
  runs over its weight, and a virtual deadline, a slice later. V is the mean of the virtual run
  times of those that are queued, by weight. An entity is eligible while it is not ahead of V; of
  the eligible ones that of the earliest deadline runs next (`pick_eevdf`).
- Who runs goes on until its slice is used up, as long as it is eligible (RUN_TO_PARITY). That is
  looked at only where something happens: when one wakes up or goes to sleep, and at ticks of 4 ms.
- An entity that goes to sleep ahead of V stays in the queue and counts in V, until it is picked or
  wakes up (DELAY_DEQUEUE), so that it works off meanwhile what it had too much. One that leaves the
  queue keeps its lag to V for its return (PLACE_LAG).

By these rules one loop of short work beside one busy thread is let in whenever it wakes up, and
waits for next to nothing, while with two such loops each waits as under `cpu_law`. Work of some
milliseconds runs through until a tick, and loops of shorter work wait for it.

Two things are not by the book. A thread that leaves the queue behind V keeps that lag, even if it
was to leave before (DELAY_ZERO would have it forgotten, and groups do forget it): so it fits what
was measured of like loops. And each work and each sleep is a little longer or shorter, at random,
as loops in step with one another or with the tick would else be so for ever.

Left out: what switches cost, and load averages: a group's weight is `shares * n / (n + q)`, as in
`weight_law`. Which sets are played, and how far they are off: `unlike_law`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf
from random import Random
from typing import Final

from virtlab.simulator.cpu_law import Shares, added

__all__ = ["PERIOD_MAX_NS", "Loop", "played"]

PERIOD_MAX_NS: Final = 50_000_000  # longer ones are played as if they were no longer than that
_TICK_NS: Final = 4_000_000  # CONFIG_HZ=250
_UNIT: Final = 1024.0
_SLEEP_SPREAD_NS: Final = 4_500.0  # how much longer or shorter a sleep may be
_WORK_SPREAD: Final = 0.03
_PLAYS: Final = 4  # as phases of long loops stay as they began
_ROUNDS: Final = 10  # of the longest loop that are counted in each
_ROUNDS_BEFORE: Final = 2
_COUNTED_MIN_NS: Final = 100_000_000
_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Loop:
    """A closed loop; `sleep_ns` 0 is one that never sleeps."""

    work_ns: float
    sleep_ns: float
    weight: float = 1024.0  # of its guest
    guest: int | None = None  # the same number for those that are weighed together
    elsewhere: float = 0.0  # for how many the others of its guest on other pCPUs count


@dataclass(slots=True, eq=False)
class _Queue:
    """Those who compete with one another (cfs_rq)."""

    cpu: _Cpu
    owner: _Entity | None = None  # that stands for them in the queue above
    queued: list[_Entity] = field(default_factory=list)  # current and delayed ones too
    current: _Entity | None = None
    last: float = 0.0  # V when it became empty

    def weight(self) -> float:
        total = 0.0
        for each in self.queued:
            total += each.weight
        return total

    def mean(self) -> float:
        """Return V (avg_vruntime)."""
        total = weights = 0.0
        for each in self.queued:
            total += each.weight * each.vruntime
            weights += each.weight
        return total / weights if weights else self.last

    def update(self, now_ns: int) -> None:
        """Write down what the current one ran (update_curr)."""
        current = self.current
        if current is None or now_ns <= current.since_ns:
            return
        current.vruntime += (now_ns - current.since_ns) * _UNIT / current.weight
        current.since_ns = now_ns
        over = current.vruntime >= current.deadline
        if over:
            current.deadline = current.vruntime + self.cpu.slice_ns * _UNIT / current.weight
        if len(self.queued) > 1 and (over or current.vruntime >= current.protected):
            self.cpu.resched = True

    def pick(self) -> _Entity:
        """Return who runs next (pick_eevdf)."""
        queued = self.queued
        if len(queued) == 1:
            return queued[0]
        mean = self.mean()
        best = self.current
        if best is not None:
            if not best.queued or best.vruntime > mean:
                best = None
            elif best.vruntime < best.protected:
                return best
        for each in queued:
            if each.vruntime <= mean and (best is None or each.deadline < best.deadline):
                best = each
        if best is None:  # by rounding alone
            best = min(queued, key=lambda each: each.vruntime)
        return best


@dataclass(slots=True, eq=False)
class _Entity:
    """A thread, or the group of a guest (sched_entity)."""

    queue: _Queue
    weight: float
    own: _Queue | None = None  # of a group
    elsewhere: float = 0.0  # of a group
    shares: float = 0.0  # of a group
    vruntime: float = 0.0
    deadline: float = 0.0
    protected: float = 0.0  # virtual run time until which it is left alone
    lag: float = 0.0  # V less its virtual run time, when it left
    queued: bool = False
    delayed: bool = False
    since_ns: int = 0
    # Of a thread:
    left_ns: float = 0.0  # work until it goes to sleep
    ready_ns: int = -1  # since when it runs or waits; -1: it sleeps
    run_ns: int = 0
    there_ns: int = 0  # what it ran or waited, until it last went to sleep

    def note_lag(self) -> None:
        """Take note of its lag (update_entity_lag)."""
        limit = max(2 * self.queue.cpu.slice_ns, _TICK_NS) * _UNIT / self.weight
        self.lag = min(max(self.queue.mean() - self.vruntime, -limit), limit)

    def place(self) -> None:
        """Give it a place among those that are queued (place_entity)."""
        queue = self.queue
        others = queue.weight()
        lag = self.lag * (others + self.weight) / others if others else 0.0
        self.vruntime = queue.mean() - lag
        self.deadline = self.vruntime + queue.cpu.slice_ns * _UNIT / self.weight

    def reweigh(self, now_ns: int) -> None:
        """Give a group the weight of those who are there (update_cfs_group, reweight_entity)."""
        own = self.own
        if own is None or not self.elsewhere or not own.queued:
            return
        number = len(own.queued)
        weight = self.shares * number / (number + self.elsewhere)
        if weight == self.weight:
            return
        ratio = self.weight / weight
        if self.queued:
            self.queue.update(now_ns)
            mean = self.queue.mean()
            self.vruntime = mean + (self.vruntime - mean) * ratio
            self.deadline = mean + (self.deadline - mean) * ratio
            self.protected = mean + (self.protected - mean) * ratio
        else:
            self.lag *= ratio
        self.weight = weight


@dataclass(slots=True, eq=False)
class _Cpu:
    """One CPU; `current` is the thread that runs."""

    slice_ns: int
    resched: bool = False
    current: _Entity | None = None
    root: _Queue = field(init=False)

    def __post_init__(self) -> None:
        self.root = _Queue(self)

    def wake(self, thread: _Entity, now_ns: int) -> None:
        """Let a thread wake up, and the CPU look whether it runs now (try_to_wake_up)."""
        entity: _Entity | None = thread
        while entity is not None and not entity.queued:
            queue = entity.queue
            queue.update(now_ns)
            entity.reweigh(now_ns)
            entity.place()
            entity.queued = True
            queue.queued.append(entity)
            entity = queue.owner
        if entity is not None and entity.delayed:
            self._requeue(entity)
        if entity is not None and entity is not thread:
            entity.reweigh(now_ns)
        if self.current is None or self.resched or self._lets_in(thread, now_ns):
            self.schedule(now_ns)

    def _requeue(self, entity: _Entity) -> None:
        """Let one stay in the queue that was to leave it (requeue_delayed_entity)."""
        entity.delayed = False
        entity.note_lag()
        if entity.lag > 0.0:
            entity.lag = 0.0
            entity.queue.queued.remove(entity)
            entity.place()
            entity.queue.queued.append(entity)

    def _lets_in(self, thread: _Entity, now_ns: int) -> bool:
        """Tell whether one that woke up takes the CPU (check_preempt_wakeup_fair)."""
        assert self.current is not None
        for mine, other in zip(_path(thread), _path(self.current), strict=False):
            if mine is not other:
                mine.queue.update(now_ns)
                return self.resched or mine.queue.pick() is mine
        return False

    def sleep(self, entity: _Entity, now_ns: int, *, delayed: bool = False) -> None:
        """Let the current thread sleep, or one go whose leave was put off (dequeue_entities)."""
        at: _Entity | None = entity
        while at is not None:
            queue = at.queue
            queue.update(now_ns)
            at.note_lag()
            if not delayed and at.lag < 0.0:
                at.delayed = True
                return
            if delayed and at.own is not None:
                at.lag = min(at.lag, 0.0)
            at.delayed = at.queued = False
            queue.last = at.vruntime
            queue.queued.remove(at)
            delayed = False
            at = queue.owner
            if queue.queued:
                if at is not None:
                    at.reweigh(now_ns)
                return

    def schedule(self, now_ns: int) -> None:
        """Give the CPU to whom it belongs (schedule, pick_next_task_fair)."""
        before, after = self.current, self._picked(now_ns)
        if after is not before:
            old = [] if before is None else _path(before)
            new = [] if after is None else _path(after)
            for entity in old:
                if entity not in new:
                    if entity.queued:
                        entity.queue.update(now_ns)
                    entity.queue.current = None
            for entity in new:
                if entity not in old:
                    entity.queue.current = entity
                    entity.since_ns = now_ns
                    entity.protected = entity.deadline
            self.current = after
        self.resched = False

    def _picked(self, now_ns: int) -> _Entity | None:
        queue = self.root
        while queue.queued:
            if queue.current is not None and queue.current.queued:
                queue.update(now_ns)
            entity = queue.pick()
            if entity.delayed:
                self.sleep(entity, now_ns, delayed=True)
                queue = self.root
            elif entity.own is None:
                return entity
            else:
                queue = entity.own
        return None

    def tick(self, now_ns: int) -> None:
        """Look at who runs (task_tick_fair)."""
        entity = self.current
        while entity is not None:
            entity.queue.update(now_ns)
            entity = entity.queue.owner
        if self.resched:
            self.schedule(now_ns)


def _path(thread: _Entity) -> tuple[_Entity, ...]:
    """Return a thread and the group that it is in, the outermost first."""
    owner = thread.queue.owner
    return (thread,) if owner is None else (owner, thread)


def played(loops: Sequence[Loop], slice_ns: int) -> Shares:
    """Return (run share, wait share) of each loop on one CPU, the same for the same loops.

    Args:
        loops: one of them sleeps; those of one guest have one number, weight and company elsewhere.
        slice_ns: for how long the host lets a thread run on.
    """
    rng = Random(0)
    plays = [_play(loops, slice_ns, rng) for _ in range(_PLAYS)]
    return tuple(
        [
            (_mean([run for run, _ in own]), _mean([wait for _, wait in own]))
            for own in zip(*plays, strict=True)
        ]
    )


def _play(loops: Sequence[Loop], slice_ns: int, rng: Random) -> Shares:
    """Return the shares of one play, which begins in phases of its own."""
    cpu = _Cpu(slice_ns)
    threads = _threads(cpu, loops)
    random = rng.random
    longest_ns = max([loop.work_ns + loop.sleep_ns for loop in loops if loop.sleep_ns])
    begin_ns = int(_ROUNDS_BEFORE * longest_ns) + 2 * _TICK_NS
    end_ns = begin_ns + int(max(_ROUNDS * longest_ns, _COUNTED_MIN_NS))
    wakes = [(int(random() * (loop.work_ns + loop.sleep_ns)), n) for n, loop in enumerate(loops)]
    heapify(wakes)
    tick_ns = int(random() * _TICK_NS)
    now_ns, ends_ns = 0, _NEVER  # when the current thread goes to sleep
    before: list[tuple[int, int]] = []
    while True:
        then_ns = min(wakes[0][0] if wakes else _NEVER, ends_ns, tick_ns)
        current = cpu.current
        if current is not None:
            current.run_ns += then_ns - now_ns
            current.left_ns -= then_ns - now_ns
        now_ns = then_ns
        if not before and now_ns >= begin_ns:
            before = [_counters(thread, now_ns) for thread in threads]
            begin_ns = now_ns
        if now_ns >= end_ns:
            break
        if now_ns == ends_ns and current is not None:
            n = threads.index(current)
            late_ns = (2.0 * random() - 1.0) * _SLEEP_SPREAD_NS
            heappush(wakes, (now_ns + max(int(loops[n].sleep_ns + late_ns), 1), n))
            current.there_ns += now_ns - current.ready_ns
            current.ready_ns = -1
            cpu.sleep(current, now_ns)
            cpu.schedule(now_ns)
        elif wakes and now_ns == wakes[0][0]:
            n = heappop(wakes)[1]
            spread = 1.0 + (2.0 * random() - 1.0) * _WORK_SPREAD
            threads[n].left_ns = loops[n].work_ns * spread if loops[n].sleep_ns else inf
            threads[n].ready_ns = now_ns
            cpu.wake(threads[n], now_ns)
        else:
            tick_ns += _TICK_NS
            cpu.tick(now_ns)
        current = cpu.current
        if current is None or current.left_ns == inf:
            ends_ns = _NEVER
        else:
            ends_ns = now_ns + max(int(current.left_ns), 1)
    span_ns = now_ns - begin_ns
    shares = []
    for thread, (ran_ns, was_there_ns) in zip(threads, before, strict=True):
        run_ns, there_ns = _counters(thread, now_ns)
        run = (run_ns - ran_ns) / span_ns
        shares.append((run, max((there_ns - was_there_ns) / span_ns - run, 0.0)))
    return tuple(shares)


def _mean(values: Sequence[float]) -> float:
    return added(values) / len(values)


def _counters(thread: _Entity, now_ns: int) -> tuple[int, int]:
    waits_ns = now_ns - thread.ready_ns if thread.ready_ns >= 0 else 0
    return thread.run_ns, thread.there_ns + waits_ns


def _threads(cpu: _Cpu, loops: Sequence[Loop]) -> list[_Entity]:
    """Return a thread for each loop; those of one guest are in a group."""
    guests: dict[int, _Queue] = {}
    threads = []
    for loop in loops:
        queue, weight = cpu.root, float(loop.weight)
        if loop.guest is not None:
            if loop.guest not in guests:
                own = _Queue(cpu)
                own.owner = _Entity(
                    cpu.root, weight / (1.0 + loop.elsewhere), own, loop.elsewhere, weight
                )
                guests[loop.guest] = own
            queue, weight = guests[loop.guest], _UNIT
        threads.append(_Entity(queue, weight))
    return threads
