"""The vCPUs of a large host as columns of numbers, which numpy changes for all of them at once.

`ColumnVcpu` is a vCPU whose rates and counters stand in these columns, so that whatever looks at
one vCPU, or changes it, works as everywhere; `VcpuColumns` does for all of them what happens each
second: draw the noise, write down what ran, set the new rates. Values and random streams are those
of `SimulatedVcpu`, to the last bit.

Row 0 belongs to nobody: it fills the seats of pCPUs that have fewer vCPUs than others. It wants
nothing, and what it is given is never looked at. Rows of vCPUs that go for ever are given to new
ones, so that a host at which guests come and go stays as large as its guests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from virtlab.simulator.cpu_law import EQUAL_WEIGHT, SEATS_MAX
from virtlab.simulator.mask_numbers import MaskNumbers
from virtlab.simulator.noise_tables import NoiseTables
from virtlab.simulator.vcpu import SimulatedVcpu

if TYPE_CHECKING:
    from random import Random

    from virtlab.simulator.engine import EventQueue

__all__ = ["ColumnVcpu", "VcpuColumns"]

_AHEAD: Final = 32  # random numbers taken from a stream at once
_BITS: Final = 64  # that `random` takes from a stream for each
_FIRST: Final = 4096


def _silent(_bits: int) -> int:
    """Stand for the random stream of nobody."""
    return 0


class VcpuColumns:
    """Rates, counters and noise of all vCPUs, by their row."""

    def __init__(self, np: Any, pcpus: int) -> None:
        """Take numpy and the number of pCPUs."""
        self.np = np
        self._size = 0
        self._used = 1
        self._free: list[int] = []  # rows below that which are nobody's
        self._in_order = True  # rows are in the order of their vCPUs' numbers
        self._arrays: dict[str, Any] = {}
        self._streams: list[Callable[[int], int]] = [_silent]
        self._pcpus = pcpus
        self._tables = NoiseTables(np)
        self._ahead = np.zeros((0, _AHEAD))
        self._seats = np.zeros((SEATS_MAX, pcpus), np.int64)
        self.vcpus: list[Any] = [None]  # by their rows
        self.masks = MaskNumbers()
        self._grow()
        self.weight[0] = EQUAL_WEIGHT

    def __getitem__(self, name: str) -> Any:
        """Return a column."""
        return self._arrays[name]

    def row_for(self, vcpu: ColumnVcpu, stream: Callable[[int], int]) -> int:
        """Return a row for a vCPU with this stream of random bits."""
        if self._free:
            row = self._free.pop()
            self._in_order = False
            self._streams[row], self.vcpus[row] = stream, vcpu
        else:
            if self._used == self._size:
                self._grow()
            row, self._used = self._used, self._used + 1
            self._streams.append(stream)
            self.vcpus.append(vcpu)
        self.drawn[row] = _AHEAD
        return row

    def release(self, vcpu: ColumnVcpu) -> None:
        """Take the row of a vCPU back that goes for ever; it keeps its figures by itself."""
        row = vcpu.row
        self.masks.change(self.mask[row], None)
        self.set_levels(row, ())
        vcpu.columns, vcpu.row = _OwnFigures(self, row), 0
        for array in self._arrays.values():
            array[row] = 0
        self._streams[row], self.vcpus[row] = _silent, None
        self._free.append(row)

    def set_levels(self, row: int, levels: tuple[float, ...]) -> None:
        """Say what a vCPU may want, each with the same chance; one level or none is not drawn."""
        self.table[row] = self._tables.change(self.table[row], levels)

    def draw(self, row: int) -> float:
        """Return the next number of one vCPU's stream."""
        if self.drawn[row] == _AHEAD:
            self._refill([row])
        self.drawn[row] += 1
        return float(self._ahead[row, self.drawn[row] - 1])

    def draw_all(self) -> list[int]:
        """Draw what everybody wants in the next second; return the pCPUs where that changed."""
        np = self.np
        columns = self._arrays
        counts = self._tables.counts[columns["table"]]
        rows = np.flatnonzero((counts > 1) & columns["powered"])
        at = columns["drawn"][rows]
        if (empty := rows[at == _AHEAD]).size:
            self._refill(empty.tolist())
            at = columns["drawn"][rows]
        columns["drawn"][rows] = at + 1
        chosen = (self._ahead[rows, at] * counts[rows]).astype(np.int64)
        wanted = self._tables.values[columns["table"][rows], chosen]
        changed = wanted != columns["duty_now"][rows]
        rows = rows[changed]
        columns["duty_now"][rows] = columns["demand"][rows] = wanted[changed]
        here = np.zeros(self._pcpus, bool)
        here[columns["pcpu"][rows]] = True
        dirty: list[int] = np.flatnonzero(here).tolist()
        return dirty

    def seat(self, pcpu: int, rows: Sequence[int]) -> None:
        """Note who sits on a pCPU, in the order of their numbers."""
        self._seats[:, pcpu] = 0
        self._seats[: len(rows), pcpu] = rows

    def seats(self, pcpus: Sequence[int] | slice, longest: int) -> Any:
        """Return the rows of those who sit on pCPUs, one column a pCPU."""
        return self._seats[:longest, pcpus]

    def seated(self) -> tuple[Any, Any]:
        """Return the rows of all who sit somewhere, pCPU by pCPU in their order, and the pCPUs."""
        np = self.np
        rows = np.flatnonzero(self._arrays["powered"])
        if not self._in_order:
            rows = rows[np.argsort(self._arrays["number"][rows])]
        pcpus = self._arrays["pcpu"][rows]
        order = np.argsort(pcpus.astype(np.uint16), kind="stable")  # short numbers sort faster
        return rows[order], pcpus[order]

    def seat_all(self, rows: Any, places: Any, pcpus: Any) -> None:
        """Note the place in which each row sits on its pCPU, as far as there are seats."""
        fits = places < SEATS_MAX
        self._seats[:] = 0
        self._seats[places[fits], pcpus[fits]] = rows[fits]

    def leave(
        self, rows: Sequence[int], targets: Sequence[int], now_ns: int
    ) -> tuple[list[int], list[int]]:
        """Move vCPUs to other pCPUs; return where they were, and what they ran there in ns."""
        columns = self._arrays
        at = self.np.array(rows)
        sources: list[int] = columns["pcpu"][at].tolist()
        self.take_rates(at, 0.0, 0.0, now_ns)
        ran_ns: list[int] = (columns["run_ns"][at] - columns["seated_run_ns"][at]).tolist()
        columns["seated_run_ns"][at] = columns["run_ns"][at]
        columns["pcpu"][at] = targets
        return sources, ran_ns

    def take_rates(self, rows: Any, run: Any, wait: Any, now_ns: int) -> None:
        """Write down what these vCPUs got, as `SimulatedVcpu.settle` does, and set new rates."""
        columns, integer = self._arrays, self.np.int64
        span_ns = now_ns - columns["since_ns"][rows]
        columns["run_ns"][rows] += (columns["run_rate"][rows] * span_ns).astype(integer)
        columns["delay_ns"][rows] += (columns["wait_rate"][rows] * span_ns).astype(integer)
        columns["since_ns"][rows] = now_ns
        columns["run_rate"][rows] = run
        columns["wait_rate"][rows] = wait

    def live(self, now_ns: int) -> tuple[Any, Any, Any]:
        """Return, by row, time run and time waited at a moment in ns, and who was halted."""
        np = self.np
        columns = self._arrays
        run_rate, wait_rate = columns["run_rate"], columns["wait_rate"]
        span_ns = now_ns - columns["since_ns"]
        run_ns = columns["run_ns"] + (run_rate * span_ns).astype(np.int64)
        delay_ns = columns["delay_ns"] + (wait_rate * span_ns).astype(np.int64)
        return run_ns, delay_ns, run_rate + wait_rate < 0.5

    def threads(self, now_ns: int) -> tuple[Any, Any, Any]:
        """Return the same of the present threads, which began with their guests' processes."""
        run_ns, delay_ns, halted = self.live(now_ns)
        columns = self._arrays
        return run_ns - columns["before_run_ns"], delay_ns - columns["before_delay_ns"], halted

    def busy_ns(self, now_ns: int, pcpus: int) -> list[int]:
        """Return what those who sit on each pCPU ran there so far."""
        np = self.np
        run_ns, _, _ = self.live(now_ns)
        here_ns = np.where(self._arrays["powered"], run_ns - self._arrays["seated_run_ns"], 0)
        sums = np.zeros(pcpus, np.int64)
        np.add.at(sums, self._arrays["pcpu"], here_ns)
        busy_ns: list[int] = sums.tolist()
        return busy_ns

    def _refill(self, rows: list[int]) -> None:
        """Take the next numbers of streams, those that `random` would return one by one."""
        streams, bits = self._streams, _AHEAD * _BITS
        taken = b"".join([streams[row](bits).to_bytes(bits // 8, "little") for row in rows])
        words = self.np.frombuffer(taken, "<u4").reshape(-1, _AHEAD, 2)
        # Python's random(): 27 bits of one word and 26 of the next, over 2**53.
        whole = (words[:, :, 0] >> 5) * float(1 << 26) + (words[:, :, 1] >> 6)
        self._ahead[rows] = whole / float(1 << 53)
        self._arrays["drawn"][rows] = 0

    def _grow(self) -> None:
        """Make room for more rows; views of single values are taken anew."""
        np = self.np
        self._size = max(2 * self._size, _FIRST)
        for name in _FLOATS + _INTEGERS:
            kind = np.float64 if name in _FLOATS else np.int64
            array = np.zeros(self._size, kind)
            if name in self._arrays:
                array[: self._used] = self._arrays[name]
            self._arrays[name] = array
            setattr(self, name, memoryview(array))
        ahead = np.zeros((self._size, _AHEAD))
        ahead[: len(self._ahead)] = self._ahead
        self._ahead = ahead

    # Views of the columns, for one value at a time; those of floats first.
    run_rate: Any
    wait_rate: Any
    duty: Any
    demand: Any
    duty_now: Any
    speed: Any
    base_speed: Any
    quota: Any
    run_ns: memoryview
    delay_ns: memoryview
    since_ns: memoryview
    seated_run_ns: memoryview
    before_run_ns: memoryview
    before_delay_ns: memoryview
    powered: memoryview
    growing: memoryview
    batch: memoryview
    mask: memoryview
    beat_ns: memoryview
    pcpu: memoryview
    table: memoryview
    drawn: memoryview
    weight: memoryview
    company_ppm: memoryview
    family: memoryview
    limited: memoryview
    number: memoryview


_FLOATS = ("run_rate", "wait_rate", "duty", "demand", "duty_now", "speed", "base_speed", "quota")
_INTEGERS = (
    *("run_ns", "delay_ns", "since_ns", "seated_run_ns", "before_run_ns", "before_delay_ns"),
    *("powered", "growing", "batch", "mask", "pcpu", "table", "drawn", "beat_ns"),
    *("weight", "company_ppm", "family", "limited", "number"),
)


class _OwnFigures:
    """The figures of one vCPU that has no row any more, as row 0: nothing changes them."""

    def __init__(self, columns: VcpuColumns, row: int) -> None:
        for name in _FLOATS + _INTEGERS:
            setattr(self, name, [getattr(columns, name)[row]])


def _in_column(name: str) -> Any:
    """Return an attribute that stands in a column."""

    def read(vcpu: ColumnVcpu) -> Any:
        return getattr(vcpu.columns, name)[vcpu.row]

    def write(vcpu: ColumnVcpu, value: Any) -> None:
        getattr(vcpu.columns, name)[vcpu.row] = value

    return property(read, write)


class ColumnVcpu(SimulatedVcpu):
    """A vCPU whose figures stand in the columns of its host."""

    __slots__ = ("_own_levels", "columns", "row")

    def __init__(
        self, columns: VcpuColumns, name: str, index: int, number: int, mask: frozenset[int],
        pcpus: int, queue: EventQueue, noise: Random, noise_max: float,
    ) -> None:  # fmt: skip
        """Take the columns of the host, and what every vCPU takes."""
        self.columns: Any = columns  # or its own figures, once it is gone
        self.row = columns.row_for(self, noise.getrandbits)
        super().__init__(name, index, number, mask, pcpus, queue, noise, noise_max)
        columns.number[self.row] = number
        self.draw = lambda: columns.draw(self.row)

    run_rate = _in_column("run_rate")
    wait_rate = _in_column("wait_rate")
    duty = _in_column("duty")
    demand = _in_column("demand")
    duty_now = _in_column("duty_now")
    speed = _in_column("speed")
    base_speed = _in_column("base_speed")
    quota = _in_column("quota")
    pcpu = _in_column("pcpu")
    powered = _in_column("powered")
    growing = _in_column("growing")
    batch = _in_column("batch")
    beat_ns = _in_column("beat_ns")
    weight = _in_column("weight")
    company_ppm = _in_column("company_ppm")
    family = _in_column("family")
    limited = _in_column("limited")
    _run_ns = _in_column("run_ns")
    _delay_ns = _in_column("delay_ns")
    _since_ns = _in_column("since_ns")
    _seated_run_ns = _in_column("seated_run_ns")
    _before_run_ns = _in_column("before_run_ns")
    _before_delay_ns = _in_column("before_delay_ns")

    def settle(self, now_ns: int) -> None:
        """Write down what the rates have brought so far."""
        columns, row = self.columns, self.row
        span_ns = now_ns - columns.since_ns[row]
        columns.since_ns[row] = now_ns
        run_rate = columns.run_rate[row]
        columns.run_ns[row] += int(run_rate * span_ns)
        columns.delay_ns[row] += int(columns.wait_rate[row] * span_ns)
        if self.batch:
            self.batch_left_ns -= run_rate * span_ns * columns.speed[row]

    def leave(self, now_ns: int) -> int:
        """Write down what it ran on its pCPU, which it leaves now; return that."""
        self.settle(now_ns)
        columns, row = self.columns, self.row
        columns.run_rate[row] = columns.wait_rate[row] = 0.0
        run_ns = columns.run_ns[row]
        ran_ns: int = run_ns - columns.seated_run_ns[row]
        columns.seated_run_ns[row] = run_ns
        self.left(columns.pcpu[row], ran_ns)
        return ran_ns

    def note_roaming(self) -> None:
        """Work out `free` and `roams` from mask and duty."""
        super().note_roaming()
        columns, row = self.columns, self.row
        mask = self.permitted if self.roams else None
        columns.mask[row] = columns.masks.change(columns.mask[row], mask)

    def _get_levels(self) -> tuple[float, ...]:
        return self._own_levels

    def _set_levels(self, levels: tuple[float, ...]) -> None:
        self._own_levels = levels
        self.columns.set_levels(self.row, levels)

    levels = property(_get_levels, _set_levels)
