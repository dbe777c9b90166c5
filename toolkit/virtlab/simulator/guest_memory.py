"""A guest's memory in virtual time: what is asked of it, what runs in it, and what comes of both.

The parts and their sum are `memory_sizes`, the order in which memory is found `memory_flow`; the
`balloon`, the consumer (`memory_load`), swap (`guest_swap`), free page reporting (`page_reporting`)
and what libvirt shows (`memory_report`) have modules of their own. Here they meet: each change
first writes the sizes down, then sets all rates anew, and the next event is when the first size
gets somewhere. Where no memory is found:

- a balloon that finds no page stalls with some MiB free and tries again each 200 ms. It kills
  nothing; but the next allocation in the guest finds nothing either, so that the guest's OOM
  killer ends its biggest process, which is the consumer where there is one;
- with deflate-on-OOM the balloon gives back what is asked for, 1 MiB a call, and nothing dies. What
  it holds then counts as available all the time (MemTotal stays); afterwards it takes it again;
- a stalled guest without a consumer is short of memory for its own daemons as well: after three
  seconds the OOM killer takes one of them.

A guest that is paused, or lies on a frozen host, stands still: no code of it runs that could
touch, free, give or report a page. What is asked of it meanwhile is done when it goes on.

The balloon itself knows no minimum: the floor is the coordinator's duty. Figures were compared with
a guest under QEMU: 200 MiB in use and a target of 160 stalled with 4 MiB unused, and the next
allocation ended the big program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from virtlab.model.scenario import GuestSpec
from virtlab.model.timeline import EventRecord
from virtlab.model.units import NS_PER_S
from virtlab.model.workload import MemoryGrowth
from virtlab.simulator.balloon import Balloon
from virtlab.simulator.engine import EventHandle, EventQueue, Priority
from virtlab.simulator.host_memory import HostMemory
from virtlab.simulator.memory_flow import End, Flow, flow_of, let_resident_follow, snap
from virtlab.simulator.memory_load import MemoryLoad
from virtlab.simulator.memory_report import MemoryReport
from virtlab.simulator.memory_sizes import MemoryFigures, MemorySizes
from virtlab.simulator.page_reporting import PageReporting

__all__ = ["GuestMemory"]

_DAEMON_PATIENCE_NS: Final = 3 * NS_PER_S


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
        self._host = host
        self._queue = queue
        self._on_event = on_event
        self._busy = busy
        self._powered = False
        self._paused_ns: int | None = None  # since when it stands still
        self._traced_kib: int | None = None  # what traced processes hold as soon as it goes on
        self._swapping = False
        self.changes = 0  # grows with each change of what can be seen
        self._next: EventHandle | None = None
        self._sizes = MemorySizes(spec)
        self._balloon = Balloon(host.balloon, spec.max_memory_kib, batches=host.balloon_batches)
        self._load = MemoryLoad(queue, self._release)
        self._reporting = PageReporting(self._sizes, queue, self._report_pages)
        self.report = MemoryReport(
            spec, host.stats_before_period, queue, self.figures, on_balloon, host.calendar_s
        )

    # Power.

    def boot(self, now_ns: int) -> None:
        """Start with the size, processes and cache that the scenario gives the guest."""
        self._powered = True
        self.changes += 1
        self._sizes.boot(now_ns, self._balloon.boot(self.spec.memory_kib))
        self._swapping = False
        self._load.end()
        self._host.join(self)
        self.report.boot(now_ns)
        if self._host.frozen:
            self.pause(now_ns)
        self._plan(now_ns)

    def power_off(self, now_ns: int) -> None:
        """Give everything back to the host."""
        if not self._powered:
            return
        self._powered = False
        self._paused_ns = self._traced_kib = None
        self._queue.cancel(self._next)
        self._next = None
        self._reporting.stop()
        self._load.end()
        self._host.leave(self)
        self.report.power_off()

    def reboot(self, now_ns: int) -> None:
        """Start anew in the same QEMU: only what runs in the guest is another.

        The balloon's size and target stay, as does the report's period, and QEMU keeps the pages
        that were ever touched. (Source: QEMU hw/virtio/virtio-balloon.c, whose reset clears none
        of the three, and system/physmem.c: guest memory is freed with the process.)
        """
        self._settle(now_ns)
        self._reporting.stop()
        self._load.end()
        self._swapping = False
        self._balloon.restart()
        self._sizes.reboot(now_ns, self._balloon.max_kib)
        period_s = self.report.period_s
        self.report.boot(now_ns)
        if period_s:
            self.set_stats_period(now_ns, period_s)
        self._plan(now_ns)

    def pause(self, now_ns: int) -> None:
        """Stand still until `resume`, which a frozen host's guests never do."""
        if self._paused_ns is not None or not self._powered:
            return
        self._settle(now_ns)
        self._paused_ns = now_ns
        self._load.pause(now_ns)
        self._reporting.stop()
        self.report.pause(now_ns)
        self._plan(now_ns)

    def resume(self, now_ns: int) -> None:
        """Go on where it stood, with what was asked of it since."""
        if self._paused_ns is None or self._host.frozen:
            return
        self._settle(now_ns)
        stood_ns = now_ns - self._paused_ns
        self._paused_ns = None
        self._balloon.skip(stood_ns)
        self._sizes.skip(stood_ns)
        self._load.resume(now_ns)
        self.report.resume(now_ns)
        if self._traced_kib is not None:
            self._sizes.set_consumer(self._traced_kib)
            self._traced_kib = None
        self._plan(now_ns)

    # What the host's administrator and programs ask for.

    def set_target(self, now_ns: int, kib: int) -> None:
        """Ask for a size; QEMU ignores 0 and takes nothing above the maximum."""
        if kib <= 0 or not self._powered:
            return
        self._settle(now_ns)
        self._balloon.aim(kib)
        self._plan(now_ns)

    def hold_balloon(self, now_ns: int, *, stuck: bool) -> None:
        """Let the balloon stand still whatever is asked of it, or move again."""
        self._balloon.stuck = stuck
        if self._powered:
            self._settle(now_ns)
            self._plan(now_ns)

    def set_maximum(self, kib: int) -> None:
        """Set the largest size of the next start."""
        self._balloon.max_kib = kib

    def set_stats_period(self, now_ns: int, seconds: int) -> None:
        """Renew the guest's report at once and then each so many seconds; 0 ends that."""
        self.report.set_period(now_ns, seconds)

    # What runs in the guest.

    @property
    def growing(self) -> bool:
        """Tell whether a process touches more and more memory."""
        return self._load.growing

    def set_speed(self, now_ns: int, share: float) -> None:
        """Set how much of the time the vCPU that touches pages is scheduled, 0 to 1."""
        if share == self._load.speed or not self._powered:
            self._load.speed = share
            return
        self._settle(now_ns)
        self._load.speed = share
        self._plan(now_ns)

    def loads_changed(self, now_ns: int) -> None:
        """Go on with a balloon's move at the rate that suits the present CPU loads."""
        if self._balloon.heeds_loads and self._sizes.actual.rate < 0.0:
            self._settle(now_ns)
            self._plan(now_ns)

    def start_growth(self, now_ns: int, load: MemoryGrowth) -> None:
        """Start a process that touches more and more memory, on top of what one holds already."""
        self._settle(now_ns)
        self._load.start(load)
        self._plan(now_ns)

    def stop_growth(self, now_ns: int) -> None:
        """End the process that grows, and leave what it holds to whoever goes on."""
        if self._load.there:
            self._settle(now_ns)
            self._load.end()
            self._plan(now_ns)

    def stop_loads(self, now_ns: int) -> None:
        """End the memory loads; all that they hold is freed."""
        if not self._powered:
            return
        self._settle(now_ns)
        self._traced_kib = None
        if self._load.there or int(self._sizes.consumer.kib):
            self._end_load(now_ns, "load_end", "memory load stopped")
        self._plan(now_ns)

    def set_traced(self, now_ns: int, kib: int) -> None:
        """Set what traced processes hold, as far as the guest has it to give."""
        if self._paused_ns is not None:
            self._traced_kib = kib
            return
        self._settle(now_ns)
        self._sizes.set_consumer(kib)
        self._plan(now_ns)

    # What can be seen.

    def figures(self, now_ns: int) -> MemoryFigures:
        """Return the truth at a moment, which must not lie before the last event."""
        actual = self._sizes.actual
        actual_kib = int(actual.at(self._sizes.span_ns(now_ns)))
        # With deflate-on-OOM what the balloon holds stays in MemTotal and looks used.
        available_kib = max(self._balloon.max_kib - self.spec.kernel_kib, 0)
        return self._sizes.figures(
            now_ns,
            target_kib=self._balloon.target_kib,
            shown_kib=self._balloon.shown_kib(actual_kib, actual.rate),
            available_kib=available_kib if self.spec.deflate_on_oom else None,
        )

    def statistics(self, now_ns: int) -> dict[str, int]:
        """Return what virDomainMemoryStats shows."""
        return self.report.statistics(now_ns)

    @property
    def restless(self) -> bool:
        """Tell whether what can be seen may change by itself, as time goes by."""
        return self._moves or self.report.period_s > 0

    @property
    def rests(self) -> bool:
        """Tell whether all sizes stay as they are until `changes` grows."""
        return self._sizes.rest

    def stamp(self, now_ns: int) -> object:
        """Return a value that is the same as long as `statistics` and `info_kib` are."""
        return (self.changes, now_ns if self._moves else 0, self.report.stamp(now_ns))

    def info_kib(self, now_ns: int) -> int:
        """Return the size that virDomainGetInfo shows, which follows the balloon's events."""
        return self.report.info_kib

    @property
    def _moves(self) -> bool:
        return self._sizes.actual.rate != 0.0 or self._sizes.rss.rate != 0.0

    # What the host asks.

    def rss_at(self, now_ns: int) -> int:
        """Return what it holds of the host's memory, in KiB."""
        return int(self._sizes.rss.at(self._sizes.span_ns(now_ns))) if self._powered else 0

    def rss_rate(self) -> float:
        """Return how fast that grows, in KiB/ns."""
        return self._sizes.rss.rate if self._powered else 0.0

    def touch_rate(self) -> float:
        """Return how fast it would touch new pages if the host's swap did not slow it."""
        return self._load.rate() if self._paused_ns is None else 0.0

    def repace(self, now_ns: int) -> None:
        """Touch pages at the host's new pace."""
        self._settle(now_ns)
        self._plan(now_ns)

    # Moving on.

    def _settle(self, now_ns: int) -> None:
        """Write down where the lines have led, before their rates change."""
        self._host.moves(self)
        self.changes += 1
        if self._sizes.span_ns(now_ns):
            self.report.settle(now_ns)
            self._sizes.settle(now_ns)

    def _plan(self, now_ns: int) -> None:
        """Set all rates from the state, and the event at which the first of them must change."""
        self._queue.cancel(self._next)
        self._next = None
        actual = self._sizes.actual
        rate_before = actual.rate
        flow = self._flow(now_ns)
        flow.apply(self._sizes)
        if not self._powered:
            return
        self._balloon.sets_out(actual.kib, rate_before, actual.rate)
        ends = (*flow.ends, *let_resident_follow(self._sizes))
        times = [now_ns + max(int(kib / rate) + 1, 1) for kib, rate in ends if rate > 0.0]
        retry_ns = None if self._paused_ns is not None else self._balloon.retries_at(now_ns)
        if retry_ns is not None:
            times.append(retry_ns)
        if times:
            self._next = self._queue.schedule(min(times), Priority.MEMORY, self._on_event_due)
        if self._paused_ns is None:
            self._reporting.plan(now_ns)
        self._host.changed(self)
        self.report.balloon(now_ns, moving=actual.rate != 0.0)

    def _on_event_due(self, now_ns: int) -> None:
        self._settle(now_ns)
        self._snap(now_ns)
        self._plan(now_ns)

    def _flow(self, now_ns: int) -> Flow:
        """Return how the sizes move from now on, once enough was killed for it."""
        if self._paused_ns is not None:
            self._balloon.giving = False
            return Flow()
        sizes, balloon = self._sizes, self._balloon
        grow = self.touch_rate() * self._host.pace
        flow = flow_of(sizes, grow, balloon.rate(now_ns, sizes.actual.kib, self._busy))
        balloon.giving = flow is None and self._can_give(grow)
        if balloon.giving:
            # The driver gives back what the allocation asks for, a batch at a time.
            flow = Flow(actual=grow, consumer=grow)
        elif flow is None:
            return self._flow(now_ns) if self._reclaim(now_ns, grow) else Flow()
        elif flow.swap > 0.0 and not self._swapping:
            self._swapping = True
            self._tell(now_ns, "guest_swap", "the guest began to swap")
        if flow.actual:
            balloon.stalled_ns = None
        return replace(flow, ends=(*flow.ends, *self._goals(flow)))

    def _goals(self, flow: Flow) -> Iterator[End]:
        """Yield when the balloon and the consumer get where they are bound for."""
        if flow.actual:
            yield abs(self._balloon.goal_kib - self._sizes.actual.kib), abs(flow.actual)
        left_kib = self._load.left_kib(self._sizes.consumer.kib)
        if left_kib is not None:
            yield left_kib, flow.consumer

    def _can_give(self, grow: float) -> bool:
        if not self.spec.deflate_on_oom or self._balloon.stuck:
            return False
        return grow > 0.0 and self._sizes.actual.kib < self._balloon.max_kib

    def _snap(self, now_ns: int) -> None:
        """Take what was reached to the letter, as the event came up to a nanosecond late."""
        sizes = self._sizes
        snap(sizes, self._balloon.goal_kib)
        left_kib = self._load.left_kib(sizes.consumer.kib)
        if left_kib is not None and left_kib <= 1.0:
            until_kib = self._load.reach(now_ns)
            sizes.consumer.kib = float(until_kib)
            self._tell(now_ns, "load_done", "memory load reached its size", consumer_kib=until_kib)

    def _report_pages(self, now_ns: int) -> None:
        self._settle(now_ns)
        self._reporting.report()
        self._plan(now_ns)

    # Nothing is free and the cache is gone.

    def _reclaim(self, now_ns: int, grow: float) -> bool:
        """Stall the balloon, or kill; return whether memory was freed by that."""
        balloon = self._balloon
        if grow > 0.0:
            self._kill_consumer(now_ns)
            return True
        if balloon.stalled_ns is None:
            balloon.stalled_ns = now_ns
            self._tell(now_ns, "balloon_stuck", "the balloon finds no free page")
        elif now_ns - balloon.stalled_ns >= _DAEMON_PATIENCE_NS and not self.spec.deflate_on_oom:
            if self._sizes.consumer.kib > 0.0:
                self._kill_consumer(now_ns)
                return True
            if self._sizes.killable_kib():
                self._kill_daemon(now_ns)
                return True
        balloon.wait(now_ns)
        return False

    def _kill_consumer(self, now_ns: int) -> None:
        self._end_load(now_ns, "oom_kill", "the OOM killer ended the consumer")

    def _kill_daemon(self, now_ns: int) -> None:
        freed_kib = self._sizes.end_daemon()
        self._balloon.stalled_ns = now_ns
        self._tell(
            now_ns, "oom_kill", "drained: the OOM killer ended a daemon", freed_kib=freed_kib
        )

    # Loads that end.

    def _release(self, now_ns: int) -> None:
        self._settle(now_ns)
        self._end_load(now_ns, "load_end", "memory load freed all")
        self._plan(now_ns)

    def _end_load(self, now_ns: int, kind: str, detail: str) -> None:
        held_kib = int(self._sizes.consumer.kib)
        self._load.end()
        self._sizes.end_consumer()
        self._swapping = False
        self._balloon.retry()
        self._tell(now_ns, kind, detail, consumer_kib=held_kib)

    def _tell(self, now_ns: int, kind: str, detail: str, **values: int) -> None:
        known = {
            "actual_kib": int(self._sizes.actual.kib),
            "target_kib": self._balloon.target_kib,
            "max_kib": self._balloon.max_kib,
            "host_free_kib": self._host.free_kib,
        }
        self._on_event(EventRecord(now_ns, kind, self.spec.name, detail, {**known, **values}))
