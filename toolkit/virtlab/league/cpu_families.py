"""Hosts whose vCPUs are placed badly in different ways: families of scenarios for schedulers.

Each family is one kind of trouble; a seed draws its sizes, periods and moments. Loads run to the
end and never finish, so that all policies have the same to do. A guest's memory plays no part.

Families of `HELD_OUT` are for judging alone: who tunes a policy leaves them aside.
"""

from __future__ import annotations

from collections.abc import Callable
from math import fsum, pi, sin
from random import Random

from virtlab.model.scenario import (
    Event,
    GuestSpec,
    HostSpec,
    Scenario,
    StartGuest,
    StartWorkload,
    StopGuest,
    TuneCpu,
)
from virtlab.model.topology import FULL_CAPACITY, Cell, Topology
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Duty, Trace, TracePoint

__all__ = ["CPU_FAMILIES", "HELD_OUT", "cpu_family_scenario"]

_DURATION_S = 60
_GUEST_MIB = 512

_Drawn = tuple[Topology | int, list[GuestSpec], list[Event]]  # the host or its number of pCPUs


def cpu_family_scenario(family: str, seed: int) -> Scenario:
    """Return the scenario that a seed draws of a family."""
    layout, guests, events = CPU_FAMILIES[family](Random(f"{family} {seed}"))
    topology = layout if isinstance(layout, Topology) else None
    return Scenario(
        id=f"{family}-{seed}",
        title=(CPU_FAMILIES[family].__doc__ or "").splitlines()[0],
        why="a policy is measured, and not marked",
        program="vcpu_scheduler",
        seed=seed,
        host=HostSpec(
            pcpus=layout if isinstance(layout, int) else len(layout.capacity),
            memory_kib=_host_kib(guests),
            used_kib=mib(1024),
            topology=topology,
        ),
        guests=tuple(guests),
        events=tuple(sorted(events, key=lambda event: event.time_ns)),
        interval_s=1,
        duration_s=_DURATION_S,
        criteria=(),
    )


def overcommit(rng: Random) -> _Drawn:
    """Loads that want twice what four pCPUs have, most of them on two."""
    guests = [_guest(f"g{n:02}", [rng.choice((0, 0, 1, 1, 2, 3))]) for n in range(16)]
    return 4, guests, [_runs(guest, rng.uniform(0.3, 0.7)) for guest in guests]


def one_hot_guest(rng: Random) -> _Drawn:
    """A guest of four busy vCPUs and twelve light ones, all on two of eight pCPUs."""
    hot = _guest("g00", [0, 1, 0, 1])
    light = [_guest(f"g{n:02}", [rng.randrange(2)]) for n in range(1, 13)]
    events = [_runs(guest, rng.uniform(0.05, 0.2)) for guest in light]
    return 8, [hot, *light], [_runs(hot, rng.uniform(0.85, 1.0)), *events]


def nasty_periods(rng: Random) -> _Drawn:
    """Loads that come and go every few seconds, out of step with each other and with the looks."""
    guests = [_guest(f"g{n:02}", [n % 4]) for n in range(12)]
    events: list[Event] = []
    for guest in guests[:6]:
        period_s = rng.choice((1.5, 2.0, 2.5, 3.0, 4.0, 5.0))
        points, at_s, on = [], rng.uniform(0.0, period_s), True
        high = rng.uniform(0.3, 0.6)
        while at_s < _DURATION_S:
            points.append(TracePoint(seconds(at_s), high if on else 0.05, None))
            at_s, on = at_s + period_s / 2, not on
        events.append(StartWorkload(0, guest.name, Trace(tuple(points))))
    for guest in guests[6:]:
        events.append(_runs(guest, rng.uniform(0.1, 0.3), rng.choice((0.5, 7.0, 33.0, 130.0))))
    return 4, guests, events


def noise_only(rng: Random) -> _Drawn:
    """Loads of one size, evenly placed from the start: there is nothing to be done."""
    duty = rng.uniform(0.15, 0.3)
    guests = [_guest(f"g{n:02}", [n % 4]) for n in range(12)]
    return 4, guests, [_runs(guest, duty) for guest in guests]


def arrivals_and_departures(rng: Random) -> _Drawn:
    """Guests that come, work and go at their own times, each starting where it was put."""
    guests, events = [], list[Event]()
    for n in range(14):
        late = n >= 6
        guest = _guest(f"g{n:02}", [rng.randrange(4)], running=not late)
        guests.append(guest)
        begin_s = rng.uniform(3.0, 40.0) if late else 0.0
        end_s = begin_s + rng.uniform(15.0, 50.0)
        if late:
            events.append(StartGuest(seconds(begin_s), guest.name))
        events.append(_runs(guest, rng.uniform(0.1, 0.5), at_s=begin_s + (1.0 if late else 0.0)))
        if end_s < _DURATION_S - 5:
            events.append(StopGuest(seconds(end_s), guest.name))
    return 4, guests, events


def numa(rng: Random) -> _Drawn:
    """Two cells of four pCPUs, and guests whose memory lies mostly in the other one."""
    guests = []
    for n in range(14):
        cell = rng.randrange(2)
        far = rng.random() < 0.7
        home = 4 * (1 - cell if far else cell) + rng.randrange(4)
        guests.append(_guest(f"g{n:02}", [home], memory_cell=cell, memory_bound=0.5))
    events = [_runs(guest, rng.uniform(0.2, 0.5)) for guest in guests]
    return _layout(cells=2, cores=4, memory_kib=_host_kib(guests)), guests, events


def smt(rng: Random) -> _Drawn:
    """Four cores of two threads each, and loads that share cores while others are idle."""
    guests = [_guest(f"g{n:02}", [rng.choice((0, 1, 2, 3))]) for n in range(6)]
    events = [_runs(guest, rng.uniform(0.4, 0.9), 20.0) for guest in guests]
    return _layout(cells=1, cores=4, threads=2, memory_kib=_host_kib(guests)), guests, events


def mixed_weights(rng: Random) -> _Drawn:
    """Guests of unlike weights on a host that has not enough for all."""
    guests = [
        _guest(
            f"g{n:02}",
            [rng.randrange(2), 2 + rng.randrange(2)] if n < 4 else [rng.randrange(4)],
            tuning=(("cpu_shares", rng.choice((512, 1024, 2048, 4096))),),
        )
        for n in range(10)
    ]
    return 4, guests, [_runs(guest, rng.uniform(0.4, 1.0), 20.0) for guest in guests]


def spells(rng: Random) -> _Drawn:
    """Loads that work hard for a spell of some to many seconds, and rest for longer in between."""
    guests = [_guest(f"g{n:02}", [rng.choice((0, 1, 2, 3))]) for n in range(16)]
    events: list[Event] = []
    for guest in guests:
        rest, hard = rng.uniform(0.06, 0.15), rng.uniform(0.35, 0.8)
        points, at_s, on = [], -rng.uniform(0.0, 20.0), True
        while at_s < _DURATION_S:
            points.append(TracePoint(seconds(max(at_s, 0.0)), hard if on else rest, None))
            at_s += rng.uniform(6.0, 20.0) if on else rng.uniform(10.0, 30.0)
            on = not on
        while len(points) > 1 and points[1].time_ns == 0:
            del points[0]
        events.append(StartWorkload(0, guest.name, Trace(tuple(points))))
    return 4, guests, events


def tides(rng: Random) -> _Drawn:
    """Loads that rise and fall like days and nights, each at its own hour."""
    guests = [_guest(f"g{n:02}", [n % 4]) for n in range(12)]
    events: list[Event] = []
    for guest in guests:
        period_s, hour = rng.uniform(40.0, 120.0), rng.random()
        mean, swing = rng.uniform(0.2, 0.3), rng.uniform(0.05, 0.2)
        points = [
            TracePoint(seconds(at), mean + swing * sin(2 * pi * (at / period_s + hour)), None)
            for at in range(0, _DURATION_S, 2)
        ]
        events.append(StartWorkload(0, guest.name, Trace(tuple(points))))
    return 4, guests, events


def big_and_little(rng: Random) -> _Drawn:
    """Two full pCPUs and six that do two fifths of the work in a second; loads sit anywhere."""
    capacity = (FULL_CAPACITY,) * 2 + (2 * FULL_CAPACITY // 5,) * 6
    guests = [_guest(f"g{n:02}", [rng.randrange(8)]) for n in range(12)]
    events = [_runs(guest, rng.uniform(0.1, 0.5)) for guest in guests]
    kib = _host_kib(guests)
    return _layout(cells=1, cores=8, memory_kib=kib, capacity=capacity), guests, events


def unbound(rng: Random) -> _Drawn:
    """Loads of short and long work, bound to nothing, that leave two fifths of the host idle."""
    guests = [_guest(f"g{n:02}", [0], bound=False) for n in range(10)]
    sizes = [rng.uniform(0.1, 0.5) for _ in guests]
    part = 0.6 * 4 / fsum(sizes)
    events = [
        _runs(guest, min(size * part, 0.9), rng.choice((0.5, 20.0, 80.0)))
        for guest, size in zip(guests, sizes, strict=True)
    ]
    return 4, guests, events


def unlike_pcpus(rng: Random) -> _Drawn:
    """Four full pCPUs and four that do half of the work in a second; loads sit on the slow ones."""
    capacity = (FULL_CAPACITY,) * 4 + (FULL_CAPACITY // 2,) * 4
    guests = [_guest(f"g{n:02}", [rng.randrange(2, 8)]) for n in range(14)]
    events = [_runs(guest, rng.uniform(0.15, 0.6)) for guest in guests]
    kib = _host_kib(guests)
    return _layout(cells=1, cores=8, memory_kib=kib, capacity=capacity), guests, events


def capped(rng: Random) -> _Drawn:
    """Busy guests that a quota holds back, and which look like full ones to who ignores it."""
    guests = [_guest(f"g{n:02}", [rng.randrange(2)]) for n in range(10)]
    events: list[Event] = []
    for guest in guests[:5]:
        quota_us = rng.randrange(10_000, 45_000)
        events += [TuneCpu(0, guest.name, (("vcpu_quota", quota_us),)), _runs(guest, 1.0)]
    events += [_runs(guest, rng.uniform(0.15, 0.4)) for guest in guests[5:]]
    return 4, guests, events


def drift(rng: Random) -> _Drawn:
    """Loads that become larger or smaller by little steps, every five seconds."""
    guests = [_guest(f"g{n:02}", [n % 4]) for n in range(12)]
    events: list[Event] = []
    for guest in guests:
        share = rng.uniform(0.15, 0.35)
        points = []
        for at_s in range(0, _DURATION_S, 5):
            points.append(TracePoint(seconds(at_s), share, None))
            share = min(max(share + rng.uniform(-0.08, 0.08), 0.05), 0.6)
        events.append(StartWorkload(0, guest.name, Trace(tuple(points))))
    return 4, guests, events


def bursts(rng: Random) -> _Drawn:
    """Measured-looking loads: long calm at a few per cent, and bursts of some seconds."""
    guests = [_guest(f"g{n:02}", [rng.randrange(4)]) for n in range(20)]
    events: list[Event] = []
    for guest in guests:
        points, at_s = [], 0.0
        while at_s < _DURATION_S:
            points.append(TracePoint(seconds(at_s), rng.uniform(0.02, 0.1), None))
            at_s += rng.expovariate(1 / 12.0) + 1.0
            points.append(TracePoint(seconds(at_s), rng.uniform(0.3, 0.95), None))
            at_s += rng.expovariate(1 / 4.0) + 1.0
        events.append(StartWorkload(0, guest.name, Trace(tuple(points))))
    return 4, guests, events


def crowd(rng: Random) -> _Drawn:
    """Sixty-four vCPUs of all sizes at random on sixteen pCPUs."""
    guests = [_guest(f"g{n:02}", [rng.randrange(16)]) for n in range(64)]
    return 16, guests, [_runs(guest, rng.uniform(0.05, 0.35), 8.0) for guest in guests]


CPU_FAMILIES: dict[str, Callable[[Random], _Drawn]] = {
    "overcommit": overcommit,
    "one-hot-guest": one_hot_guest,
    "nasty-periods": nasty_periods,
    "noise-only": noise_only,
    "arrivals-and-departures": arrivals_and_departures,
    "numa": numa,
    "smt": smt,
    "mixed-weights": mixed_weights,
    "spells": spells,
    "tides": tides,
    "big-and-little": big_and_little,
    "unbound": unbound,
    "unlike-pcpus": unlike_pcpus,
    "capped": capped,
    "drift": drift,
    "bursts": bursts,
    "crowd": crowd,
}

HELD_OUT = frozenset({"unlike-pcpus", "capped", "drift", "bursts", "crowd"})


def _guest(
    name: str,
    homes: list[int],
    *,
    running: bool = True,
    bound: bool = True,
    memory_cell: int | None = None,
    memory_bound: float = 0.0,
    tuning: tuple[tuple[str, int], ...] = (),
) -> GuestSpec:
    """Return a guest with a vCPU for each of these pCPUs, bound to it unless told otherwise."""
    return GuestSpec(
        name=name,
        vcpus=len(homes),
        memory_kib=mib(_GUEST_MIB),
        max_memory_kib=mib(_GUEST_MIB),
        affinity=tuple((home,) if bound else None for home in homes),
        kernel_kib=mib(42),
        processes_kib=mib(120),
        cache_kib=mib(100),
        running=running,
        memory_cell=memory_cell,
        memory_bound=memory_bound,
        tuning=tuning,
    )


def _runs(guest: GuestSpec, duty: float, period_ms: float = 0.5, at_s: float = 0.0) -> Event:
    return StartWorkload(seconds(at_s), guest.name, Duty(duty, ms(period_ms)))


def _host_kib(guests: list[GuestSpec]) -> int:
    return mib(4096 + _GUEST_MIB * len(guests))


def _layout(
    *,
    cells: int,
    cores: int,
    memory_kib: int,
    threads: int = 1,
    capacity: tuple[int, ...] | None = None,
) -> Topology:
    """Return a host of some cells, each of so many cores; threads of a core are neighbours."""
    each = cores * threads
    pcpus = cells * each
    return Topology(
        cells=tuple(
            Cell(
                tuple(range(cell * each, (cell + 1) * each)),
                memory_kib // cells,
                tuple(10 if other == cell else 20 for other in range(cells)),
            )
            for cell in range(cells)
        ),
        cores=tuple(tuple(range(first, first + threads)) for first in range(0, pcpus, threads)),
        capacity=capacity or (FULL_CAPACITY,) * pcpus,
    )
