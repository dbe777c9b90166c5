"""One policy in two places: beside the host, by a typed call; or behind libvirt's wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from virtlab.league.cpu_run import run_scheduler
from virtlab.lessons.lesson import Bars, Said, Shown, Table
from virtlab.lessons.served import served
from virtlab.lessons.spin_far import KINDS
from virtlab.lessons.spin_near import host_of
from virtlab.lessons.spin_places import (
    far_look_ns,
    fate_nearby,
    fate_over_the_wire,
    started_nearby,
)
from virtlab.model.plan import CpuPlan
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import CpuSnapshot
from virtlab.model.units import mib, seconds
from virtlab.policies.parameters import tunable
from virtlab.policies.policy import SchedulingPolicy
from virtlab.policies.scheduling.even import Even
from virtlab.simulator.host import SimulatedHost

_LOOKS, _FAR_LOOKS = 8, 25
_RUNNING = 16  # VIR_CONNECT_LIST_DOMAINS_RUNNING
_BALLOON_CHANGE = 13  # VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE
_HANDLERS = 3  # of one event, where several wait for it


@dataclass(frozen=True, slots=True)
class Spin:
    """What a border costs, who may handle an event, and what a hostile policy takes with it."""

    guests: int = tunable(
        64, unit="guests", effect="how many are on the largest host", at_least=16, at_most=256
    )

    def shown(self) -> Iterator[Shown]:
        """Yield the border's cost, events handled in three ways, and fates."""
        yield from self._border()
        yield Table("events", _EVENTS_HEAD, [_handled(n) for n in self._sizes()])
        head = ("a policy that", "beside the host", "behind a guard", "over the wire")
        yield Table("hostile", head, [_fates(kind) for kind in KINDS])

    def _sizes(self) -> tuple[int, ...]:
        return tuple(sorted({8, 16, 32, self.guests}))

    def _border(self) -> Iterator[Shown]:
        """Time the same look in three places; of times only ratios are shown."""
        found = {n: _looked(n) for n in self._sizes()}
        unit = found[8].near
        rows: list[tuple[str | float, ...]] = [
            (
                f"{n} guests",
                one.calls,
                *(ns / unit for ns in (one.near, one.wire, one.far, one.bulk)),
            )
            for n, one in found.items()
        ]
        head = ("", "calls", "beside", "encoded", "another process", "there, one call")
        yield Table("border", head, rows)
        added = {f"{n} guests": (one.far - one.near) / unit for n, one in found.items()}
        yield Bars("border", "x", added)
        near, wired = (run_scheduler(host_of(8), Even(), wire=wire).pins for wire in (False, True))
        same = "the same" if near == wired else "not the same"
        yield Said("border", f"Beside the host and over the wire the policy made {same} pins.")


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the quickest look takes of the processor in each place, in ns."""

    calls: int  # over the wire, a look
    near: float
    wire: float
    far: float
    bulk: float


def _looked(guests: int) -> _Looked:
    scenario = replace(host_of(guests), duration_s=_LOOKS)
    with served(scenario) as host:
        far = far_look_ns("looks", _FAR_LOOKS, host)
        calls = len(host.calls) - 2  # without those that open the connection
        bulk = far_look_ns("bulk", _FAR_LOOKS, host)
    near, wire = (_quickest(scenario, wire=wire) for wire in (False, True))
    return _Looked(calls // _FAR_LOOKS, near, wire, far, bulk)


@dataclass(slots=True)
class _Timed:
    """A policy that notes what it took until it was asked, and then does as another does."""

    policy: SchedulingPolicy
    begun_ns: int = 0
    spans_ns: list[int] = field(default_factory=list)

    def begin(self, _host: SimulatedHost) -> None:
        self.begun_ns = time.process_time_ns()

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        self.spans_ns.append(time.process_time_ns() - self.begun_ns)
        return self.policy.decide(host)


def _quickest(scenario: Scenario, *, wire: bool) -> float:
    """Return what the quickest look takes until there is a snapshot, in ns."""
    timed = _Timed(Even())
    run_scheduler(scenario, timed, wire=wire, on_look=timed.begin)
    return min(timed.spans_ns)


def _fates(kind: str) -> tuple[str, ...]:
    """Let a policy do its worst in three places, side by side."""
    with (
        started_nearby("inside", kind) as inside,
        started_nearby("guarded", kind) as guarded,
        served(host_of(8)) as host,
    ):
        far = fate_over_the_wire(kind, host)
        near = fate_nearby(inside, "inside", kind)
        return (kind, near, fate_nearby(guarded, "guarded", kind), far)


_EVENTS_HEAD = (
    "", "1:1 guards", "messages", "1:N guards", "messages", "N:1 guards", "messages",
)  # fmt: skip


@dataclass(slots=True)
class Dispatcher:
    """Hands an event to each handler whose guard lets it by: SPIN's way."""

    # A guard is the name of a guest; None lets every guest by.
    handlers: list[tuple[str | None, Callable[[str], None]]] = field(default_factory=list)
    guards_asked: int = 0

    def happen(self, guest: str) -> None:
        """Let something happen to a guest."""
        for guard, handle in self.handlers:
            self.guards_asked += 1
            if guard in (None, guest):
                handle(guest)


def _handled(guests: int) -> tuple[str | int, ...]:
    """Return what it takes to hear of one balloon a guest, in either place."""
    names = [guest.name for guest in host_of(guests).guests]
    one_each: list[str | None] = [*names]
    one_for_all: list[str | None] = [None]
    several_for_one: list[str | None] = [names[0]] * _HANDLERS
    row: list[str | int] = [f"{guests} guests"]
    for wanted in (one_each, one_for_all, several_for_one):
        row += [_beside(guests, wanted), _over_the_wire(guests, wanted)]
    return tuple(row)


def _beside(guests: int, wanted: list[str | None]) -> int:
    """Return how many guards are asked where handlers are called in the host's process."""
    host = SimulatedHost(host_of(guests))
    heard: list[str] = []
    dispatcher = Dispatcher([(name, heard.append) for name in wanted])
    host.on_balloon = lambda guest: dispatcher.happen(guest.name)
    for guest in host.guests.values():
        guest.set_memory(mib(400))
    host.advance(seconds(3))
    assert heard
    return dispatcher.guards_asked


def _over_the_wire(guests: int, wanted: list[str | None]) -> int:
    """Return how many messages come where handlers are a client's."""
    with served(host_of(guests)) as host:
        client = host.connect()
        domains = client.call("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING).domains
        by_name = {dom.name: dom for dom in domains}
        for name in wanted:
            dom = None if name is None else by_name[name]
            client.call("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", _BALLOON_CHANGE, dom)
        for dom in domains:
            client.call("DOMAIN_SET_MEMORY", dom, mib(400))
        host.wait(3.0)
        return len(client.listen())
