"""Families of hosts short of memory that are for judging alone: no policy is tuned on them.

They are other troubles than those of `memory_families`, not the same with other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, tau
from random import Random

from virtlab.league.memory_parts import DURATION_S, Drawn, around, grows, guest_of
from virtlab.model.scenario import Event, StartGuest, StartWorkload, StopGuest
from virtlab.model.units import mib, seconds
from virtlab.model.workload import Trace, TracePoint

__all__ = ["HELD_OUT"]


def late_guests(rng: Random) -> Drawn:
    """Guests that boot one after the other into what others leave idle, and some that leave."""
    guests = [guest_of(f"g{n}", 1536, 2048, around(rng, 400)) for n in range(3)]
    guests += [guest_of(f"g{n}", 512, 2048, around(rng, 250), running=False) for n in range(3, 6)]
    events: list[Event] = [StopGuest(seconds(around(rng, 200)), "g0")]
    for n in range(3, 6):
        at_s = around(rng, 40 * (n - 2))
        events.append(StartGuest(seconds(at_s), f"g{n}"))
        events.append(grows(f"g{n}", at_s + 10, around(rng, 16), around(rng, 900), hold_s=80))
    return guests, events, 3 * 1536 + 3 * 512


def slow_leak(rng: Random) -> Drawn:
    """A guest that leaks two MiB a second for as long as it is watched, beside idle ones."""
    guests = [guest_of(f"g{n}", 640, 2048, around(rng, 300)) for n in range(5)]
    events: list[Event] = [grows("g0", around(rng, 15), 2, 2000, hold_s=DURATION_S)]
    events.append(grows("g1", around(rng, 20), 1, 2000, hold_s=DURATION_S))
    return guests, events, 5 * 640 + 40


def file_cache(rng: Random) -> Drawn:
    """Guests that read files all the time, so that their unused memory is cache; two of them grow.

    What is unused says nothing here, what is usable does.
    """
    guests = [
        guest_of(
            f"g{n}", 1024, 2048, around(rng, 300), cache_mib=600, file_reads_mib_s=around(rng, 30)
        )
        for n in range(4)
    ]
    events: list[Event] = [
        grows(f"g{n}", around(rng, 30 + 80 * n), around(rng, 20), around(rng, 1200), hold_s=60)
        for n in range(2)
    ]
    return guests, events, 4 * 1024 + 60


def two_waves(rng: Random) -> Drawn:
    """Half of the guests grow and shrink, and just then the other half grow."""
    guests = [guest_of(f"g{n}", 768, 2048, around(rng, 250)) for n in range(6)]
    events: list[Event] = []
    for n in range(6):
        at_s = around(rng, 25) if n < 3 else around(rng, 130)
        events.append(grows(f"g{n}", at_s, around(rng, 24), around(rng, 1000), hold_s=60))
    return guests, events, 6 * 768


def no_swap(rng: Random) -> Drawn:
    """Guests without swap: who gets memory too late loses its process."""
    guests = [guest_of(f"g{n}", 1024, 2048, around(rng, 300), swap_mib=0) for n in range(5)]
    events: list[Event] = [
        grows(f"g{n}", around(rng, 30 + 60 * n), around(rng, 20), around(rng, 1100), hold_s=50)
        for n in range(3)
    ]
    return guests, events, 5 * 1024


def unlike_sizes(rng: Random) -> Drawn:
    """One large guest that is half idle, and small ones that all want twice what they have."""
    guests = [guest_of("g0", 4096, 8192, around(rng, 1500))]
    guests += [guest_of(f"g{n}", 256, 1024, around(rng, 150), swap_mib=1024) for n in range(1, 9)]
    events: list[Event] = [
        grows(f"g{n}", around(rng, 40), around(rng, 8), around(rng, 350), hold_s=150)
        for n in range(1, 9)
    ]
    events.append(grows("g0", around(rng, 220), around(rng, 60), around(rng, 1500), hold_s=30))
    return guests, events, 4096 + 8 * 256 + 50


def day_and_night(rng: Random) -> Drawn:
    """Half of the guests have their day while the others have their night, in slow waves."""
    guests = [guest_of(f"g{n}", 768, 2048, around(rng, 220), cache_mib=120) for n in range(6)]
    events: list[Event] = []
    for number, guest in enumerate(guests):
        most_mib, length_s = around(rng, 850), around(rng, 140)
        begin = 0.0 if number < 3 else pi
        points = tuple(
            TracePoint(
                seconds(at_s), 0.0, mib(most_mib * (1 - cos(begin + tau * at_s / length_s)) / 2)
            )
            for at_s in range(0, DURATION_S, 5)
        )
        # After all memory was touched, as a guest follows one trace at a time.
        events.append(StartWorkload(seconds(1), guest.name, Trace(points)))
    return guests, events, 6 * 768


HELD_OUT: dict[str, Callable[[Random], Drawn]] = {
    "late-guests": late_guests,
    "slow-leak": slow_leak,
    "file-cache": file_cache,
    "two-waves": two_waves,
    "no-swap": no_swap,
    "unlike-sizes": unlike_sizes,
    "day-and-night": day_and_night,
}
