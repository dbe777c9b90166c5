"""The recorder of a real run: samples host and guests each second, by connections of its own.

It also plays the administrator of the scenario: loads, affinities and balloons that are due are set
when their moment has come. Nothing here waits; each second the figures are asked for, and when all
have come they become a row. A second whose figures do not come in time has no row.

A host can fail a run in ways that say nothing about the program. What ends it at once is `failed`;
what spoils it is among `spoilt`, and it goes on.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from virtlab.hosts.blank_timeline import blank_timeline
from virtlab.hosts.call_log import CallLog
from virtlab.hosts.interference import attributed
from virtlab.hosts.real.guest_record import GuestRecord, masks_of
from virtlab.hosts.real.host_record import (
    HostRecord,
    disturbed_by_load,
    mean_outside,
    outside_words,
)
from virtlab.hosts.real.link import HostLink
from virtlab.hosts.real.loads import GuestEnd, Loads, OnLoadEvent
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.criteria import limits_of
from virtlab.model.scenario import PinVcpu, Scenario, SetMemory, StartWorkload, StopWorkload
from virtlab.model.timeline import (
    Actor,
    EventRecord,
    MemoryCall,
    PinCall,
    ProgramOutcome,
    Timeline,
)
from virtlab.model.units import KIB_PER_MIB, NS_PER_S

__all__ = ["PATIENCE", "MakeLoads", "Patience", "RealRecorder", "criterion_here"]

_RETRY_NS: Final = NS_PER_S // 4
_LATE_NS: Final = 9 * NS_PER_S // 10  # a row's figures come within this, or it is left out
_MISSED_SHARE_MAX: Final = 0.1
_MAY_MISS: Final = "windows_missed_share_max"
_MOMENT_S: Final = 0.005
_SMALL_KIB: Final = 200 * KIB_PER_MIB  # below it a guest, or a host, may die of its size
_LIVE_FLAGS: Final = (0, 1, 3)  # of VIR_DOMAIN_AFFECT_*: those that reach the running guest
_MEMORY_MAXIMUM: Final = 4  # VIR_DOMAIN_MEM_MAXIMUM

MakeLoads = Callable[[Mapping[str, GuestEnd], OnLoadEvent], Loads]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a host may fail before it has failed."""

    away_s: int = 20  # libvirtd; its restart takes a second or two
    silent_s: int = 15  # QEMU's monitor
    stuck_s: int = 15  # a balloon, which moves at 0.25 GiB/s and more


PATIENCE: Final = Patience()


def criterion_here(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a criterion as it is judged on a real host: one window in ten may miss.

    What the scenario says itself stands.
    """
    if _MAY_MISS not in limits_of(asked["name"]):
        return asked
    return {**asked, "limits": {_MAY_MISS: _MISSED_SHARE_MAX, **asked["limits"]}}


class RealRecorder:
    """Collects the timeline of one run."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        socket: Path,
        scenario: Scenario,
        guests: Mapping[str, DomainHandle],
        pcpus: int,
        make_loads: MakeLoads,
        own_ns: Callable[[], int],
        *,
        seed: int,
        patience: Patience,
    ) -> None:
        """Connect.

        Args:
            selector: serves the connections.
            socket: libvirtd's.
            scenario: what is played and recorded.
            guests: how each of its guests is named on the wire.
            pcpus: of the host.
            make_loads: given how guests are reached and who is told, makes what runs in them.
            own_ns: gives the CPU time of the program and of the lab, cumulative.
            seed: of the run; on a real host it draws nothing.
            patience: with a host that fails.

        Raises:
            OSError: libvirtd does not listen.
        """
        self._selector = selector
        self._socket = socket
        self._scenario = scenario
        self._seed = seed
        self._own_ns = own_ns
        self._patience = patience
        self._end_ns = scenario.duration_ns
        self._now_ns = 0
        self.failed: str | None = None
        self.spoilt: list[str] = []
        self._host = HostRecord(pcpus)
        self._guests = {
            spec.name: GuestRecord(spec, guests[spec.name], pcpus, self._host.ran)
            for spec in scenario.guests
        }
        self._names = {dom.uuid: name for name, dom in guests.items()}
        self._host_link = HostLink(selector, socket, self._lost)
        self._ends = {
            name: GuestEnd(dom, HostLink(selector, socket, self._lost))
            for name, dom in guests.items()
        }
        self._loads = make_loads(self._ends, self._load_event)
        self._acts = deque(event for event in scenario.events if event.time_ns < self._end_ns)
        self._times_ns: list[int] = []
        self._pins: list[PinCall] = []
        self._memory_calls: list[MemoryCall] = []
        self._events: list[EventRecord] = []
        self._calls = CallLog()
        self._next_ns = 0
        self._asked_ns: int | None = None  # the sample whose figures are on their way
        self._away_since_ns: int | None = None
        self._retry_ns = 0
        self._moved_ns: dict[str, tuple[int, int]] = {}  # a balloon's size, and since when

    @property
    def calls_total(self) -> int:
        """Return how many calls the program has made."""
        return self._calls.total

    def advance(self, now_ns: int) -> None:
        """Do what is due at a moment of scenario time."""
        self._now_ns = now_ns
        if self._away_since_ns is not None:
            self._try_again()
            return
        while self._acts and self._acts[0].time_ns <= now_ns:
            self._act(self._acts.popleft())
        if self._asked_ns is not None:
            self._keep_if_complete()
        if now_ns >= self._next_ns and self._next_ns <= self._end_ns:
            self._ask()

    @property
    def patience_s(self) -> float:
        """Return how soon `advance` wants to be called again, in seconds."""
        if self._away_since_ns is not None:
            return _RETRY_NS / NS_PER_S
        if self._asked_ns is not None:
            return _MOMENT_S
        return max(self._next_ns - self._now_ns, 0) / NS_PER_S if not self.complete else 1.0

    @property
    def complete(self) -> bool:
        """Tell whether the last sample is there, or will not come."""
        return self._next_ns > self._end_ns and self._asked_ns is None

    def call(self, call: Call, error: str | None) -> None:
        """Note a call of the program's that was answered."""
        if self._now_ns > self._end_ns:
            return
        self._calls.add(self._now_ns, call, error)
        if error is not None or call.guest is None:
            return
        guest = self._names.get(call.args.dom.uuid)
        name, args = call.procedure.name, call.args
        if guest is None or getattr(args, "flags", 0) not in _LIVE_FLAGS:
            return
        if name in ("DOMAIN_PIN_VCPU", "DOMAIN_PIN_VCPU_FLAGS"):
            self._pinned(guest, args.vcpu, args.cpumap, "program")
        elif name in ("DOMAIN_SET_MEMORY", "DOMAIN_SET_MEMORY_FLAGS"):
            self._memory_set(guest, args.memory, "program")

    def spoil(self) -> list[str]:
        """Return what keeps a run that came to its end from being judged, in words."""
        found = list(dict.fromkeys(self.spoilt + self._loads.problems()))
        asked = self._end_ns // NS_PER_S + 1
        missed = asked - len(self._times_ns)
        if missed > _MISSED_SHARE_MAX * asked:
            found.append(f"the machine was too busy to be measured: {missed} of {asked} s")
        return found

    def disturbance(self, points_max: float) -> str | None:
        """Return how others disturbed the run, or None."""
        return disturbed_by_load(self._host.outside, points_max)

    def outside(self) -> str:
        """Return how much others used the host, as a sentence."""
        return outside_words(self._host.outside)

    def outside_percent(self) -> float | None:
        """Return the same as a figure; None where nothing was measured."""
        return mean_outside(self._host.outside)

    def timeline(self, outcome: ProgramOutcome) -> Timeline:
        """Return everything that was recorded so far."""
        busy_ns, free_kib, swap_kib = self._host.columns()
        blank = blank_timeline(self._scenario, self._seed, outcome)
        return replace(
            blank,
            criteria=tuple(criterion_here(asked) for asked in blank.criteria),
            pcpus=self._host.pcpus,
            times_ns=tuple(self._times_ns),
            pcpu_busy_ns=busy_ns,
            host_free_kib=free_kib,
            host_swap_kib=swap_kib,
            guests=tuple(record.track() for record in self._guests.values()),
            pins=tuple(self._pins),
            memory_calls=tuple(self._memory_calls),
            # What a sample shows is noted as of its moment, which is a little earlier.
            events=tuple(sorted(self._events, key=lambda event: event.time_ns)),
            calls=self._calls.records(),
            calls_total=self._calls.total,
            clock="real",
        )

    def close(self) -> None:
        """Hang up."""
        self._host_link.close()
        for end in self._ends.values():
            end.link.close()

    # --- what the scenario does

    def _act(self, event: object) -> None:
        if isinstance(event, StartWorkload):
            count = self._guests[event.guest].spec.vcpus
            vcpus = range(count) if event.vcpus is None else event.vcpus
            self._loads.start(event.guest, event.workload, vcpus)
        elif isinstance(event, StopWorkload):
            self._loads.stop(event.guest, event.kind)
        elif isinstance(event, PinVcpu):
            number = sum(1 << pcpu for pcpu in event.pcpus)
            cpumap = number.to_bytes((self._host.pcpus + 7) // 8, "little")
            self._administer(event.guest, "DOMAIN_PIN_VCPU", event.vcpu, cpumap)
            self._pinned(event.guest, event.vcpu, cpumap, "scenario")
        elif isinstance(event, SetMemory):
            self._administer(event.guest, "DOMAIN_SET_MEMORY", event.memory_kib)
            self._memory_set(event.guest, event.memory_kib, "scenario")

    def _administer(self, guest: str, name: str, *args: object) -> None:
        end = self._ends[guest]
        end.link.ask(
            name, end.dom, *args,
            then=lambda answer: self.spoilt.extend(
                [] if answer.error is None else [f"{name} on {guest}: {answer.error.message}"]
            ),
        )  # fmt: skip

    # --- what is noted

    def _pinned(self, guest: str, vcpu: int, cpumap: bytes, by: Actor) -> None:
        record = self._guests[guest]
        (mask,) = masks_of(cpumap, 1, self._host.pcpus)
        if vcpu >= len(record.masks):
            return
        effective = record.masks[vcpu] != mask
        if effective:
            record.ask_run_times(self._ends[guest].link)
            record.set_mask(vcpu, mask)
        self._pins.append(PinCall(self._now_ns, guest, vcpu, mask, effective, by))

    def _memory_set(self, guest: str, target_kib: int, by: Actor) -> None:
        self._guests[guest].target_kib = target_kib
        self._memory_calls.append(MemoryCall(self._now_ns, guest, target_kib, by))

    def _event(self, kind: str, guest: str | None, detail: str, **values: int) -> None:
        at_ns = self._now_ns if self._asked_ns is None else self._asked_ns
        if at_ns <= self._end_ns:
            record = EventRecord(at_ns, kind, guest, detail, values)
            self._events.append(attributed(record, self._scenario.events))

    def _load_event(self, kind: str, guest: str, detail: str) -> None:
        record = self._guests[guest]
        self._event(kind, guest, detail, actual_kib=record.actual_kib, unused_kib=record.unused_kib)

    # --- samples

    def _ask(self) -> None:
        self._asked_ns = round(self._now_ns, -6)  # to the millisecond, as reports show it
        # A second that was missed altogether is not made up for.
        self._next_ns = (self._now_ns // NS_PER_S + 1) * NS_PER_S
        self._host.ask(self._host_link)
        for name, record in self._guests.items():
            record.ask(self._ends[name].link, self._now_ns)
            if self._scenario.program == "memory_coordinator":
                record.ask_inside(self._ends[name].link)
        self._loads.look()

    def _keep_if_complete(self) -> None:
        assert self._asked_ns is not None
        late = self._now_ns - self._asked_ns > _LATE_NS
        answered = self._host.fresh and all(record.fresh for record in self._guests.values())
        if answered and (late or not self._waiting()):
            self._keep(self._asked_ns)
        if late or self._times_ns[-1:] == [self._asked_ns]:
            self._asked_ns = None
            self._look_after()

    def _waiting(self) -> bool:
        """Tell whether something is still to come that is worth a moment's patience."""
        return any(
            end.link.waiting and self._guests[name].silent_ns(self._now_ns) < NS_PER_S
            for name, end in self._ends.items()
        )

    def _keep(self, at_ns: int) -> None:
        own_ns = self._own_ns() + sum(record.cpu_ns for record in self._guests.values())
        self._times_ns.append(at_ns)
        self._host.keep(at_ns, own_ns)
        for name, record in self._guests.items():
            loaded = [self._loads.loaded(name, vcpu) for vcpu in range(record.spec.vcpus)]
            record.keep(self._loads.held_kib(name), loaded)
            self._loads.ran(name, at_ns, record.run_ns)

    def _look_after(self) -> None:
        """See whether host and guests are as the run needs them."""
        for name, record in self._guests.items():
            if record.gone is not None:
                self._guest_gone(name, record)
            elif record.silent_ns(self._now_ns) > self._patience.silent_s * NS_PER_S:
                seconds = record.silent_ns(self._now_ns) // NS_PER_S
                self.failed = f"{name} hangs: its QEMU process has not answered for {seconds} s"
            elif record.paused:
                self.spoilt.append(f"{name} was paused, by nothing that the program can do")
            elif (vcpu := record.strangely_bound()) is not None:
                self.spoilt.append(f"somebody else bound vCPU {vcpu} of {name}")
            else:
                self._look_at_balloon(name, record)

    def _guest_gone(self, name: str, record: GuestRecord) -> None:
        if any(event.kind == "guest_lost" and event.guest == name for event in self._events):
            return
        small = record.actual_kib < _SMALL_KIB or self._host.free_kib < _SMALL_KIB
        detail = f"it runs no more ({record.gone})"
        self._event("guest_lost", name, detail, actual_kib=record.actual_kib)
        if not small:  # else it died of what the program did
            self.failed = f"{name} went down, by nothing that the program can do: {record.gone}"

    def _look_at_balloon(self, name: str, record: GuestRecord) -> None:
        """Find a balloon that stands still though its guest has room to move it."""
        size_kib, since_ns = self._moved_ns.get(name, (-1, 0))
        there = abs(record.actual_kib - record.target_kib) <= KIB_PER_MIB
        room = record.target_kib > record.actual_kib or record.unused_kib > _SMALL_KIB // 2
        if there or not room or size_kib != record.actual_kib:
            self._moved_ns[name] = (record.actual_kib, self._now_ns)
        elif self._now_ns - since_ns > self._patience.stuck_s * NS_PER_S:
            at, to = (kib // KIB_PER_MIB for kib in (record.actual_kib, record.target_kib))
            self.spoilt.append(f"the balloon of {name} does not move: it stays at {at} of {to} MiB")
            self._moved_ns[name] = (record.actual_kib, self._now_ns)
            self._event("balloon_stuck", name, f"it stays at {at} of {to} MiB")

    # --- libvirtd gone and back

    def _connected(self) -> bool:
        """Connect anew; tell whether every link stands."""
        try:
            self._host_link = HostLink(self._selector, self._socket, self._lost)
            for end in self._ends.values():
                end.link = HostLink(self._selector, self._socket, self._lost)
        except OSError:
            pass
        links = [self._host_link, *(end.link for end in self._ends.values())]
        if all(link.open for link in links):
            return True
        self.close()
        return False

    def _lost(self) -> None:
        if self._away_since_ns is not None:
            return
        self._away_since_ns = self._retry_ns = self._now_ns
        self._asked_ns = None
        self._event("host_lost", None, "libvirtd hung up")
        self.close()
        for record in self._guests.values():
            record.link_lost()

    def _try_again(self) -> None:
        assert self._away_since_ns is not None
        away_ns = self._now_ns - self._away_since_ns
        if away_ns > self._patience.away_s * NS_PER_S:
            self.failed = (
                f"libvirtd went away at {self._away_since_ns / NS_PER_S:.1f} s and did not come "
                f"back within {self._patience.away_s} s"
            )
        if self._now_ns < self._retry_ns:
            return
        self._retry_ns = self._now_ns + _RETRY_NS
        if not self._connected():
            return
        self.spoilt.append(
            f"libvirtd was away from {self._away_since_ns / NS_PER_S:.1f} to "
            f"{self._now_ns / NS_PER_S:.1f} s"
        )
        self._away_since_ns = None
        self._event("host_back", None, "libvirtd answers again")
        self._next_ns = max(self._next_ns, (self._now_ns // NS_PER_S + 1) * NS_PER_S)
