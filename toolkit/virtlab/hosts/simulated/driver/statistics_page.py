"""A whole reply of bulk statistics of a large host, kept and brought up to date.

Of a thousand guests nearly everything is the same from one call to the next: names, types, states,
mostly memory. What their vCPUs ran is not, but it stands in columns, and its place in the reply is
known. So the reply of the last call is kept; guests whose stamp is another are written anew, and
the times of all vCPUs are worked out and put in their places, one array operation each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from virtlab.hosts.simulated.driver.values import TICK_NS
from virtlab.libvirt_rpc.typed import StatsLayout
from virtlab.libvirt_rpc.xdr import Encoded
from virtlab.simulator.columns import ColumnVcpu, VcpuColumns
from virtlab.simulator.emulator_law import EMULATOR_SHARE
from virtlab.simulator.guest import SYSTEM_SHARE
from virtlab.simulator.host import SimulatedGuest

__all__ = ["StatisticsPage"]

_COUNT = struct.Struct(">I")
_LOW_WORD: Final = 0xFFFFFFFF

Describe = Callable[[SimulatedGuest], tuple[Encoded, StatsLayout]]


class StatisticsPage:
    """The records of these guests with these groups, as an encoded list."""

    def __init__(
        self,
        columns: VcpuColumns,
        guests: list[SimulatedGuest],
        groups: int,
        describe: Describe,
        stamp: Callable[[SimulatedGuest], object],
    ) -> None:
        """Take the guests, and how one is described.

        Args:
            columns: what all vCPUs of the host ran.
            guests: in the order of the reply.
            groups: that the records hold.
            describe: returns a guest's record and its layout.
            stamp: returns a value that is another when the record is, but for times of vCPUs.
        """
        self.guests = guests
        self.groups = groups
        self._columns = columns
        self._describe = describe
        self._stamp = stamp
        self._changes: object = None
        self._restless: Sequence[int] = ()
        self._build()

    def filled(self, now_ns: int, changes: object) -> Encoded:
        """Return the encoded list as it is at this moment.

        `changes` is the same as long as nothing happened: then only those guests are looked at
        whose memory moves by itself.
        """
        everything: Sequence[int] = range(len(self.guests))
        for number in self._restless if changes == self._changes else everything:
            guest = self.guests[number]
            stamp = self._stamp(guest)
            if stamp == self._stamps[number]:
                continue
            record, layout = self._describe(guest)
            first, last = self._spans[number]
            if layout is not self._layouts[number] or len(record.data) != last - first:
                self._build()
                break
            self._bytes[first:last] = record.data
            self._stamps[number] = stamp
        if changes != self._changes:
            self._changes = changes
            self._restless = [n for n in everything if self.guests[n].memory.restless]
        self._fill(now_ns)
        return Encoded(bytes(self._bytes))

    def _build(self) -> None:
        np = self._columns.np
        records, self._layouts, self._spans, self._stamps = [], list[StatsLayout](), [], []
        at = _COUNT.size
        for guest in self.guests:
            record, layout = self._describe(guest)
            records.append(record.data)
            self._layouts.append(layout)
            self._spans.append((at, at + len(record.data)))
            self._stamps.append(self._stamp(guest))
            at += len(record.data)
        self._bytes = bytearray(_COUNT.pack(len(records)) + b"".join(records))
        self._words = np.frombuffer(self._bytes, ">u4")
        self._note_places()

    def _note_places(self) -> None:
        """Note, in words, where each vCPU's and each guest's times stand."""
        np = self._columns.np
        offsets = {layout: layout.offsets() for layout in set(self._layouts)}
        rows, vcpus, firsts, guests = [], list[Sequence[int]](), [], list[Sequence[int]]()
        guest_rows: list[int] = []
        beside: list[float] = []  # what the emulator uses, over what is counted of the rows
        for guest, layout, (first, _) in zip(self.guests, self._layouts, self._spans, strict=True):
            if guest.id < 0:
                continue
            places = offsets[layout]
            start = first + _handle_size(guest)
            if "cpu.time" in places:
                firsts.append(len(guest_rows))
                guest_rows += [_row(vcpu) for vcpu in guest.threads]
                beside.append(EMULATOR_SHARE if guest.emulator is None else 0.0)
                guests.append([(start + places[f"cpu.{n}"]) // 4 for n in _GUEST_TIMES])
            for vcpu in guest.vcpus if "vcpu.0.time" in places else ():
                rows.append(_row(vcpu))
                vcpus.append(
                    [(start + places[f"vcpu.{vcpu.index}.{n}"]) // 4 for n in _VCPU_VALUES]
                )
        self._guest_rows = np.array(guest_rows, np.int64)
        self._beside = np.array(beside)
        self._rows = np.array(rows, np.int64)
        self._vcpu_places = np.array(vcpus, np.int64).reshape(-1, 3).T.copy()
        self._firsts = np.array(firsts, np.int64)
        self._guest_places = np.array(guests, np.int64).reshape(-1, 3).T.copy()

    def _fill(self, now_ns: int) -> None:
        np = self._columns.np
        run_ns, delay_ns, halted = self._columns.threads(now_ns)
        if self._rows.size:
            times, delays, flags = self._vcpu_places
            ran_ns = run_ns[self._rows]
            self._put(times, ran_ns - ran_ns % TICK_NS)
            self._put(delays, delay_ns[self._rows])
            self._words[flags] = halted[self._rows]
        if self._firsts.size:
            ran_ns = np.add.reduceat(run_ns[self._guest_rows], self._firsts)
            whole_ns = ran_ns + (ran_ns * self._beside).astype(np.int64)
            system_ns = (whole_ns * SYSTEM_SHARE).astype(np.int64)
            for places, values in zip(
                self._guest_places, (whole_ns, whole_ns - system_ns, system_ns), strict=True
            ):
                self._put(places, values)

    def _put(self, places: Any, values: Any) -> None:
        self._words[places] = values >> 32
        self._words[places + 1] = values & _LOW_WORD


_GUEST_TIMES = ("time", "user", "system")
_VCPU_VALUES = ("time", "delay", "halted")


def _row(vcpu: object) -> int:
    assert isinstance(vcpu, ColumnVcpu)
    return vcpu.row


def _handle_size(guest: SimulatedGuest) -> int:
    """Return the size of a guest's encoded handle: name, uuid and id."""
    length = len(guest.name.encode())
    return 4 + length + (-length & 3) + 16 + 4
