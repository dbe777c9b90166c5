"""Four guests that are squeezed alike: idle, plain, with swap, and with deflate-on-OOM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from virtlab.league.memory_parts import grows, guest_of
from virtlab.league.memory_run import run_coordinator
from virtlab.lessons.lesson import Curves, Said, Shown, Table
from virtlab.lessons.small_hosts import small_host
from virtlab.model.scenario import Scenario, SetMemory
from virtlab.model.timeline import Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib, seconds
from virtlab.policies.coordination.static import Static
from virtlab.policies.parameters import tunable
from virtlab.simulator.host import SimulatedHost

_SIZE_MIB, _USED_MIB, _SQUEEZED_AT_S = 1024, 200, 30.0
_WORKERS = ("plain", "with swap", "deflates")


@dataclass(frozen=True, slots=True)
class Balloon:
    """A program grows to 600 MiB; halfway, the balloon is asked to leave less than that."""

    target_mib: int = tunable(
        400, unit="MiB", effect="what the balloon is asked to leave", at_least=200, at_most=1024
    )

    def shown(self) -> Iterator[Shown]:
        """Yield sizes over time, and how each guest fared."""
        swapped: dict[str, int] = {}
        timeline = run_coordinator(
            self._squeeze(), Static(), on_look=lambda host: _note_swap(host, swapped)
        )
        sizes = {
            guest.name: [kib / KIB_PER_MIB for kib in guest.actual_kib] for guest in timeline.guests
        }
        yield Curves("sizes", "MiB", "size, each second for two minutes", sizes)
        held = {
            guest.name: [kib / KIB_PER_MIB for kib in guest.consumer_kib]
            for guest in timeline.guests
            if guest.name in _WORKERS
        }
        yield Curves("programs", "MiB", "what the program holds", held)
        rows = [
            (
                guest.name,
                min(guest.actual_kib) // KIB_PER_MIB,
                guest.actual_kib[-1] // KIB_PER_MIB,
                swapped[guest.name] // KIB_PER_MIB,
                _fate(timeline, guest.name),
            )
            for guest in timeline.guests
        ]
        head = ("guest", "smallest, MiB", "at the end, MiB", "swapped out, MiB", "the program")
        yield Table("fates", head, rows)
        killed = [name for name in _WORKERS if "killed" in _fate(timeline, name)]
        yield Said("fates", f"Killed by {self.target_mib} MiB: {', '.join(killed) or 'nobody'}.")

    def _squeeze(self) -> Scenario:
        usual = guest_of("plain", _SIZE_MIB, _SIZE_MIB, _USED_MIB, swap_mib=0)
        guests = [
            replace(usual, name="idle"),
            usual,
            guest_of("with swap", _SIZE_MIB, _SIZE_MIB, _USED_MIB, swap_mib=1024),
            replace(usual, name="deflates", deflate_on_oom=True),
        ]
        events = [grows(name, 1, 10, 600, hold_s=40) for name in _WORKERS]
        squeezes = [
            SetMemory(seconds(_SQUEEZED_AT_S), guest.name, mib(self.target_mib)) for guest in guests
        ]
        return small_host(
            guests, [*events, *squeezes], program="memory_coordinator", duration_s=120
        )


def _note_swap(host: SimulatedHost, swapped: dict[str, int]) -> None:
    for guest in host.guests.values():
        swapped[guest.name] = guest.memory.figures(host.now_ns).swap_out_kib


def _fate(timeline: Timeline, name: str) -> str:
    """Return what became of a guest's program."""
    for event in timeline.events:
        if event.guest == name and event.kind == "oom_kill":
            return f"killed at {event.time_ns / NS_PER_S:.0f} s"
    return "finished" if name in _WORKERS else "there was none"
