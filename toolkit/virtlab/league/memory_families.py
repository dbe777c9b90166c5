"""Hosts short of memory in different ways: families of scenarios for coordination policies.

Each family is one kind of trouble; a seed draws its sizes, rates and moments. Guests have swap, so
that what they lack can be measured instead of ending in a kill. Hosts are so small that memory has
to move. Where not said otherwise, guests have touched all that they have when it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from virtlab.model.faults import GuestFault
from virtlab.model.scenario import Event, GuestSpec, HostSpec, Scenario, StartWorkload
from virtlab.model.units import mib, seconds
from virtlab.model.workload import MemoryGrowth, Trace, TracePoint

__all__ = ["FAMILIES", "family_scenario"]

_DURATION_S = 300
_HOST_USED_MIB = 1024
_KERNEL_MIB = 64
_RESERVE_MIB = 200  # what policies are told to leave free

_Drawn = tuple[list[GuestSpec], list[Event], int]  # and what the host has for guests, in MiB


def family_scenario(family: str, seed: int) -> Scenario:
    """Return the scenario that a seed draws of a family."""
    guests, events, room_mib = FAMILIES[family](Random(f"{family} {seed}"))
    everything = [*events, *(_touches_all(guest.name) for guest in guests)]
    return Scenario(
        id=f"{family}-{seed}",
        title=(FAMILIES[family].__doc__ or "").splitlines()[0],
        why="a policy is measured, and not marked",
        program="memory_coordinator",
        seed=seed,
        host=HostSpec(
            pcpus=4,
            memory_kib=mib(_HOST_USED_MIB + _RESERVE_MIB + room_mib),
            used_kib=mib(_HOST_USED_MIB),
            swap_kib=mib(4096),
        ),
        guests=tuple(guests),
        events=tuple(sorted(everything, key=lambda event: event.time_ns)),
        interval_s=2,
        duration_s=_DURATION_S,
        criteria=(),
    )


def one_hot(rng: Random) -> _Drawn:
    """One guest of six grows far beyond its size, and the others leave half of theirs idle."""
    guests = [_guest(f"g{n}", 1024, 4096, _around(rng, 400)) for n in range(6)]
    wanted_mib = _around(rng, 2200)
    events: list[Event] = [_grows("g0", _around(rng, 30), _around(rng, 24), wanted_mib, hold_s=60)]
    return guests, events, 6 * 1024 + 100


def all_grow(rng: Random) -> _Drawn:
    """Four guests grow at once, on a host that has not enough for all."""
    guests = [_guest(f"g{n}", 512, 2048, _around(rng, 200)) for n in range(4)]
    events: list[Event] = [
        _grows(guest.name, _around(rng, 20), _around(rng, 16), _around(rng, 1300), hold_s=40)
        for guest in guests
    ]
    return guests, events, 4400


def sawtooth(rng: Random) -> _Drawn:
    """Three guests fill and free memory again and again, each in its own rhythm."""
    guests = [_guest(f"g{n}", 768, 2048, _around(rng, 250)) for n in range(4)]
    events: list[Event] = []
    for guest in guests[:3]:
        at_s, period_s = rng.randrange(10, 40), rng.randrange(45, 90)
        top_mib, rate = _around(rng, 700), _around(rng, 40)
        while at_s < _DURATION_S - period_s:
            events.append(_grows(guest.name, at_s, rate, top_mib, hold_s=10))
            at_s += period_s
    return guests, events, 3300


def stuck_balloon(rng: Random) -> _Drawn:
    """The guest with the most idle memory has a balloon that does not move for two minutes."""
    guests = [
        _guest("g0", 2048, 2048, 300),
        _guest("g1", 1024, 2048, _around(rng, 300)),
        _guest("g2", 1024, 2048, _around(rng, 300)),
        _guest("g3", 512, 3072, _around(rng, 250)),
    ]
    events: list[Event] = [
        GuestFault(0, "g0", "balloon-stuck", seconds(150)),
        _grows("g3", _around(rng, 40), _around(rng, 16), _around(rng, 2200), hold_s=100),
    ]
    return guests, events, 2048 + 2 * 1024 + 512 + 100


def stale_statistics(rng: Random) -> _Drawn:
    """Reports of a guest that grows, and of one that is idle, are not renewed for a minute."""
    guests = [_guest(f"g{n}", 1024, 2048, _around(rng, 350)) for n in range(4)]
    from_s = _around(rng, 30)
    events: list[Event] = [
        GuestFault(seconds(from_s), "g0", "statistics-stale", seconds(60)),
        GuestFault(seconds(from_s), "g1", "statistics-stale", seconds(90)),
        _grows("g0", from_s - 10, _around(rng, 12), _around(rng, 1200), hold_s=60),
        _grows("g1", from_s + 30, _around(rng, 16), _around(rng, 500), hold_s=60),
        _grows("g2", from_s + 20, _around(rng, 16), _around(rng, 1000), hold_s=60),
    ]
    return guests, events, 4 * 1024 + 300


def floor_thrash(rng: Random) -> _Drawn:
    """Small guests use as much as they have and a little more now and then; one leaves all idle.

    Source: home-assistant/operating-system#4805, a balloon that took a guest down to its floor.
    """
    guests = [
        *(_guest(f"g{n}", 320, 2048, _around(rng, 180), swap_mib=512) for n in range(4)),
        _guest("g4", 2048, 2048, 300),
    ]
    events: list[Event] = []
    for n in range(4):
        for at_s in range(10 + 7 * n, _DURATION_S - 60, 60):
            events.append(_grows(f"g{n}", at_s, _around(rng, 30), _around(rng, 200), hold_s=25))
    return guests, events, 4 * 320 + 2048 + 50


def oscillation(rng: Random) -> _Drawn:
    """Idle guests of which every page is resident, whatever their size; later one of them grows.

    Source: arcboxlabs/arcbox#390 and #469, sizes that swing about a threshold of free memory.
    """
    guests = [_guest(f"g{n}", 2048, 3072, _around(rng, 900)) for n in range(4)]
    events: list[Event] = [
        _touches_all(guest.name, at_s)
        for guest in guests[1:]
        for at_s in range(5, _DURATION_S - 5, 10)
    ]
    events.append(_grows("g0", _around(rng, 120), _around(rng, 20), _around(rng, 1700), hold_s=90))
    return guests, events, 9000


FAMILIES: dict[str, Callable[[Random], _Drawn]] = {
    "one-hot": one_hot,
    "all-grow": all_grow,
    "sawtooth": sawtooth,
    "stuck-balloon": stuck_balloon,
    "stale-statistics": stale_statistics,
    "floor-thrash": floor_thrash,
    "oscillation": oscillation,
}


def _around(rng: Random, middle: int) -> int:
    """Return a number up to a fifth away."""
    return round(middle * rng.uniform(0.8, 1.2))


def _guest(
    name: str, size_mib: int, most_mib: int, used_mib: int, *, swap_mib: int = 4096
) -> GuestSpec:
    return GuestSpec(
        name=name,
        vcpus=1,
        memory_kib=mib(size_mib),
        max_memory_kib=mib(most_mib),
        affinity=(None,),
        kernel_kib=mib(_KERNEL_MIB),
        processes_kib=mib(used_mib - _KERNEL_MIB),
        cache_kib=mib(60),
        swap_kib=mib(swap_mib),
    )


def _grows(
    name: str, at_s: float, rate_mib_s: int, until_mib: int, *, hold_s: float
) -> StartWorkload:
    growth = MemoryGrowth(mib(rate_mib_s), mib(until_mib), seconds(hold_s), then_release=True)
    return StartWorkload(seconds(at_s), name, growth)


def _touches_all(name: str, at_s: float = 0) -> StartWorkload:
    """Return a process that touches all that is free and ends at once, between two samples."""
    points = (TracePoint(0, 0.0, mib(1 << 20)), TracePoint(1000, 0.0, 0))
    return StartWorkload(seconds(at_s + 0.5), name, Trace(points))
