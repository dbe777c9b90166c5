"""What the recorder samples each second, kept in few bytes until it becomes tracks.

vCPUs and pCPUs differ at each moment: one row of machine integers a sample. A guest's memory mostly
does not: a value is kept with the number of the sample from which on it held. On a large host the
rows come from the columns of its vCPUs, and guests whose memory rests are not looked at.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from virtlab.model.timeline import GuestTrack, VcpuTrack
from virtlab.simulator.columns import ColumnVcpu, VcpuColumns
from virtlab.simulator.host import SimulatedGuest, SimulatedHost
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["GuestSamples", "Rows"]


class Rows:
    """One row of integers a sample; each place in it becomes a series."""

    __slots__ = ("_kind", "_rows", "_width")

    def __init__(self, kind: str, width: int) -> None:
        """Take how an integer is kept, as the letter of `array`, and how many a row has."""
        self._kind = kind
        self._width = width
        self._rows: list[Any] = []

    def add(self, row: Any) -> None:
        """Keep a row: any integers, or an array that is not changed afterwards."""
        self._rows.append(array(self._kind, row) if isinstance(row, list) else row)

    def series(self) -> list[tuple[int, ...]]:
        """Return the series, in the order of a row."""
        if not self._rows:
            return [()] * self._width
        return list(zip(*[row.tolist() for row in self._rows], strict=True))


class GuestSamples:
    """All guests that a host declares, over time."""

    def __init__(self, host: SimulatedHost) -> None:
        """Take the host before it moves."""
        self._host = host
        guests = list(host.declared.values())
        # As declared: a client may rename a guest, or describe it anew.
        self._specs = [guest.spec for guest in guests]
        self._start_masks = [
            tuple(tuple(sorted(vcpu.mask)) for vcpu in guest.vcpus) for guest in guests
        ]
        self._count = 0
        self._memory = [_Memory(guest) for guest in guests]
        self._moving = self._memory
        self._changes = -1  # of the host's memory, when all guests were looked at
        # A client may change their number later: those beyond it rest, and stay in the record.
        vcpus = [(guest, vcpu) for guest in guests for vcpu in guest.vcpus]
        columns = host.scheduler.columns
        self._vcpus = _Vcpus(vcpus) if columns is None else _ColumnVcpus(columns, vcpus)

    def start_masks(self) -> Iterator[tuple[str, int, frozenset[int]]]:
        """Yield guest, number and first mask of each vCPU."""
        for spec, masks in zip(self._specs, self._start_masks, strict=True):
            for number, mask in enumerate(masks):
                yield spec.name, number, frozenset(mask)

    def add(self, now_ns: int) -> None:
        """Take a sample at a moment, to which the host has come."""
        changes = self._host.host_memory.changes  # guests that come and go are among them
        changed = changes != self._changes
        for memory in self._memory if changed else self._moving:
            memory.look(self._count, now_ns)
        if changed:
            self._changes = changes
            self._moving = [memory for memory in self._memory if memory.moves]
        self._vcpus.add(now_ns, guests_changed=changed)
        self._count += 1

    def tracks(self) -> Iterator[GuestTrack]:
        """Yield the tracks of all guests, in the host's order."""
        vcpus = self._vcpus.tracks()
        for spec, masks, memory in zip(self._specs, self._start_masks, self._memory, strict=True):
            running, actual, target, unused, consumer, rss = memory.series(self._count)
            yield GuestTrack(
                name=spec.name,
                memory_kib=spec.memory_kib,
                max_memory_kib=spec.max_memory_kib,
                vcpus=tuple([next(vcpus) for _ in masks]),
                start_masks=masks,
                running=running,
                actual_kib=actual,
                target_kib=target,
                unused_kib=unused,
                consumer_kib=consumer,
                rss_kib=rss,
            )


_Figures = tuple[bool, int, int, int, int, int]
_OFF: _Figures = (False, 0, 0, 0, 0, 0)


class _Memory:
    """One guest's memory, and whether it runs."""

    __slots__ = ("_guest", "_seen", "_since", "_values")

    def __init__(self, guest: SimulatedGuest) -> None:
        self._guest = guest
        self._seen: object = None
        self._values: list[_Figures] = []
        self._since: list[int] = []  # the sample from which on each value held

    @property
    def moves(self) -> bool:
        return self._guest.id >= 0 and not self._guest.memory.rests

    def look(self, count: int, now_ns: int) -> None:
        """Keep what there is to see at this sample, if that is anything new."""
        guest = self._guest
        memory = guest.memory
        seen = (memory, memory.changes, guest.id >= 0)
        if seen == self._seen and memory.rests:
            return
        self._seen = seen
        value = _OFF
        if guest.id >= 0:
            figures = memory.figures(now_ns)
            value = (
                *(True, figures.actual_kib, figures.target_kib, figures.unused_kib),
                *(figures.consumer_kib, figures.rss_kib),
            )
        if not self._values or value != self._values[-1]:
            self._values.append(value)
            self._since.append(count)

    def series(self, count: int) -> Sequence[tuple[Any, ...]]:
        """Return the series of so many samples."""
        ends = [*self._since[1:], count]
        rows = [
            value
            for value, since, end in zip(self._values, self._since, ends, strict=False)
            for _ in range(since, end)
        ]
        return list(zip(*rows, strict=True)) if rows else [()] * len(_OFF)


class _Vcpus:
    """vCPUs, each asked by itself."""

    def __init__(self, vcpus: Sequence[tuple[SimulatedGuest, SimulatedVcpu]]) -> None:
        self._pairs = vcpus
        self._run, self._delay, self._pcpu, self._loaded = (
            Rows(kind, len(vcpus)) for kind in ("q", "q", "i", "b")
        )

    def add(self, now_ns: int, *, guests_changed: bool) -> None:
        """Take a sample; say whether a guest may have come or gone since the last one."""
        pairs = self._pairs
        self._run.add([vcpu.run_ns() for _, vcpu in pairs])
        self._delay.add([vcpu.delay_ns() for _, vcpu in pairs])
        self._pcpu.add([vcpu.pcpu if guest.id >= 0 else -1 for guest, vcpu in pairs])
        self._loaded.add([vcpu.loaded for _, vcpu in pairs])

    def tracks(self) -> Iterator[VcpuTrack]:
        """Yield the tracks of all."""
        pcpus, loaded = self._pcpu.series(), self._loaded.series()
        found = zip(self._run.series(), self._delay.series(), pcpus, loaded, strict=True)
        for run_ns, delay_ns, pcpu, loads in found:
            yield VcpuTrack(run_ns, delay_ns, pcpu, tuple(map(bool, loads)))


class _ColumnVcpus(_Vcpus):
    """vCPUs that stand in columns."""

    def __init__(
        self, columns: VcpuColumns, vcpus: Sequence[tuple[SimulatedGuest, SimulatedVcpu]]
    ) -> None:
        super().__init__(vcpus)
        self._columns = columns
        rows = [vcpu.row for _, vcpu in vcpus if isinstance(vcpu, ColumnVcpu)]
        self._rows = columns.np.array(rows, columns.np.int64)
        self._running = self._rows < 0

    def add(self, now_ns: int, *, guests_changed: bool) -> None:
        """Take a sample, as for vCPUs one by one."""
        np, rows = self._columns.np, self._rows
        if guests_changed:
            self._running = np.array([guest.id >= 0 for guest, _ in self._pairs], bool)
        run_ns, delay_ns, _ = self._columns.live(now_ns)
        self._run.add(run_ns[rows])
        self._delay.add(delay_ns[rows])
        self._pcpu.add(np.where(self._running, self._columns["pcpu"][rows], -1).astype(np.int32))
        loaded = (self._columns["duty"][rows] > 0.0) & (self._columns["powered"][rows] > 0)
        self._loaded.add(loaded)
