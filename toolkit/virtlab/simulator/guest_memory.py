"""A guest's memory: processes, page cache, a consumer and the balloon, in one sum.

    actual = kernel + processes + cache + consumer + free        (the balloon holds max - actual)

Between two events the consumer, the cache and the balloon move at constant rates, so every figure
is a straight line and is read without changing anything. The rules, each where it is applied:

- what grows takes free memory first, then page cache down to a small rest, then, with swap space,
  the guest's idle and oldest pages at the speed of its disk; the cache grows back as fast as
  files are read again, where the guest reads any;
- a balloon that finds no page stalls with some MiB free and tries again each 200 ms. It kills
  nothing; but the next allocation in the guest finds nothing either, so that the guest's OOM
  killer ends its biggest process, which is the consumer where there is one;
- with deflate-on-OOM the balloon gives back what is asked for, 1 MiB a call, and nothing dies. What
  it holds then counts as available all the time (MemTotal stays); afterwards it takes it again;
- a stalled guest without a consumer is short of memory for its own daemons as well: after three
  seconds the OOM killer takes one of them;
- resident memory rises when pages are touched for the first time since they were given, and falls
  only where the balloon takes pages away, or where the guest reports free pages.

The balloon itself knows no minimum: the floor is the coordinator's duty. Figures were compared with
a guest under QEMU: 200 MiB in use and a target of 160 stalled with 4 MiB unused, and the next
allocation ended the big program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from virtlab.model.scenario import GuestSpec
from virtlab.model.timeline import EventRecord
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.workload import MemoryGrowth
from virtlab.simulator.balloon import OUT_OF_PUFF_NS, in_batches, rates_of
from virtlab.simulator.engine import EventHandle, EventQueue, Priority
from virtlab.simulator.guest_swap import GuestSwap
from virtlab.simulator.host_memory import HostMemory
from virtlab.simulator.memory_report import MemoryReport
from virtlab.simulator.page_reporting import (
    REPORT_DELAY_NS,
    REPORT_FREE_MIN_KIB,
    REPORT_ORDER_KIB,
    pass_kib,
)

__all__ = ["GuestMemory", "MemoryFigures"]

_FREE_MIN_KIB: Final = 4 * KIB_PER_MIB  # what a stalled guest was seen to keep
_CACHE_REST_KIB: Final = 20 * KIB_PER_MIB  # pages that run right now cannot be given up
_DAEMON_PATIENCE_NS: Final = 3 * NS_PER_S
_PROCESSES_REST_KIB: Final = 16 * KIB_PER_MIB  # init and the shell are not killed
_PAGE_KIB: Final = 4
_BOOT_FAULTS: Final = 40_000  # of a small cloud image by the end of its boot
_BOOT_MAJOR_FAULTS: Final = 600
_IDLE_FAULTS_PER_S: Final = 60

_Then = Literal["release", "keep"]


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """A guest's memory at one moment, in KiB and counts."""

    actual_kib: int
    target_kib: int
    unused_kib: int
    usable_kib: int
    available_kib: int
    cache_kib: int
    consumer_kib: int
    rss_kib: int
    minor_faults: int
    major_faults: int
    swap_in_kib: int
    swap_out_kib: int


@dataclass(slots=True)
class _Line:
    """A size that moves at a constant rate."""

    kib: float
    rate: float = 0.0  # KiB/ns

    def at(self, span_ns: int) -> float:
        return self.kib + self.rate * span_ns


class GuestMemory:
    """The memory of one guest in virtual time."""

    def __init__(
        self,
        spec: GuestSpec,
        host: HostMemory,
        queue: EventQueue,
        on_event: Callable[[EventRecord], None],
        on_balloon: Callable[[], None],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the guest, the host that carries it, and who is told of events and balloon moves.

        Args:
            spec: the guest.
            host: carries it.
            queue: the host's events.
            on_event: is told of what happens.
            on_balloon: is told that the balloon's size was reported.
            busy: tells whether a vCPU of the guest never sleeps.
        """
        self.spec = spec
        self.growing = False
        self._host = host
        self._queue = queue
        self._on_event = on_event
        self._max_kib = spec.max_memory_kib
        self._powered = False
        self._load: MemoryGrowth | None = None
        self._speed = 1.0
        self._hold: EventHandle | None = None
        self._next: EventHandle | None = None
        self._since_ns = 0
        self._actual = _Line(0.0)
        self._cache = _Line(0.0)
        self._consumer = _Line(0.0)
        self._rss = _Line(0.0)
        self._changes = 0  # grows with each change of what can be seen
        self._swap = GuestSwap(spec.swap_kib, spec.swap_kib_s)
        self._swapping = False
        self._busy = busy
        self._rates = rates_of(host.balloon)
        self._batches = host.balloon_batches
        self._from_kib = 0.0  # where the balloon's present move began
        self._giving = False  # deflates on OOM
        self._reporting: EventHandle | None = None  # the next pass of free page reporting
        self._balloon_fault = False
        self._target_kib = 0
        self._processes_kib = 0
        self._stalled_ns: int | None = None  # since when the balloon finds no page
        self._puff_until_ns = 0
        self._touched_kib = 0.0  # ever, for the fault counts
        self._booted_ns = 0
        self.report = MemoryReport(
            spec, host.stats_before_period, queue, self.figures, on_balloon, host.calendar_s
        )

    # Power.

    def boot(self, now_ns: int) -> None:
        """Start with the size, processes and cache that the scenario gives the guest."""
        spec = self.spec
        self._powered = True
        self._changes += 1
        self._since_ns = self._booted_ns = now_ns
        self._target_kib = min(spec.memory_kib, self._max_kib)
        self._processes_kib = spec.processes_kib
        self._actual = _Line(float(self._target_kib))
        room_kib = self._target_kib - spec.kernel_kib - spec.processes_kib - _FREE_MIN_KIB
        self._cache = _Line(float(max(min(spec.cache_kib, room_kib), 0)))
        self._consumer = _Line(0.0)
        self._rss = _Line(self._held_kib(0))
        self._touched_kib = 0.0
        self._swap.reset()
        self._swapping = self._giving = False
        self._load, self.growing, self._stalled_ns = None, False, None
        self._host.join(self)
        self.report.boot(now_ns)
        self._plan(now_ns)

    def power_off(self, now_ns: int) -> None:
        """Give everything back to the host."""
        if not self._powered:
            return
        self._powered = False
        self._queue.cancel(self._next)
        self._queue.cancel(self._hold)
        self._queue.cancel(self._reporting)
        self._next = self._hold = self._reporting = None
        self._load, self.growing = None, False
        self._host.leave(self)
        self.report.power_off()

    # What the host's administrator and programs ask for.

    def set_target(self, now_ns: int, kib: int) -> None:
        """Ask for a size; QEMU ignores 0 and takes nothing above the maximum."""
        if kib <= 0 or not self._powered:
            return
        self._settle(now_ns)
        self._target_kib = min(kib, self._max_kib)
        self._puff_until_ns = 0
        self._plan(now_ns)

    def hold_balloon(self, now_ns: int, *, stuck: bool) -> None:
        """Let the balloon stand still whatever is asked of it, or move again."""
        self._balloon_fault = stuck
        if self._powered:
            self._settle(now_ns)
            self._plan(now_ns)

    def set_maximum(self, kib: int) -> None:
        """Set the largest size of the next start."""
        self._max_kib = kib

    def set_stats_period(self, now_ns: int, seconds: int) -> None:
        """Renew the guest's report at once and then each so many seconds; 0 ends that."""
        self.report.set_period(now_ns, seconds)

    # What runs in the guest.

    def set_speed(self, now_ns: int, share: float) -> None:
        """Set how much of the time the vCPU that touches pages is scheduled, 0 to 1."""
        if share == self._speed or not self._powered:
            self._speed = share
            return
        self._settle(now_ns)
        self._speed = share
        self._plan(now_ns)

    def start_growth(self, now_ns: int, load: MemoryGrowth) -> None:
        """Start a process that touches more and more memory, on top of what one holds already."""
        self._settle(now_ns)
        self._queue.cancel(self._hold)
        self._hold = None
        self._load, self.growing = load, True
        self._plan(now_ns)

    def stop_loads(self, now_ns: int) -> None:
        """End the memory loads; all that they hold is freed."""
        if not self._powered:
            return
        self._settle(now_ns)
        held_kib = int(self._consumer.kib)
        if self._load is not None or held_kib:
            self._end_load(now_ns)
            self._tell(now_ns, "load_end", "memory load stopped", consumer_kib=held_kib)
        self._plan(now_ns)

    def set_traced(self, now_ns: int, kib: int) -> None:
        """Set what traced processes hold, as far as the guest has it to give."""
        self._settle(now_ns)
        room_kib = self._actual.kib - self.spec.kernel_kib - self._processes_kib - _FREE_MIN_KIB
        room_kib += self._swap.kib
        wanted_kib = min(float(kib), max(room_kib - min(self._cache.kib, _CACHE_REST_KIB), 0.0))
        self._touched_kib += max(wanted_kib - self._consumer.kib, 0.0)
        self._consumer.kib = wanted_kib
        self._cache.kib = min(self._cache.kib, room_kib - wanted_kib)
        self._swap.trim(self._swappable_kib())
        self._rss.kib = min(max(self._rss.kib, self._held_kib(0)), self._actual.kib)
        self._plan(now_ns)

    # What can be seen.

    def figures(self, now_ns: int) -> MemoryFigures:
        """Return the truth at a moment, which must not lie before the last event."""
        span_ns = now_ns - self._since_ns
        actual_kib = int(self._actual.at(span_ns))
        cache_kib = int(self._cache.at(span_ns))
        consumer_kib = int(self._consumer.at(span_ns))
        owned_kib = max(actual_kib - self.spec.kernel_kib, 0)
        swapped_kib = int(self._swap.at(span_ns))
        held_kib = self._processes_kib + cache_kib + consumer_kib - swapped_kib
        unused_kib = max(owned_kib - held_kib, 0)
        # With deflate-on-OOM what the balloon holds stays in MemTotal and looks used.
        available_kib = owned_kib
        if self.spec.deflate_on_oom:
            available_kib = max(self._max_kib - self.spec.kernel_kib, 0)
        if self._actual.rate and (self._batches or self._giving):
            actual_kib = int(in_batches(self._from_kib, actual_kib))
        grown_kib = self._consumer.rate * span_ns if self._consumer.rate > 0.0 else 0.0
        faults = int((self._touched_kib + grown_kib) / _PAGE_KIB)
        idle = (now_ns - self._booted_ns) * _IDLE_FAULTS_PER_S // NS_PER_S
        return MemoryFigures(
            actual_kib=actual_kib,
            target_kib=self._target_kib,
            unused_kib=unused_kib,
            usable_kib=unused_kib + max(cache_kib - _CACHE_REST_KIB, 0),
            available_kib=available_kib,
            cache_kib=cache_kib,
            consumer_kib=consumer_kib,
            rss_kib=int(self._rss.at(span_ns)),
            minor_faults=_BOOT_FAULTS + faults + idle,
            major_faults=_BOOT_MAJOR_FAULTS + self._swap.read_faults(span_ns),
            swap_in_kib=self._swap.read_kib(span_ns),
            swap_out_kib=self._swap.written_kib(span_ns),
        )

    def statistics(self, now_ns: int) -> dict[str, int]:
        """Return what virDomainMemoryStats shows."""
        return self.report.statistics(now_ns)

    @property
    def restless(self) -> bool:
        """Tell whether what can be seen may change by itself, as time goes by."""
        return self._actual.rate != 0.0 or self._rss.rate != 0.0 or self.report.renews

    def stamp(self, now_ns: int) -> object:
        """Return a value that is the same as long as `statistics` and `info_kib` are."""
        moving_ns = now_ns if self._actual.rate or self._rss.rate else 0
        return (self._changes, moving_ns, self.report.stamp(now_ns))

    def info_kib(self, now_ns: int) -> int:
        """Return the size that virDomainGetInfo shows, which follows the balloon's events."""
        return self.report.info_kib

    def rss_at(self, now_ns: int) -> int:
        """Return what it holds of the host's memory, in KiB."""
        return int(self._rss.at(now_ns - self._since_ns)) if self._powered else 0

    def rss_rate(self) -> float:
        """Return how fast that grows, in KiB/ns."""
        return self._rss.rate if self._powered else 0.0

    def touch_rate(self) -> float:
        """Return how fast it would touch new pages if the host's swap did not slow it."""
        load = self._load
        if load is None or not self.growing:
            return 0.0
        return load.rate_kib_s * self._speed / NS_PER_S

    def repace(self, now_ns: int) -> None:
        """Touch pages at the host's new pace."""
        self._settle(now_ns)
        self._plan(now_ns)

    # Moving on.

    def _settle(self, now_ns: int) -> None:
        """Write down where the lines have led, before their rates change."""
        self._host.moves(self)
        self._changes += 1
        span_ns = now_ns - self._since_ns
        if span_ns:
            self.report.settle(now_ns)
            if self._consumer.rate > 0.0:
                self._touched_kib += self._consumer.rate * span_ns
            for line in (self._actual, self._cache, self._consumer, self._rss):
                line.kib = line.at(span_ns)
            self._swap.settle(span_ns)
            self._since_ns = now_ns

    def _plan(self, now_ns: int) -> None:
        """Set all rates from the state, and the event at which the first of them must change."""
        self._queue.cancel(self._next)
        self._next = None
        way = self._actual.rate
        ends = self._set_rates(now_ns)
        if not self._powered:
            return
        if (way > 0.0) != (self._actual.rate > 0.0) or way == 0.0:
            self._from_kib = self._actual.kib
        held_rate = self._cache.rate + self._consumer.rate - self._swap.rate
        ends += self._set_rss_rate(held_rate)
        spans = [kib / rate for kib, rate in ends if rate > 0.0]
        times = [now_ns + max(int(span) + 1, 1) for span in spans]
        if self._puff_until_ns <= now_ns:
            self._stalled_ns = None  # it wants nothing any more, or gives
        elif self._stalled_ns is not None:
            times.append(self._puff_until_ns)
        if times:
            self._next = self._queue.schedule(min(times), Priority.MEMORY, self._on_event_due)
        self._plan_reporting(now_ns)
        self._host.changed(self)
        self.report.balloon(now_ns, moving=self._actual.rate != 0.0)

    def _on_event_due(self, now_ns: int) -> None:
        self._settle(now_ns)
        self._snap(now_ns)
        self._plan(now_ns)

    def _set_rates(self, now_ns: int) -> list[tuple[float, float]]:
        """Set the rates; return (KiB to go, KiB/ns) of each thing that will be reached."""
        grow = self._growth_rate()
        balloon = self._balloon_rate(now_ns)
        free_kib = self._free_kib()
        reads = self._read_rate(free_kib)
        back = self._back_rate(free_kib)
        need = grow - balloon + reads + back  # how fast free memory shrinks
        self._cache.rate, self._swap.rate = reads, -back
        self._giving = False
        ends: list[tuple[float, float]] = []
        if reads:
            ends.append((self.spec.cache_kib - self._cache.kib, reads))
        if back:
            ends.append((self._processes_swapped_kib(), back))
        if need > 0.0:
            if free_kib > _FREE_MIN_KIB:
                ends.append((free_kib - _FREE_MIN_KIB, need))
            elif self._cache.kib > _CACHE_REST_KIB:
                self._cache.rate = -need
                ends.append((self._cache.kib - _CACHE_REST_KIB, need))
            elif (room_kib := self._swap.room_kib(self._swappable_kib())) > 1.0:
                slowed = min(self._swap.speed / need, 1.0)
                grow, balloon, need = grow * slowed, balloon * slowed, need * slowed
                self._swap.rate = need
                ends.append((room_kib, need))
                self._tell_swapping(now_ns)
            else:
                return self._exhausted(now_ns, grow, balloon)
        if balloon:
            self._stalled_ns = None
        self._actual.rate, self._consumer.rate = balloon, grow
        if balloon:
            ends.append((abs(self._target_kib - self._actual.kib), abs(balloon)))
        if grow > 0.0 and self._load is not None and self._load.until_kib is not None:
            ends.append((self._load.until_kib - self._consumer.kib, grow))
        return ends

    def _exhausted(self, now_ns: int, grow: float, balloon: float) -> list[tuple[float, float]]:
        """Nothing is free and the cache is gone: stall the balloon, or kill."""
        if self._can_give(grow):
            # The driver gives back what the allocation asks for, a batch at a time.
            self._giving = True
            self._actual.rate = self._consumer.rate = grow
            return [(self._max_kib - self._actual.kib, grow)]
        if grow > 0.0:
            self._kill_consumer(now_ns)
            return self._set_rates(now_ns)
        self._actual.rate = self._consumer.rate = 0.0
        if self._stalled_ns is None:
            self._stalled_ns = now_ns
            self._tell(now_ns, "balloon_stuck", "the balloon finds no free page")
        elif now_ns - self._stalled_ns >= _DAEMON_PATIENCE_NS and not self.spec.deflate_on_oom:
            if self._consumer.kib > 0.0:
                self._kill_consumer(now_ns)
                return self._set_rates(now_ns)
            if self._kill_daemon(now_ns):
                return self._set_rates(now_ns)
        self._puff_until_ns = now_ns + OUT_OF_PUFF_NS
        return []

    def _can_give(self, grow: float) -> bool:
        if not self.spec.deflate_on_oom or self._balloon_fault:
            return False
        return grow > 0.0 and self._actual.kib < self._max_kib

    def _growth_rate(self) -> float:
        return self.touch_rate() * self._host.pace

    def _balloon_rate(self, now_ns: int) -> float:
        if self._balloon_fault:
            return 0.0
        if self._actual.kib < self._target_kib:
            return self._rates.deflate
        if self._actual.kib > self._target_kib and now_ns >= self._puff_until_ns:
            return -(self._rates.inflate_busy if self._busy() else self._rates.inflate)
        return 0.0

    def _read_rate(self, free_kib: float) -> float:
        """Return how fast files that are read again fill the page cache, into free memory only."""
        if free_kib > _FREE_MIN_KIB and self._cache.kib < self.spec.cache_kib - 1.0:
            return self.spec.file_reads_kib_s / NS_PER_S
        return 0.0

    def _back_rate(self, free_kib: float) -> float:
        """Return how fast idle processes get back what they have in swap."""
        if free_kib > _FREE_MIN_KIB and self._processes_swapped_kib() > 1.0:
            return self._swap.back_rate(_IDLE_FAULTS_PER_S)
        return 0.0

    def _swappable_kib(self) -> float:
        return self._consumer.kib + max(self._processes_kib - _PROCESSES_REST_KIB, 0)

    def _processes_swapped_kib(self) -> float:
        return min(self._swap.kib, max(self._processes_kib - _PROCESSES_REST_KIB, 0))

    def _tell_swapping(self, now_ns: int) -> None:
        if not self._swapping:
            self._swapping = True
            self._tell(now_ns, "guest_swap", "the guest began to swap")

    # Free page reporting.

    def _plan_reporting(self, now_ns: int) -> None:
        """Have a pass two seconds after a block of free memory is there that was not reported."""
        if self.spec.free_page_reporting and self._reporting is None and self._unreported_kib():
            self._reporting = self._queue.schedule(
                now_ns + REPORT_DELAY_NS, Priority.MEMORY, self._report_pages
            )

    def _report_pages(self, now_ns: int) -> None:
        self._reporting = None
        self._settle(now_ns)
        reported_kib = pass_kib(self._free_kib(), self._unreported_kib())
        self._rss.kib -= reported_kib
        self._plan(now_ns)

    def _unreported_kib(self) -> float:
        """Return the free memory that the host still holds; none where too little is free."""
        unreported_kib = self._rss.kib - self._held_kib(0)
        enough = self._free_kib() >= REPORT_FREE_MIN_KIB + _FREE_MIN_KIB
        return unreported_kib if enough and unreported_kib >= REPORT_ORDER_KIB else 0.0

    def _set_rss_rate(self, held_rate: float) -> list[tuple[float, float]]:
        """Let resident memory follow what is held upwards, and the balloon downwards."""
        held_kib = self._held_kib(0)
        self._rss.rate = 0.0
        ends: list[tuple[float, float]] = []
        if held_rate > 0.0:
            if held_kib >= self._rss.kib - 1.0:
                self._rss.rate = held_rate
            else:
                ends.append((self._rss.kib - held_kib, held_rate))
        if self._actual.rate < 0.0:
            if self._actual.kib <= self._rss.kib + 1.0:
                self._rss.rate = self._actual.rate
            else:
                ends.append((self._actual.kib - self._rss.kib, -self._actual.rate))
        return ends

    def _snap(self, now_ns: int) -> None:
        """Take what was reached to the letter, as the event came up to a nanosecond late."""
        if self._actual.rate > 0.0 and not self.spec.deflate_on_oom:
            self._actual.kib = min(self._actual.kib, float(self._target_kib))
        elif self._actual.rate > 0.0:
            self._actual.kib = min(self._actual.kib, float(self._max_kib))
        elif self._actual.rate < 0.0:
            self._actual.kib = max(self._actual.kib, float(self._target_kib))
        if self._cache.rate < 0.0:
            self._cache.kib = max(self._cache.kib, float(_CACHE_REST_KIB))
        elif self._cache.rate > 0.0:
            self._cache.kib = min(self._cache.kib, float(self.spec.cache_kib))
        self._rss.kib = min(self._rss.kib, self._actual.kib)
        load = self._load
        if load is None or not self.growing or load.until_kib is None:
            return
        if self._consumer.kib >= load.until_kib - 1.0:
            self._consumer.kib = float(load.until_kib)
            self._reached(now_ns, load)

    def _free_kib(self) -> float:
        return self._actual.kib - self._held_kib(0)

    def _held_kib(self, span_ns: int) -> float:
        moving_kib = self._cache.at(span_ns) + self._consumer.at(span_ns) - self._swap.at(span_ns)
        return self.spec.kernel_kib + self._processes_kib + moving_kib

    # Loads that end.

    def _reached(self, now_ns: int, load: MemoryGrowth) -> None:
        self.growing = False
        self._tell(now_ns, "load_done", "memory load reached its size", consumer_kib=load.until_kib)
        if load.then_release:
            self._hold = self._queue.schedule(now_ns + load.hold_ns, Priority.MEMORY, self._release)

    def _release(self, now_ns: int) -> None:
        self._hold = None
        self._settle(now_ns)
        held_kib = int(self._consumer.kib)
        self._end_load(now_ns)
        self._tell(now_ns, "load_end", "memory load freed all", consumer_kib=held_kib)
        self._plan(now_ns)

    def _end_load(self, now_ns: int) -> None:
        self._queue.cancel(self._hold)
        self._hold = None
        self._load, self.growing = None, False
        self._consumer = _Line(0.0)
        self._swap.trim(self._swappable_kib())
        self._swapping = False
        self._puff_until_ns = 0

    def _kill_consumer(self, now_ns: int) -> None:
        held_kib = int(self._consumer.kib)
        self._end_load(now_ns)
        self._tell(now_ns, "oom_kill", "the OOM killer ended the consumer", consumer_kib=held_kib)

    def _kill_daemon(self, now_ns: int) -> bool:
        if self._processes_kib <= _PROCESSES_REST_KIB:
            return False
        freed_kib = (self._processes_kib - _PROCESSES_REST_KIB + 1) // 2
        self._processes_kib -= freed_kib
        self._swap.trim(self._swappable_kib())
        self._stalled_ns = now_ns
        self._tell(
            now_ns, "oom_kill", "drained: the OOM killer ended a daemon", freed_kib=freed_kib
        )
        return True

    def _tell(self, now_ns: int, kind: str, detail: str, **values: int | None) -> None:
        known = {
            "actual_kib": int(self._actual.kib),
            "target_kib": self._target_kib,
            "max_kib": self._max_kib,
            "host_free_kib": self._host.free_kib,
        }
        more = {name: value for name, value in values.items() if value is not None}
        self._on_event(EventRecord(now_ns, kind, self.spec.name, detail, {**known, **more}))
