"""What is known of a real host over time, and who but the run used its pCPUs.

A figure is only as good as the quiet around it: what others than the run's guests, its program and
the lab itself use of the pCPUs, or what the machine's own host takes away, makes guests wait and
bends every share. So both are measured, and a run that was disturbed is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtlab.hosts.real.link import HostLink
from virtlab.libvirt_rpc.client import Answer
from virtlab.model.units import NS_PER_S

__all__ = ["HostRecord", "Outside", "disturbed_by_load", "mean_outside", "outside_words"]

_ALL_CPUS: Final = -1  # VIR_NODE_CPU_STATS_ALL_CPUS
_ALL_CELLS: Final = -1
_FIGURES: Final = 4  # of CPU and of memory statistics; libvirt wants the exact number
_MISSED_SHARE_MAX: Final = (
    0.1  # one interval in ten may be disturbed, as one window in ten may miss
)
_SWAP: Final = re.compile(r"^Swap(Total|Free): +(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outside:
    """What was not the run's, over one interval, in points of all pCPUs together."""

    at_ns: int
    others: float  # used by others
    stolen: float  # not given to the machine at all

    @property
    def points(self) -> float:
        """Return both."""
        return self.others + self.stolen


class HostRecord:
    """The host's pCPUs and memory."""

    def __init__(self, pcpus: int) -> None:
        self.pcpus = pcpus
        self.free_kib = 0
        self.outside: list[Outside] = []
        self.fresh = False
        self._busy_ns: list[float] = [0.0] * pcpus
        self._node_ns = (0, 0)  # busy and idle time of all pCPUs, since its boot
        self._before: tuple[int, int, int, int] | None = None
        self._swap_first_kib = _swap_used_kib()
        self._busy_first: list[float] = []
        self._rows: list[tuple[list[int], int, int]] = []

    def ran(self, at: Sequence[int], ran_ns: int) -> None:
        """Note where a vCPU ran; time at places that it moved between counts half for each."""
        for pcpu in at:
            if 0 <= pcpu < self.pcpus:
                self._busy_ns[pcpu] += ran_ns / len(at)

    def ask(self, link: HostLink) -> None:
        """Ask for this second's figures."""
        self.fresh = False
        link.ask("NODE_GET_CPU_STATS", _ALL_CPUS, _FIGURES, 0, then=self._cpu)
        link.ask("NODE_GET_MEMORY_STATS", _FIGURES, _ALL_CELLS, 0, then=self._memory)

    def keep(self, now_ns: int, own_ns: int) -> None:
        """Add a row of what is known now.

        Args:
            now_ns: scenario time.
            own_ns: CPU time that the guests, the program and the lab have used, cumulative.
        """
        if not self._rows:
            self._busy_first = list(self._busy_ns)
        busy = [round(b - first) for b, first in zip(self._busy_ns, self._busy_first, strict=True)]
        swapped = max(_swap_used_kib() - self._swap_first_kib, 0)
        self._rows.append((busy, self.free_kib, swapped))
        state = (now_ns, *self._node_ns, own_ns)
        if self._before is not None and now_ns > self._before[0]:
            span, used, idle, own = (n - b for n, b in zip(state, self._before, strict=True))
            whole = span * self.pcpus
            self.outside.append(
                Outside(
                    now_ns,
                    max(100 * (used - own) / whole, 0.0),
                    max(100 * (whole - used - idle) / whole, 0.0),
                )
            )
        self._before = state

    def columns(
        self,
    ) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...], tuple[int, ...]]:
        """Return the busy time of each pCPU, free memory and swap in use."""
        if not self._rows:
            return ((),) * self.pcpus, (), ()
        busy, free, swap = zip(*self._rows, strict=True)
        return tuple(zip(*busy, strict=True)), free, swap

    def _cpu(self, answer: Answer) -> None:
        if answer.error is None:
            found = {stat.field: stat.value for stat in answer.results.params}
            self._node_ns = (found["kernel"] + found["user"], found["idle"] + found["iowait"])

    def _memory(self, answer: Answer) -> None:
        if answer.error is None:
            found = {stat.field: stat.value for stat in answer.results.params}
            # Caches are given back when somebody asks for memory.
            self.free_kib = found["free"] + found.get("buffers", 0) + found.get("cached", 0)
        self.fresh = True


def disturbed_by_load(outside: Sequence[Outside], points_max: float) -> str | None:
    """Return why a run does not count, in words, or None where it was quiet enough."""
    loud = [one for one in outside if one.points > points_max]
    if len(loud) <= _MISSED_SHARE_MAX * len(outside):
        return None
    worst = max(loud, key=lambda one: one.points)
    who = "others than the run" if worst.others >= worst.stolen else "the machine's own host"
    return (
        f"{who} took up to {worst.points:.0f} % of the pCPUs (at {worst.at_ns / NS_PER_S:.0f} s), "
        f"and more than {points_max:g} % in {len(loud)} of {len(outside)} s"
    )


def outside_words(outside: Sequence[Outside]) -> str:
    """Return what was not the run's, over all of it, as a sentence."""
    if not outside:
        return "Who else used the pCPUs was not measured."
    others = sum(one.others for one in outside) / len(outside)
    stolen = sum(one.stolen for one in outside) / len(outside)
    text = f"Others used {others:.0f} % of the pCPUs on average"
    return f"{text}." if stolen < 1 else f"{text}; {stolen:.0f} % was never given to the machine."


def mean_outside(outside: Sequence[Outside]) -> float | None:
    """Return what was not the run's, over all of it, in percent of the pCPUs."""
    if not outside:
        return None
    return round(sum(one.points for one in outside) / len(outside), 1)


def _swap_used_kib() -> int:
    """Return the swap in use on this machine, of which libvirt tells nothing."""
    found = dict(_SWAP.findall(Path("/proc/meminfo").read_text()))
    return int(found.get("Total", 0)) - int(found.get("Free", 0))
