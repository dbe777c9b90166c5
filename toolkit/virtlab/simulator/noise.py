"""Noise: what a vCPU wants in one second differs a little from what it wants on the whole.

An idle vCPU uses up to 3 % at random, a loop's duty is off by about a point in each second, and
always-busy vCPUs show none: single seconds of busy sets differed by 0.02 to 0.2 points on Linux,
those of loops by 1.5 to 3.3. It is drawn once a second, each vCPU from its own stream, in few
levels, so that the law's results are found again. Its mean is nothing.
"""

from __future__ import annotations

from typing import Final

from virtlab.simulator.cpu_law import BUSY
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["demand_of"]

# Steps of a binomial with a standard deviation of 1, to be drawn from with equal chances.
_STEPS: Final = (-2,) + (-1,) * 4 + (0,) * 6 + (1,) * 4 + (2,)
# With one step of 1.25 points a pair of loops on one pCPU differs by 1.7 points from second to
# second, and four such pairs stay balanced to well below 3 points over 2 s.
_STEP: Final = 0.0125
# A loop near 0 or near 1 has less room for noise; two steps stay within it.
_ROOM_STEPS: Final = 2.5
_IDLE_LEVELS: Final = 13
# Touching pages one by one with a pause after each costs little CPU time.
_GROWTH_DUTY: Final = 0.05


def demand_of(vcpu: SimulatedVcpu) -> float:
    """Return what a vCPU wants until the next draw, as a share of a pCPU."""
    duty = vcpu.duty
    if duty <= 0.0:
        duty = vcpu.noise_max * int(vcpu.noise.random() * _IDLE_LEVELS) / (_IDLE_LEVELS - 1)
    elif duty < BUSY:
        step = min(_STEP, duty / _ROOM_STEPS, (BUSY - duty) / _ROOM_STEPS)
        duty += step * _STEPS[int(vcpu.noise.random() * len(_STEPS))]
    if vcpu.growing:
        duty = min(duty + _GROWTH_DUTY, 1.0)
    return duty
