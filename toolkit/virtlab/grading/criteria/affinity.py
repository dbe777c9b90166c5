"""What affinities permit: whether the balance of a phase follows from the masks alone.

A vCPU that is bound to one pCPU can sit nowhere else. A wider mask is as good where every
placement that it permits is balanced; otherwise the balance is the host scheduler's luck.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from virtlab.grading.windows import Phase, spread_points
from virtlab.model.timeline import Timeline

__all__ = ["Unbound", "VcpuKey", "demands", "name_of", "pcpu_set", "unbound_moments"]

VcpuKey = tuple[str, int]  # guest and vCPU number
Masks = Mapping[VcpuKey, tuple[int, ...]]

# More placements than this are not tried: the masks count as not bound, which is the safe side.
_PLACEMENTS_MAX = 4096
# Above this demand a pCPU counts as full; the law has its limit at 1.
_FULL = 0.9999


@dataclass(frozen=True, slots=True)
class Unbound:
    """A moment at which the balance did not follow from the masks."""

    time_ns: int
    vcpus: tuple[VcpuKey, ...]  # loaded, and not bound to one pCPU
    mask: tuple[int, ...]  # of the first
    spread_points: float | None  # of a placement that the masks permit; None: not tried


def name_of(key: VcpuKey) -> str:
    """Return a vCPU in words."""
    return f"{key[0]} vCPU {key[1]}"


def pcpu_set(pcpus: Sequence[int]) -> str:
    """Return a mask in words, such as pCPUs 0-3 or pCPU 2."""
    runs: list[list[int]] = []
    for pcpu in pcpus:
        if runs and pcpu == runs[-1][-1] + 1:
            runs[-1].append(pcpu)
        else:
            runs.append([pcpu])
    words = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"pCPU {words}" if len(pcpus) == 1 else f"pCPUs {words or 'none'}"


def demands(timeline: Timeline, phase: Phase) -> dict[VcpuKey, float]:
    """Return what each vCPU wants of a pCPU in the settled part of a phase, from 0 to 1.

    A closed loop that runs a share r and waits a share w of the time wants r / (1 - w).
    """
    times = timeline.times_ns
    last = bisect_right(times, phase.end_ns) - 1
    first = bisect_left(times, phase.deadline_ns)
    if first >= last:
        first = bisect_left(times, phase.start_ns)
    if first >= last:
        return {}
    span_ns = times[last] - times[first]
    wanted = {}
    for guest in timeline.guests:
        for number, vcpu in enumerate(guest.vcpus):
            run = (vcpu.run_ns[last] - vcpu.run_ns[first]) / span_ns
            wait = (vcpu.delay_ns[last] - vcpu.delay_ns[first]) / span_ns
            demand = 1.0 if wait >= 1 else run / (1 - wait)
            wanted[(guest.name, number)] = min(max(demand, 0.0), 1.0)
    return wanted


def unbound_moments(timeline: Timeline, phase: Phase, sd_points_max: float) -> list[Unbound]:
    """Return the moments of a phase, samples and changes of masks, that were not bound."""
    times = timeline.times_ns
    wanted = demands(timeline, phase)
    placements = _Placements(timeline.pcpus, wanted, sd_points_max)
    found = []
    for time_ns, masks in _mask_states(timeline, phase):
        index = max(bisect_right(times, time_ns) - 1, 0)
        loaded = {
            (guest.name, number): masks[(guest.name, number)]
            for guest in timeline.guests
            for number, vcpu in enumerate(guest.vcpus)
            if vcpu.loaded[index]
        }
        wide = tuple(key for key, mask in loaded.items() if len(mask) != 1)
        if not wide:
            continue
        balanced, spread = placements.judge(tuple(loaded.items()))
        if not balanced:
            found.append(Unbound(time_ns, wide, loaded[wide[0]], spread))
    return found


def _mask_states(timeline: Timeline, phase: Phase) -> Iterator[tuple[int, Masks]]:
    """Yield the masks at each sample and after each change of a phase, in order of time."""
    masks = {
        (guest.name, number): mask
        for guest in timeline.guests
        for number, mask in enumerate(guest.start_masks)
    }
    changes = [pin for pin in timeline.pins if pin.effective and pin.time_ns < phase.end_ns]
    moments = {time for time in timeline.times_ns if phase.start_ns <= time < phase.end_ns}
    moments |= {pin.time_ns for pin in changes if pin.time_ns >= phase.start_ns}
    done = 0
    for time_ns in sorted(moments):
        while done < len(changes) and changes[done].time_ns <= time_ns:
            pin = changes[done]
            masks[(pin.guest, pin.vcpu)] = pin.pcpus
            done += 1
        yield time_ns, masks


class _Placements:
    """Tries every placement that some masks permit; equal questions are answered once."""

    def __init__(self, pcpus: int, wanted: Mapping[VcpuKey, float], limit: float) -> None:
        self._pcpus = pcpus
        self._wanted = wanted
        self._limit = limit
        self._known: dict[tuple[tuple[VcpuKey, tuple[int, ...]], ...], _Answer] = {}
        self._points: dict[tuple[float, ...], float] = {}

    def judge(self, loaded: tuple[tuple[VcpuKey, tuple[int, ...]], ...]) -> _Answer:
        """Return whether all placements are balanced, and the spread of one that is not."""
        if loaded not in self._known:
            self._known[loaded] = self._try(loaded)
        return self._known[loaded]

    def _try(self, loaded: tuple[tuple[VcpuKey, tuple[int, ...]], ...]) -> _Answer:
        choices = [
            [pcpu for pcpu in mask if 0 <= pcpu < self._pcpus] or list(range(self._pcpus))
            for _, mask in loaded
        ]
        wanted = [self._wanted.get(key, 0.0) for key, _ in loaded]
        # All that may crowd on one pCPU do: the likeliest counterexample, so it comes first.
        crowded = (
            tuple(pcpu if pcpu in choice else choice[0] for choice in choices)
            for pcpu in range(self._pcpus)
        )
        few = math.prod(len(choice) for choice in choices) <= _PLACEMENTS_MAX
        for placement in itertools.chain(crowded, itertools.product(*choices) if few else ()):
            spread = self._spread(placement, wanted)
            if spread > self._limit:
                return False, spread
        return few, None

    def _spread(self, placement: tuple[int, ...], wanted: list[float]) -> float:
        sets: list[list[float]] = [[] for _ in range(self._pcpus)]
        for pcpu, demand in zip(placement, wanted, strict=True):
            sets[pcpu].append(demand)
        return spread_points([self._pcpu_points(tuple(sorted(one))) for one in sets])

    def _pcpu_points(self, wanted: tuple[float, ...]) -> float:
        if wanted not in self._points:
            self._points[wanted] = 100 * _served_share(wanted)
        return self._points[wanted]


_Answer = tuple[bool, float | None]


def _served_share(wanted: Sequence[float]) -> float:
    """Return a pCPU's utilisation under closed loops: 1 - 1/G, G = sum of k! e_k(rho).

    Source: processor sharing with finite sources, rho = d / (1 - d); e_k are the elementary
    symmetric polynomials. Below saturation loops collide, so it is less than their sum.
    """
    if any(demand >= _FULL for demand in wanted):
        return 1.0
    polynomial = [1.0]
    for demand in wanted:
        rho = demand / (1 - demand)
        polynomial = [
            low + rho * high
            for low, high in zip([*polynomial, 0.0], [0.0, *polynomial], strict=True)
        ]
    total = math.fsum(math.factorial(k) * e_k for k, e_k in enumerate(polynomial))
    return 1 - 1 / total
