"""What a slower pCPU makes of a load: the closed loop whose work takes longer.

Work is pCPU time at full capacity, and a speed of s does s of it in a second. A loop of duty d
works for d of a period and sleeps for 1 - d of it. At speed s the same work takes d / s, and the
sleep is as long as before, so that alone on its pCPU the loop now wants

    (d / s) / (d / s + 1 - d)

of it, and goes round 1 / (d / s + 1 - d) as often. A loop that never sleeps wants all, as before.

The speed of a vCPU is the product of three: the capacity of its pCPU, which is of `cpu_capacity`
in Linux the part of 1024 (Documentation/scheduler/sched-capacity.rst: work done in a time is in
proportion to it); what its sibling leaves it (`smt_law`); and how near its memory is (`numa_law`).
That they multiply is an assumption: a thread that waits for far memory leaves its sibling more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from virtlab.simulator.cpu_law import BUSY

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64]

__all__ = ["rounds_at", "stretched", "stretched_table"]


def stretched(duty: float, speed: float) -> float:
    """Return the share of its pCPU that a loop of this duty wants at a speed."""
    if speed == 1.0 or duty >= BUSY:
        return duty
    works = duty / speed
    return works / (works + (1.0 - duty))


def stretched_table(np: Any, duties: Floats, speeds: Floats) -> Floats:
    """Return the same for a table of duties, to the last bit."""
    works = duties / speeds
    wanted: Floats = np.where(
        (speeds == 1.0) | (duties >= BUSY), duties, works / (works + (1.0 - duties))
    )
    return wanted


def rounds_at(duty: float, speed: float) -> float:
    """Return how many rounds such a loop makes, over those that it makes at full speed."""
    return 1.0 / (duty / speed + (1.0 - duty))
