"""Noise: what a vCPU wants in one second differs a little from what it wants on the whole.

An idle vCPU uses up to 3 % at random, a loop's duty is off by about a point in each second, and
always-busy vCPUs show none: single seconds of busy sets differed by 0.02 to 0.2 points on Linux,
those of loops by 1.5 to 3.3. It is drawn once a second, each vCPU from its own stream, in few
levels, so that the law's results are found again. A loop's noise leaves its mean where it is; what
an idle vCPU uses has a mean of half its largest.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from virtlab.simulator.cpu_law import BUSY
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["draw", "drawn_anew"]

# Steps of a binomial with a standard deviation of 1, to be drawn from with equal chances.
_STEPS: Final = (-2,) + (-1,) * 4 + (0,) * 6 + (1,) * 4 + (2,)
# With one step of 1.25 points a pair of loops on one pCPU differs by 1.7 points from second to
# second, and four such pairs stay balanced to well below 3 points over 2 s.
_STEP: Final = 0.0125
# A loop near 0 or near 1 has less room for noise; two steps stay within it.
_ROOM_STEPS: Final = 2.5
_IDLE_LEVELS: Final = 13


def draw(vcpu: SimulatedVcpu) -> None:
    """Draw what a vCPU wants until the next draw, as a share of a pCPU at full speed."""
    levels = vcpu.levels = _levels(
        vcpu.duty, vcpu.noise_max, vcpu.growth_duty if vcpu.growing else 0.0
    )
    duty = levels[0] if len(levels) == 1 else levels[int(vcpu.draw() * len(levels))]
    vcpu.duty_now = vcpu.demand = duty


def drawn_anew(vcpus: Iterable[SimulatedVcpu]) -> list[SimulatedVcpu]:
    """Draw what vCPUs want in the next second; return those that want something else."""
    changed = []
    for vcpu in vcpus:
        levels = vcpu.levels
        count = len(levels)
        if count > 1:
            duty = levels[int(vcpu.draw() * count)]
            if duty != vcpu.duty_now:
                vcpu.duty_now = vcpu.demand = duty
                changed.append(vcpu)
    return changed


@lru_cache(maxsize=4096)
def _levels(duty: float, noise_max: float, growth: float) -> tuple[float, ...]:
    """Return what a vCPU may want, each with the same chance; one value where nothing is drawn."""
    if duty <= 0.0:
        levels = [noise_max * level / (_IDLE_LEVELS - 1) for level in range(_IDLE_LEVELS)]
    elif duty < BUSY:
        step = min(_STEP, duty / _ROOM_STEPS, (BUSY - duty) / _ROOM_STEPS)
        levels = [duty + step * steps for steps in _STEPS]
    else:
        levels = [duty]
    if growth:
        levels = [min(level + growth, 1.0) for level in levels]
    return tuple(levels)
