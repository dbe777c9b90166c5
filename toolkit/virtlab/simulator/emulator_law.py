"""What QEMU's own threads use beside the vCPUs: the main loop, which serves devices and clients.

Measured, the process of a guest used 1.5 to 3 % more than its vCPUs ran (12 % where a client asked
for statistics each 20 ms), so 2 % of what they ran is counted on top, and loads no pCPU: so little
makes no difference to anybody.

Where a scenario gives a guest an `emulator_share`, these threads run as one more thread on the
host, which wants that part of what the loads of its vCPUs want together:

    duty of the emulator = emulator_share * sum of duties,      1 at most

It sits on one of the pCPUs that the emulator is bound to (`emulatorpin`), or wanders among all, and
takes its share of that by the law, within the guest's quotas. It wakes up for little work at a
time, as idle vCPUs do: loops of short work are served in turn beside it (`queue_law`), and it is
not weighed with its guest (`weight_law`). A guest without loads leaves its emulator idle.

That its use follows the vCPUs' loads is an assumption, good for guests whose work does input and
output as it goes; how much that is depends on the devices, and was not measured here. One thread
stands for all of them (libvirt has `iothreads` apart, which the simulated host has none of).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from virtlab.simulator.cpu_law import added

__all__ = ["EMULATOR_SHARE", "emulator_duty"]

EMULATOR_SHARE: Final = 0.02


def emulator_duty(share: float, duties: Sequence[float]) -> float:
    """Return what share of a pCPU the emulator wants beside vCPUs of these duties."""
    return min(share * added(duties), 1.0)
