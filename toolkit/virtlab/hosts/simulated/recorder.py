"""The recorder: moves the simulated host on, and writes down what happens to it.

Samples are taken at each whole second, time 0 included, after the host's own events of that
instant and before anything the program does at it. Records end with the scenario's duration: a
program that is slow to leave changes nothing any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from virtlab.hosts.blank_timeline import blank_timeline
from virtlab.hosts.call_log import CallLog
from virtlab.hosts.interference import attributed, interference
from virtlab.hosts.simulated.samples import GuestSamples, Rows
from virtlab.libvirt_rpc.call import Call
from virtlab.model.scenario import PinVcpu, Scenario, SetMemory
from virtlab.model.timeline import (
    Actor,
    ClockKind,
    EventRecord,
    MemoryCall,
    PinCall,
    ProgramOutcome,
    Timeline,
)
from virtlab.model.units import NS_PER_S
from virtlab.simulator.host import SimulatedHost

__all__ = ["Recorder"]

_NEVER: Final = 1 << 62


class Recorder:
    """Advances a simulated host and collects the timeline of one run."""

    def __init__(
        self,
        host: SimulatedHost,
        scenario: Scenario,
        *,
        seed: int | None = None,
        first_calls: int = 5_000,
        last_calls: int = 200,
    ) -> None:
        """Take over the host's `on_event`; build it before the host moves.

        Its guests are those of the scenario; what a client defines later is not recorded.

        Args:
            host: the host to move and to watch.
            scenario: what it runs.
            seed: of the run; the scenario's own where None.
            first_calls: how many of the program's first calls are kept.
            last_calls: how many of its last calls are kept beside them.
        """
        self._host = host
        self._scenario = scenario
        self._seed = scenario.seed if seed is None else seed
        self._end_ns = scenario.duration_ns
        self._guests = GuestSamples(host)
        self._times_ns: list[int] = []
        self._busy_ns = Rows("q", scenario.host.pcpus)
        self._free_kib: list[int] = []
        self._swap_kib: list[int] = []
        self._pins: list[PinCall] = []
        self._memory_calls: list[MemoryCall] = []
        self._events: list[EventRecord] = []
        self._calls = CallLog(first_calls, last_calls)
        self._masks = {(name, n): mask for name, n, mask in self._guests.start_masks()}
        self._declared = {guest: name for name, guest in host.declared.items()}
        self._next_sample_ns = 0
        # What the scenario's administrator does is known beforehand, in time order.
        self._acts = deque(
            event
            for event in scenario.events
            if isinstance(event, PinVcpu | SetMemory) and event.time_ns <= self._end_ns
        )
        host.on_event = self.event

    def advance(self, until_ns: int) -> None:
        """Move the host on to an instant, sampling what lies on the way."""
        while True:
            act_ns = self._acts[0].time_ns if self._acts else _NEVER
            stop_ns = min(self._next_sample_ns, act_ns)
            if stop_ns > until_ns:
                break
            if act_ns == stop_ns:
                self._note_acts(stop_ns)
            self._host.advance(stop_ns)
            if self._next_sample_ns == stop_ns:
                self._sample(stop_ns)
        self._host.advance(until_ns)

    def pinned(self, guest: str, vcpu: int, pcpus: frozenset[int], effective: bool) -> None:
        """Note an affinity that the program set, at the host's now."""
        now_ns = self._host.now_ns
        name = self._declared_name(guest)
        if now_ns <= self._end_ns and name is not None and (name, vcpu) in self._masks:
            self._masks[name, vcpu] = pcpus
            self._add_pin(now_ns, name, vcpu, pcpus, effective, "program")

    def memory_set(self, guest: str, target_kib: int) -> None:
        """Note a balloon target that the program set, at the host's now."""
        now_ns = self._host.now_ns
        name = self._declared_name(guest)
        if now_ns <= self._end_ns and name is not None:
            self._memory_calls.append(MemoryCall(now_ns, name, target_kib, "program"))

    def started(self, guest: str, masks: Sequence[frozenset[int]]) -> None:
        """Note the affinities with which a guest started, where they are others than before."""
        now_ns = self._host.now_ns
        name = self._declared_name(guest)
        if name is None or now_ns > self._end_ns:
            return
        for vcpu, mask in enumerate(masks):
            if self._masks.get((name, vcpu), mask) != mask:
                self._masks[name, vcpu] = mask
                self._add_pin(now_ns, name, vcpu, mask, True, "scenario")

    def event(self, record: EventRecord) -> None:
        """Note something that happened to the host or to a guest."""
        name = None if record.guest is None else self._declared_name(record.guest)
        known = record.guest is None or name is not None
        if known and record.time_ns <= self._end_ns:
            named = replace(record, guest=name)
            self._events.append(attributed(named, self._scenario.events))

    def call(self, call: Call, error: str | None, time_ns: int) -> None:
        """Note one libvirt call."""
        if time_ns <= self._end_ns:
            self._calls.add(time_ns, call, error)
            if error is None and (act := interference(call, time_ns)) is not None:
                self.event(replace(act, guest=self._present_name(call)))

    def timeline(
        self, outcome: ProgramOutcome, *, clock: ClockKind = "lockstep", pace: float = 1.0
    ) -> Timeline:
        """Return everything that was recorded so far, as one value."""
        return replace(
            blank_timeline(self._scenario, self._seed, outcome),
            times_ns=tuple(self._times_ns),
            pcpu_busy_ns=tuple(self._busy_ns.series()),
            host_free_kib=tuple(self._free_kib),
            host_swap_kib=tuple(self._swap_kib),
            guests=tuple(self._guests.tracks()),
            pins=tuple(self._pins),
            memory_calls=tuple(self._memory_calls),
            events=tuple(self._events),
            calls=self._calls.records(),
            calls_total=self._calls.total,
            clock=clock,
            pace=pace,
        )

    def _present_name(self, call: Call) -> str | None:
        """Return how the guest is called now that a call is about, whatever its handle says."""
        uuid, guests = call.args.dom.uuid, self._host.guests.values()
        return next((guest.name for guest in guests if guest.uuid == uuid), call.guest)

    def _declared_name(self, name: str) -> str | None:
        """Return how the scenario calls the guest that has a name now; None: it has none such.

        A client may rename guests, and define another one under a name that is free then.
        """
        guest = self._host.guests.get(name) or self._host.declared.get(name)
        return None if guest is None or guest.name != name else self._declared.get(guest)

    def _sample(self, now_ns: int) -> None:
        self._times_ns.append(now_ns)
        self._busy_ns.add(self._host.pcpu_busy_ns())
        memory = self._host.memory()
        self._free_kib.append(memory.free_kib)
        self._swap_kib.append(memory.swap_used_kib)
        self._guests.add(now_ns)
        next_ns = now_ns + NS_PER_S
        self._next_sample_ns = next_ns if next_ns <= self._end_ns else _NEVER

    def _note_acts(self, now_ns: int) -> None:
        while self._acts and self._acts[0].time_ns == now_ns:
            act = self._acts.popleft()
            if isinstance(act, SetMemory):
                self._memory_calls.append(MemoryCall(now_ns, act.guest, act.memory_kib, "scenario"))
                continue
            pcpus = frozenset(act.pcpus)
            effective = self._masks[act.guest, act.vcpu] != pcpus
            self._masks[act.guest, act.vcpu] = pcpus
            self._add_pin(now_ns, act.guest, act.vcpu, pcpus, effective, "scenario")

    def _add_pin(
        self,
        now_ns: int,
        guest: str,
        vcpu: int,
        pcpus: frozenset[int],
        effective: bool,
        by: Actor,
    ) -> None:
        self._pins.append(PinCall(now_ns, guest, vcpu, tuple(sorted(pcpus)), effective, by))
