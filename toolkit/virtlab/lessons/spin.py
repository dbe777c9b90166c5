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
from virtlab.lessons.spin_places import Near, far_look_ns, fate_over_the_wire
from virtlab.model.scenario import Scenario
from virtlab.model.units import mib, seconds
from virtlab.policies.parameters import tunable
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
        for kind in KINDS:
            yield Table("hostile", (f"a policy that {kind}", "what is left"), _fates(kind))

    def _sizes(self) -> tuple[int, ...]:
        return tuple(sorted({8, 16, 32, self.guests}))

    def _border(self) -> Iterator[Shown]:
        """Time the same look in three places; of times only ratios are shown."""
        found = {n: _looked(n) for n in self._sizes()}
        unit = found[8].near
        rows = [
            (f"{n} guests", one.crossings, one.near / unit, one.wire / unit, one.far / unit)
            for n, one in found.items()
        ]
        head = ("", "calls a look", "beside the host", "encoded alone", "another process")
        yield Table("border", head, rows)
        added = {f"{n} guests": (one.far - one.near) / unit for n, one in found.items()}
        yield Bars("border", "x", added)
        near, wired = (run_scheduler(host_of(8), Even(), wire=wire).pins for wire in (False, True))
        same = "the same" if near == wired else "not the same"
        yield Said("border", f"Beside the host and over the wire the policy made {same} pins.")


@dataclass(frozen=True, slots=True)
class _Looked:
    crossings: int  # calls a look
    near: float  # ns, of the quickest look and decision
    wire: float
    far: float


def _looked(guests: int) -> _Looked:
    scenario = replace(host_of(guests), duration_s=_LOOKS)
    with served(scenario) as host:
        far = far_look_ns(_FAR_LOOKS, host)
        calls = len(host.calls) - 2  # without those that open the connection
    return _Looked(
        crossings=calls // _FAR_LOOKS,
        near=_quickest(scenario, wire=False),
        wire=_quickest(scenario, wire=True),
        far=far,
    )


def _quickest(scenario: Scenario, *, wire: bool) -> float:
    """Return how long the quickest look with its decision takes, in ns."""
    begun: list[int] = []
    spans: list[int] = []
    run_scheduler(
        scenario,
        Even(),
        wire=wire,
        on_look=lambda _host: begun.append(time.perf_counter_ns()),
        on_tick=lambda _host, _plan: spans.append(time.perf_counter_ns() - begun[-1]),
    )
    return min(spans)


def _fates(kind: str) -> list[tuple[str, str]]:
    """Let a policy do its worst in three places, side by side."""
    inside, guarded = Near("inside", kind), Near("guarded", kind)
    with served(host_of(8)) as host:
        far = fate_over_the_wire(kind, host)
    return [
        ("beside the host", inside.fate()),
        ("behind a guard", guarded.fate()),
        ("over the wire", far),
    ]


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
