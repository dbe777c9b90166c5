"""Hosts short of memory in different ways: families of scenarios for coordination policies.

Each family is one kind of trouble; a seed draws its sizes, rates and moments. Guests have swap, so
that what they lack can be measured instead of ending in a kill. Hosts are so small that memory has
to move. Where not said otherwise, guests have touched all that they have when it begins.

Those of `memory_held_out` are for judging alone; these may be tuned on. `ups-and-downs` was held
out until it led to a rule of `steady`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from virtlab.league.memory_held_out import HELD_OUT
from virtlab.league.memory_parts import DURATION_S, Drawn, around, grows, guest_of, touches_all
from virtlab.model.faults import GuestFault
from virtlab.model.scenario import Event, HostSpec, Scenario, StartWorkload
from virtlab.model.units import mib, seconds
from virtlab.model.workload import Trace, TracePoint

__all__ = ["FAMILIES", "family_scenario"]

_HOST_USED_MIB = 1024
_RESERVE_MIB = 200  # what policies are told to leave free


def family_scenario(family: str, seed: int) -> Scenario:
    """Return the scenario that a seed draws of a family."""
    draw = (FAMILIES | HELD_OUT)[family]
    guests, events, room_mib = draw(Random(f"{family} {seed}"))
    everything = [*events, *(touches_all(guest.name) for guest in guests)]
    return Scenario(
        id=f"{family}-{seed}",
        title=(draw.__doc__ or "").splitlines()[0],
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
        duration_s=DURATION_S,
        criteria=(),
    )


def one_hot(rng: Random) -> Drawn:
    """One guest of six grows far beyond its size, and the others leave half of theirs idle."""
    guests = [guest_of(f"g{n}", 1024, 4096, around(rng, 400)) for n in range(6)]
    wanted_mib = around(rng, 2200)
    events: list[Event] = [grows("g0", around(rng, 30), around(rng, 24), wanted_mib, hold_s=60)]
    return guests, events, 6 * 1024 + 100


def all_grow(rng: Random) -> Drawn:
    """Four guests grow at once, on a host that has not enough for all."""
    guests = [guest_of(f"g{n}", 512, 2048, around(rng, 200)) for n in range(4)]
    events: list[Event] = [
        grows(guest.name, around(rng, 20), around(rng, 16), around(rng, 1300), hold_s=40)
        for guest in guests
    ]
    return guests, events, 4400


def sawtooth(rng: Random) -> Drawn:
    """Three guests fill and free memory again and again, each in its own rhythm."""
    guests = [guest_of(f"g{n}", 768, 2048, around(rng, 250)) for n in range(4)]
    events: list[Event] = []
    for guest in guests[:3]:
        at_s, period_s = rng.randrange(10, 40), rng.randrange(45, 90)
        top_mib, rate = around(rng, 700), around(rng, 40)
        while at_s < DURATION_S - period_s:
            events.append(grows(guest.name, at_s, rate, top_mib, hold_s=10))
            at_s += period_s
    return guests, events, 3300


def stuck_balloon(rng: Random) -> Drawn:
    """The guest with the most idle memory has a balloon that does not move for two minutes."""
    guests = [
        guest_of("g0", 2048, 2048, 300),
        guest_of("g1", 1024, 2048, around(rng, 300)),
        guest_of("g2", 1024, 2048, around(rng, 300)),
        guest_of("g3", 512, 3072, around(rng, 250)),
    ]
    events: list[Event] = [
        GuestFault(0, "g0", "balloon-stuck", seconds(150)),
        grows("g3", around(rng, 40), around(rng, 16), around(rng, 2200), hold_s=100),
    ]
    return guests, events, 2048 + 2 * 1024 + 512 + 100


def stale_statistics(rng: Random) -> Drawn:
    """Reports of a guest that grows, and of one that is idle, are not renewed for a minute."""
    guests = [guest_of(f"g{n}", 1024, 2048, around(rng, 350)) for n in range(4)]
    from_s = around(rng, 30)
    events: list[Event] = [
        GuestFault(seconds(from_s), "g0", "statistics-stale", seconds(60)),
        GuestFault(seconds(from_s), "g1", "statistics-stale", seconds(90)),
        grows("g0", from_s - 10, around(rng, 12), around(rng, 1200), hold_s=60),
        grows("g1", from_s + 30, around(rng, 16), around(rng, 500), hold_s=60),
        grows("g2", from_s + 20, around(rng, 16), around(rng, 1000), hold_s=60),
    ]
    return guests, events, 4 * 1024 + 300


def floor_thrash(rng: Random) -> Drawn:
    """Small guests use as much as they have and a little more now and then; one leaves all idle.

    Source: home-assistant/operating-system#4805, a balloon that took a guest down to its floor.
    """
    guests = [
        *(guest_of(f"g{n}", 320, 2048, around(rng, 180), swap_mib=512) for n in range(4)),
        guest_of("g4", 2048, 2048, 300),
    ]
    events: list[Event] = []
    for n in range(4):
        for at_s in range(10 + 7 * n, DURATION_S - 60, 60):
            events.append(grows(f"g{n}", at_s, around(rng, 30), around(rng, 200), hold_s=25))
    return guests, events, 4 * 320 + 2048 + 50


def oscillation(rng: Random) -> Drawn:
    """Idle guests of which every page is resident, whatever their size; later one of them grows.

    Source: arcboxlabs/arcbox#390 and #469, sizes that swing about a threshold of free memory.
    """
    guests = [guest_of(f"g{n}", 2048, 3072, around(rng, 900)) for n in range(4)]
    events: list[Event] = [
        touches_all(guest.name, at_s)
        for guest in guests[1:]
        for at_s in range(5, DURATION_S - 5, 10)
    ]
    events.append(grows("g0", around(rng, 120), around(rng, 20), around(rng, 1700), hold_s=90))
    return guests, events, 9000


def ups_and_downs(rng: Random) -> Drawn:
    """Guests whose use goes up and down as measured ones do: small steps, and a leap at times."""
    guests = [guest_of(f"g{n}", 1024, 2048, around(rng, 250)) for n in range(5)]
    events: list[Event] = []
    for guest in guests:
        points, used_mib = [], rng.uniform(100.0, 500.0)
        for at_s in range(0, DURATION_S, 5):
            leap = rng.random() < 0.06
            used_mib += rng.uniform(-250.0, 250.0) if leap else rng.uniform(-40.0, 40.0)
            used_mib = min(max(used_mib, 50.0), 900.0)
            points.append(TracePoint(seconds(at_s), 0.0, mib(used_mib)))
        # After all memory was touched, as a guest follows one trace at a time.
        events.append(StartWorkload(seconds(1), guest.name, Trace(tuple(points))))
    return guests, events, 5 * 1024


FAMILIES: dict[str, Callable[[Random], Drawn]] = {
    "one-hot": one_hot,
    "all-grow": all_grow,
    "sawtooth": sawtooth,
    "stuck-balloon": stuck_balloon,
    "stale-statistics": stale_statistics,
    "floor-thrash": floor_thrash,
    "oscillation": oscillation,
    "ups-and-downs": ups_and_downs,
}
