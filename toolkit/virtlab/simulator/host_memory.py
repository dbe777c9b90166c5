"""The host's memory: what its guests hold, what is free, and what happens when nothing is.

A guest costs the host its resident memory (rss), and nothing else. Where free memory would fall
below a small reserve, the host swaps guests out; once swap is full as well it freezes, and with it
all guests: there is nothing left that it could do without memory. A real kernel would first try
its own OOM killer; a host on which that runs is lost for its guests too.

Where the host says how fast its swap is, guests that touch new pages while it swaps wait for it:
each page that comes needs one that goes, so that together they touch no more than it writes, each
slowed alike. Loops that compute keep their few pages, which are the last to be swapped out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from virtlab.model.scenario import HOST_RESERVE_KIB, HostSpec
from virtlab.model.timeline import EventRecord
from virtlab.model.units import EPOCH_S, NS_PER_S
from virtlab.simulator.cpu_law import added
from virtlab.simulator.engine import EventHandle, EventQueue, Priority

__all__ = ["HOST_RESERVE_KIB", "HostMemory", "Resident"]

# Parts of the host's own memory that it calls buffers and page cache; they follow no load here.
_BUFFERS_SHARE: Final = 64
_CACHED_SHARE: Final = 4


class Resident(Protocol):
    """Something that holds memory of the host, at a constant rate until it says otherwise."""

    def rss_at(self, now_ns: int) -> int:
        """Return what it holds, in KiB."""

    def rss_rate(self) -> float:
        """Return how fast that grows, in KiB/ns."""

    def touch_rate(self) -> float:
        """Return how fast it would touch new pages if nothing slowed it, in KiB/ns."""

    def repace(self, now_ns: int) -> None:
        """Take on the host's new pace."""


class HostMemory:
    """The host's memory in virtual time."""

    def __init__(
        self, spec: HostSpec, queue: EventQueue, on_event: Callable[[EventRecord], None]
    ) -> None:
        """Take the machine, the host's events, and who is told of swapping and freezing."""
        self.frozen = False
        self.stats_before_period = spec.stats_before_period
        self.balloon = spec.balloon
        self.balloon_batches = spec.balloon_batches
        self.pace = 1.0  # of all that touch new pages
        self.clock_step_ns = 0  # by how much the calendar clock was set off
        self._repacing = False
        self.buffers_kib = spec.used_kib // _BUFFERS_SHARE
        self.cached_kib = spec.used_kib // _CACHED_SHARE
        self._spec = spec
        self._queue = queue
        self._on_event = on_event
        # In the order in which they came. Those that hold what they hold are summed up once; the
        # others are asked anew each time, so that a look costs what moves and not what is there.
        self._residents: dict[Resident, int] = {}
        self._last = 0
        self.changes = 0  # grows with each of theirs
        self._still: dict[Resident, int] = {}
        self._still_kib = 0
        self._moving: dict[Resident, int] = {}
        self._swapped = False
        self._swap_kib = self._swapped_out_kib = 0  # in it, and ever written to it, at `changed`
        self._crossing: EventHandle | None = None

    @property
    def pool_kib(self) -> int:
        """Return what guests may hold together before the host swaps."""
        return self._spec.memory_kib - self._spec.used_kib - HOST_RESERVE_KIB

    @property
    def free_kib(self) -> int:
        """Return the host's free memory; swapping keeps the reserve free."""
        left_kib = self._spec.memory_kib - self._spec.used_kib - self.held_kib()
        return max(left_kib, min(HOST_RESERVE_KIB, self._spec.memory_kib))

    @property
    def swap_used_kib(self) -> int:
        """Return how much of the guests' memory lies in swap."""
        return min(max(self.held_kib() - self.pool_kib, 0), self._spec.swap_kib)

    @property
    def swapped_out_kib(self) -> int:
        """Return how much was ever written to swap, cumulative."""
        return self._swapped_out_kib + max(self.swap_used_kib - self._swap_kib, 0)

    def calendar_s(self, now_ns: int) -> int:
        """Return what the host's calendar clock shows, in whole seconds."""
        return EPOCH_S + (now_ns + self.clock_step_ns) // NS_PER_S

    def held_kib(self) -> int:
        """Return what the guests hold, resident or swapped out."""
        now_ns = self._queue.now_ns
        return self._still_kib + sum([resident.rss_at(now_ns) for resident in self._moving])

    def join(self, resident: Resident) -> None:
        """Take in a guest that boots."""
        self._last += 1
        self.changes += 1
        self._residents[resident] = self._moving[resident] = self._last
        self.changed()

    def leave(self, resident: Resident) -> None:
        """Get back all that a guest held."""
        self.moves(resident)
        del self._residents[resident]
        del self._moving[resident]
        self.changed()

    def moves(self, resident: Resident) -> None:
        """Take note that what a guest holds is about to change; `changed` ends that."""
        self.changes += 1
        if resident in self._still:
            self._still_kib -= self._still.pop(resident)
            self._moving[resident] = self._residents[resident]

    def changed(self, resident: Resident | None = None) -> None:
        """Look again at when memory, or swap, will be used up; a guest's rate has changed."""
        if resident is not None and resident in self._moving and resident.rss_rate() == 0.0:
            del self._moving[resident]
            held_kib = self._still[resident] = resident.rss_at(self._queue.now_ns)
            self._still_kib += held_kib
        self._queue.cancel(self._crossing)
        self._crossing = None
        if self.frozen:
            return
        held_kib = self.held_kib()
        self._judge(held_kib)
        if self._spec.swap_kib_s is not None and self._due_pace() != self.pace:
            self._plan_pace()
        # In their order, as sums of floats depend on it.
        moving = sorted(self._moving, key=self._moving.__getitem__)
        rate = added([resident.rss_rate() for resident in moving])
        if rate <= 0.0 or self.frozen:
            return
        limit_kib = self.pool_kib + (self._spec.swap_kib if self._swapped else 0)
        left_ns = max(int((limit_kib + 1 - held_kib) / rate) + 1, 1)
        self._crossing = self._queue.schedule(
            self._queue.now_ns + left_ns, Priority.MEMORY, lambda _now: self.changed()
        )

    def _due_pace(self) -> float:
        """Return the pace at which swap keeps up with all that is touched."""
        if not self._swapped:
            return 1.0
        wanted = added([resident.touch_rate() for resident in self._residents])
        speed = (self._spec.swap_kib_s or 0) / NS_PER_S
        return speed / wanted if wanted > speed else 1.0

    def _plan_pace(self) -> None:
        """Have it set at the end of this step: a guest is just working out its rates."""
        if not self._repacing:
            self._repacing = True
            self._queue.schedule(self._queue.now_ns, Priority.MEMORY, self._set_pace)

    def _set_pace(self, now_ns: int) -> None:
        self._repacing = False
        self.pace = self._due_pace()
        for resident in list(self._residents):
            resident.repace(now_ns)

    def _judge(self, held_kib: int) -> None:
        over_kib = held_kib - self.pool_kib
        swap_kib = min(max(over_kib, 0), self._spec.swap_kib)
        self._swapped_out_kib += max(swap_kib - self._swap_kib, 0)
        self._swap_kib = swap_kib
        now_ns = self._queue.now_ns
        if over_kib > 0 and not self._swapped:
            self._swapped = True
            if self._spec.swap_kib:
                held = {"held_kib": held_kib}
                detail = "the host began to swap"
                self._on_event(EventRecord(now_ns, "host_swap", None, detail, held))
        elif over_kib <= 0:
            self._swapped = False
        if over_kib > self._spec.swap_kib:
            self.frozen = True
            self._on_event(
                EventRecord(
                    now_ns,
                    "host_frozen",
                    None,
                    "the host ran out of memory and swap",
                    {"held_kib": held_kib, "swap_kib": self._spec.swap_kib},
                )
            )
