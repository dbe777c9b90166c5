"""Resources that are bound, accounted and taken back in sight of who has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from virtlab.league.memory_parts import grows, guest_of, touches_all
from virtlab.lessons.lesson import Bars, Curves, Listing, Said, Shown, Table
from virtlab.lessons.served import Client, served
from virtlab.lessons.small_hosts import computes, cpu_guest, finishes, small_host
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.model.timeline import EventRecord
from virtlab.model.units import KIB_PER_MIB, NS_PER_MS, NS_PER_S, mib
from virtlab.policies.parameters import tunable

_LIVE, _RUNNING = 1, 16  # VIR_DOMAIN_AFFECT_LIVE, VIR_CONNECT_LIST_DOMAINS_RUNNING
_LIFECYCLE = 0  # VIR_DOMAIN_EVENT_ID_LIFECYCLE


@dataclass(frozen=True, slots=True)
class Exokernel:
    """Slots of time, pages of memory, bindings, and what a move costs."""

    penalty: float = tunable(
        1.0,
        unit="slots",
        effect="what is forfeited for each slot that was overrun",
        at_least=0.0,
        at_most=3.0,
    )

    def shown(self) -> Iterator[Shown]:
        """Yield each of the four with its trend."""
        yield Listing(
            "vector", ["  ".join(n for n, slots in _GRANTS.items() for _ in range(slots))]
        )
        runs = {p: _slots_used(p) for p in sorted({0.0, 0.5, self.penalty, 2.0})}
        names = {p: f"penalty {p:g}" for p in runs}
        means = {names[p]: _means(used) for p, used in runs.items()}
        head = ("mean slots a period", *_GRANTS)
        slots: list[tuple[str | float, ...]] = [("granted", *_GRANTS.values())]
        slots += [(name, *mean.values()) for name, mean in means.items()]
        yield Table("slots", head, slots)
        yield Bars("greedy", "slots", {name: mean["C"] for name, mean in means.items()})
        over = {names[p]: [each["C"] for each in used] for p, used in runs.items()}
        yield Curves("greedy", "slots", "C, each second", over)

        vectors = {deadline_ms: _repossessed(deadline_ms) for deadline_ms in (50, 150, 300, 600)}
        rows = [
            (f"{ms} ms", one.guest, one.asked_mib, one.given_mib, one.taken_mib)
            for ms, taken in vectors.items()
            for one in taken.vector
        ]
        yield Table("repossession", ("deadline", "guest", "asked", "given", "taken, MiB"), rows)
        swap = {f"{ms} ms": taken.host_swap_mib for ms, taken in vectors.items()}
        yield Bars("host-swap", "MiB", swap)

        yield Table("bindings", ("uses", "checked each time", "bound once"), _bindings())
        yield Said("bindings", _broken_binding())

        yield Bars("warmth", "ms a move", {f"{kib:,} KiB": _move_ms(kib) for kib in _SETS_KIB})


# A linear vector of time slots.

_GRANTS = {"A": 3, "B": 3, "C": 4}  # of ten slots of 10 ms in each period of 100 ms
_WANTS = {"A": 0.25, "B": 0.25, "C": 1.0}  # A and B keep to their slots, C does not
_PERIOD_US, _SLOT_US, _ROUNDS = 100_000, 10_000, 30
_QUOTA_MIN_US, _NO_QUOTA = 1_000, -1  # of the kernel, and of libvirt


def _slots_used(penalty: float) -> list[dict[str, float]]:
    """Return what each used in each second, in slots a period; who overruns forfeits later ones."""
    guests = [cpu_guest(name, [0]) for name in _GRANTS]
    loads = [computes(name, duty) for name, duty in _WANTS.items()]
    with served(small_host(guests, loads, pcpus=1, duration_s=_ROUNDS)) as host:
        client = host.connect()
        domains = client.call("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING).domains
        owed, rounds = dict.fromkeys(_GRANTS, 0.0), list[dict[str, float]]()
        for _ in range(_ROUNDS):
            before = {dom.name: _cpu_time(client, dom) for dom in domains}
            host.wait(1.0)
            ran = {dom.name: _cpu_time(client, dom) - before[dom.name] for dom in domains}
            used = {name: ns / NS_PER_S * _PERIOD_US / _SLOT_US for name, ns in ran.items()}
            rounds.append(used)
            for dom in domains:
                granted = _GRANTS[dom.name]
                owed[dom.name] += penalty * max(used[dom.name] - granted, 0.0)
                forfeit = min(owed[dom.name], granted)
                owed[dom.name] -= forfeit
                # The end of a slot is no guillotine: who owes nothing may run on.
                left_us = max(round((granted - forfeit) * _SLOT_US), _QUOTA_MIN_US)
                quota = Param("vcpu_quota", ParamType.LLONG, left_us if forfeit else _NO_QUOTA)
                client.call("DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS", dom, [quota], _LIVE)
        return rounds


def _cpu_time(client: Client, dom: Any) -> int:
    """Return how long a guest's vCPU has run, in ns."""
    time_ns: int = client.call("DOMAIN_GET_VCPUS", dom, 1, 1).info[0].cpu_time
    return time_ns


def _means(rounds: list[dict[str, float]]) -> Mapping[str, float]:
    return {name: sum(each[name] for each in rounds) / len(rounds) for name in _GRANTS}


# Visible revocation.


class Repossession(NamedTuple):
    """One entry of the vector: what was asked of a guest, given by it, and taken without it."""

    guest: str
    asked_mib: int
    given_mib: int
    taken_mib: int


class Revoked(NamedTuple):
    """What came of one revocation."""

    vector: list[Repossession]
    host_swap_mib: int


def _repossessed(deadline_ms: int, ask_mib: int = 400) -> Revoked:
    """Ask two guests for memory that a third needs; at the deadline take what was not given."""
    size_mib, asked_at_s = 1024, 20.0
    guests = [
        guest_of("idle", size_mib, size_mib, 200, swap_mib=0),
        guest_of("busy", size_mib, size_mib, 200, swap_mib=0),
        guest_of("needy", size_mib, 2048, 200, swap_mib=0),
    ]
    events = [
        *(touches_all(guest.name) for guest in guests),
        grows("busy", 1, 100, 750, hold_s=100),
        grows("needy", asked_at_s + 1, 200, 1500, hold_s=100),
    ]
    scenario = small_host(
        guests, events, program="memory_coordinator", room_mib=3 * size_mib + 100, swap_mib=4096
    )
    with served(scenario) as host:
        client = host.connect()
        domains = client.call("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING).domains
        by_name = {dom.name: dom for dom in domains}
        host.wait(asked_at_s)
        for name in ("idle", "busy"):
            client.call("DOMAIN_SET_MEMORY", by_name[name], mib(size_mib - ask_mib))
        host.wait(deadline_ms / 1000)
        vector = []
        for name in ("idle", "busy"):
            dom = by_name[name]
            left_kib = _actual_kib(client, dom)
            given_mib = size_mib - left_kib // KIB_PER_MIB
            taken_mib = ask_mib - given_mib
            vector.append(Repossession(name, ask_mib, given_mib, taken_mib))
            if taken_mib:
                limit = [Param("hard_limit", ParamType.ULLONG, mib(size_mib - ask_mib))]
                client.call("DOMAIN_SET_MEMORY_PARAMETERS", dom, limit, _LIVE)
                client.call("DOMAIN_SET_MEMORY", dom, left_kib)  # it is not asked any more
        client.call("DOMAIN_SET_MEMORY", by_name["needy"], mib(size_mib + 2 * ask_mib))
        host.wait(30.0)
        return Revoked(vector, host.simulated.memory().swap_used_kib // KIB_PER_MIB)


def _actual_kib(client: Client, dom: Any) -> int:
    stats = {one.tag: one.val for one in client.call("DOMAIN_MEMORY_STATS", dom, 13, 0).stats}
    return int(stats[6])  # VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON


# Secure bindings.


class Binding:
    """A guest's vCPU that was checked once; it is good until the guest's run ends."""

    def __init__(self, client: Client, name: str, pcpu: int) -> None:
        """Check who it is, that it runs, and that the pCPU is among its own.

        Raises:
            PermissionError: it does not, or is not.
        """
        self._client = client
        self.dom = client.call("DOMAIN_LOOKUP_BY_NAME", name).dom
        running = client.call("DOMAIN_GET_STATE", self.dom, 0).state == 1
        (mask,) = client.call("DOMAIN_GET_VCPU_PIN_INFO", self.dom, 1, 1, _LIVE).cpumaps
        if not running or not mask >> pcpu & 1:
            raise PermissionError(f"{name} may not use pCPU {pcpu}")
        self.broken = False

    def use(self) -> int:
        """Return the vCPU's time; ask the host nothing else.

        Raises:
            PermissionError: the run that it was good for has ended.
        """
        if self._client.listen():  # events of that run's end alone come here
            self.broken = True
        if self.broken:
            raise PermissionError("the binding is broken")
        return _cpu_time(self._client, self.dom)


def _bindings() -> list[tuple[int, float, float]]:
    """Return calls a use, for more and more uses."""
    rows = []
    with served(small_host([cpu_guest("web", [0])], [computes("web", 0.5)])) as host:
        for uses in (1, 10, 100):
            client = host.connect()
            for _ in range(uses):
                Binding(client, "web", 0).use()
            checked, client = client.calls - 2, host.connect()
            binding = Binding(client, "web", 0)
            for _ in range(uses):
                binding.use()
            rows.append((uses, checked / uses, (client.calls - 2) / uses))
    return rows


def _broken_binding() -> str:
    """Return what a binding is worth when its guest was started anew."""
    with served(small_host([cpu_guest("web", [0])], [computes("web", 0.5)])) as host:
        client = host.connect()
        binding = Binding(client, "web", 0)
        client.call("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", _LIFECYCLE, binding.dom)
        host.wait(1.0)
        before = binding.use()
        other = host.connect()
        other.call("DOMAIN_DESTROY", binding.dom)
        calls = client.calls
        try:
            binding.use()
            after = "it was still good"
        except PermissionError as refused:
            after = f"its use was refused ({refused}) with {client.calls - calls} calls"
    return (
        f"Used, it read {before / NS_PER_S:.2f} s; when somebody else had destroyed the guest, "
        f"{after}."
    )


# What a move costs.

_SETS_KIB = (0, 512, 2048, 8192)
_WORK_S, _MOVE_EVERY_S = 1.0, 0.01


def _move_ms(working_set_kib: int) -> float:
    """Return by how much a job ends later for each move between two pCPUs."""
    guest = cpu_guest("job", [0], working_set_kib=working_set_kib)
    with served(small_host([guest], [finishes("job", _WORK_S)], pcpus=2)) as host:
        ends: list[int] = []

        def note(event: EventRecord) -> None:
            if event.kind == "load_done":
                ends.append(event.time_ns)

        host.simulated.on_event = note
        client, moves = host.connect(), 0
        (dom,) = client.call("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING).domains
        while True:
            host.wait(_MOVE_EVERY_S)
            if ends:
                break
            moves += 1
            client.call("DOMAIN_PIN_VCPU", dom, 0, bytes([1 << moves % 2]))
        return (ends[0] - _WORK_S * NS_PER_S) / NS_PER_MS / moves
