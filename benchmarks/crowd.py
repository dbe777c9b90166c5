"""Hosts of any size, with loads as on a busy host: what scale is measured on.

    python -m benchmarks.crowd GUESTS VCPUS PCPUS FOLDER

serves one in real time, as `virtlab serve` does for a scenario file. Each pCPU carries the same
number of vCPUs, pinned in turn; of each eight one is busy a third of the time, two a twentieth, and
five are idle, so that with 20 vCPUs a pCPU each is used for about 95 %. Ten vCPUs a second are
pinned elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from virtlab.model.scenario import Event, GuestSpec, HostSpec, PinVcpu, Scenario, StartWorkload
from virtlab.model.units import NS_PER_S
from virtlab.model.workload import Duty

__all__ = ["PINS_A_SECOND", "crowd"]

PINS_A_SECOND = 10
_PERIOD_NS = 500_000
_DUTIES = (0.33, 0.0, 0.05, 0.0, 0.0, 0.05, 0.0, 0.0)
_MEMORY_KIB = 512 * 1024


def crowd(
    guests: int, vcpus: int, pcpus: int, *, seconds: int = 60, pinned: bool = True
) -> Scenario:
    """Return a host with so many guests of so many vCPUs each."""
    rng = Random("crowd")
    specs = tuple(
        GuestSpec(
            name=f"guest-{number:05}",
            vcpus=vcpus,
            memory_kib=_MEMORY_KIB,
            max_memory_kib=_MEMORY_KIB,
            affinity=tuple(
                ((number * vcpus + index) % pcpus,) if pinned else None for index in range(vcpus)
            ),
            kernel_kib=42 * 1024,
            processes_kib=60 * 1024,
            cache_kib=100 * 1024,
        )
        for number in range(guests)
    )
    events: list[Event] = []
    for number, guest in enumerate(specs):
        for index in range(vcpus):
            duty = _DUTIES[(number * vcpus + index) // pcpus % len(_DUTIES)]
            if duty > 0.0:
                events.append(StartWorkload(0, guest.name, Duty(duty, _PERIOD_NS), (index,)))
    for turn in range(seconds * PINS_A_SECOND if pinned else 0):
        events.append(
            PinVcpu(
                turn * NS_PER_S // PINS_A_SECOND + 1,
                specs[rng.randrange(guests)].name,
                rng.randrange(vcpus),
                (rng.randrange(pcpus),),
            )
        )
    return Scenario(
        id="crowd",
        title=f"{guests} guests of {vcpus} vCPUs on {pcpus} pCPUs",
        why="scale",
        program="vcpu_scheduler",
        seed=1,
        host=HostSpec(pcpus, (guests + 8) * _MEMORY_KIB, _MEMORY_KIB),
        guests=specs,
        events=tuple(events),
        interval_s=1,
        duration_s=seconds,
        criteria=(),
    )


def main() -> None:
    from virtlab.hosts.simulated.paced import PacedHost, stop_signals
    from virtlab.hosts.simulated.server import SOCKET_NAME

    guests, vcpus, pcpus = map(int, sys.argv[1:4])
    folder = Path(sys.argv[4])
    folder.mkdir(parents=True, exist_ok=True)
    host = PacedHost(crowd(guests, vcpus, pcpus), folder)
    try:
        with stop_signals(host):
            print(f"qemu+unix:///system?socket={folder / SOCKET_NAME}", flush=True)
            host.serve()
    finally:
        host.close()


if __name__ == "__main__":
    main()
