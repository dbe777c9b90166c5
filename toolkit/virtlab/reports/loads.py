"""A scenario's loads over time, as a picture in text: a row a guest, a column a stretch of time."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.model.scenario import Scenario, StartWorkload, StopGuest, StopWorkload
from virtlab.model.units import NS_PER_S
from virtlab.model.workload import Duty, MemoryGrowth

__all__ = ["loads_picture"]

_COLUMNS = 40
_LEVELS, _ASCII_LEVELS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"


def loads_picture(scenario: Scenario, *, ascii_only: bool = False) -> Iterator[str]:
    """Yield the lines of a picture of what each guest's loads want.

    CPU loads are drawn by their share of a pCPU, memory loads by what they would hold if nothing
    stopped them, as a share of the guest's maximum. Guests without any load are left out, and so
    are traces, and batches, whose end depends on the host.
    """
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    width = max((len(guest.name) for guest in scenario.guests), default=0)
    drawn = False
    for guest in scenario.guests:
        wanted = [
            _wanted(scenario, guest.name, guest.max_memory_kib, (n + 0.5) / _COLUMNS)
            for n in range(_COLUMNS)
        ]
        if any(wanted):
            drawn = True
            bar = "".join(levels[_level(share, len(levels))] for share in wanted)
            yield f"  {guest.name:<{width}} |{bar}|"
    if drawn:
        end = f"{scenario.duration_s} s"
        yield f"  {'':<{width}}  0 s{end:>{_COLUMNS - 3}}"


def _level(share: float, levels: int) -> int:
    if share <= 0:
        return 0
    return min(max(round(share * (levels - 1)), 1), levels - 1)


def _wanted(scenario: Scenario, guest: str, max_memory_kib: int, at_share: float) -> float:
    at_ns = round(at_share * scenario.duration_s * NS_PER_S)
    duty = 0.0
    growth: tuple[int, MemoryGrowth] | None = None
    for event in scenario.events:
        if event.time_ns > at_ns or getattr(event, "guest", None) != guest:
            continue
        match event:
            case StartWorkload(workload=Duty(duty=share)):
                duty = share
            case StartWorkload(workload=MemoryGrowth() as load):
                growth = (event.time_ns, load)
            case StopWorkload(kind=kind):
                duty = duty if kind == "memory" else 0.0
                growth = growth if kind == "cpu" else None
            case StopGuest():
                duty, growth = 0.0, None
    if duty or growth is None:
        return duty
    return _held_kib(growth[1], at_ns - growth[0], max_memory_kib) / max_memory_kib


def _held_kib(load: MemoryGrowth, since_ns: int, max_memory_kib: int) -> float:
    """Return what a load holds some time after its start, if it gets all that it wants."""
    until_kib = max_memory_kib if load.until_kib is None else load.until_kib
    growing_ns = until_kib / load.rate_kib_s * NS_PER_S
    if since_ns < growing_ns:
        return load.rate_kib_s * since_ns / NS_PER_S
    if load.until_kib is None:  # the guest's own out-of-memory killer ends it there
        return 0.0
    released = load.then_release and since_ns > growing_ns + load.hold_ns
    return 0.0 if released else until_kib
