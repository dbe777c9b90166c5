"""From counters to a snapshot: what every vCPU ran and waited since the last look.

Counters are those of the kernel, as libvirt passes them on: `vcpu.N.time` in steps of 10 ms and
`vcpu.N.delay` in ns, both since the vCPU's thread began. A thread that is new, or whose counters
went back, has no figures for the interval: None, and not 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.topology import Topology

__all__ = ["CpuSensor", "VcpuReading"]


class VcpuReading(NamedTuple):
    """One vCPU as a host shows it now; fields that `VcpuView` has too mean the same."""

    key: VcpuKey
    life: str  # differs between two guests of one name, and between two starts of a guest
    run_ns: int
    delay_ns: int
    pcpus: frozenset[int]
    last_on: int | None = None
    allowed: frozenset[int] | None = None
    weight: int = 1024
    cap_share: float | None = None
    movable: bool = True
    memory_cells: frozenset[int] | None = None


@dataclass(slots=True)
class CpuSensor:
    """Remembers the counters of the last look."""

    topology: Topology
    _time_ns: int = 0
    _seen: dict[VcpuKey, tuple[str, int, int]] = field(default_factory=dict)

    def look(self, time_ns: int, readings: Iterable[VcpuReading]) -> CpuSnapshot:
        """Return the snapshot of a moment; figures are over the time since the last one.

        Args:
            time_ns: the moment at which the counters were read.
            readings: all vCPUs of running guests, in the order of their keys.
        """
        interval_ns = time_ns - self._time_ns
        before, self._seen = self._seen, {}
        vcpus = []
        for one in readings:
            self._seen[one.key] = (one.life, one.run_ns, one.delay_ns)
            run_share, delay_share = _shares(one, before.get(one.key), interval_ns)
            vcpus.append(
                VcpuView(
                    key=one.key,
                    pcpus=one.pcpus,
                    last_on=one.last_on,
                    run_share=run_share,
                    delay_share=delay_share,
                    allowed=one.allowed,
                    weight=one.weight,
                    cap_share=one.cap_share,
                    movable=one.movable,
                    memory_cells=one.memory_cells,
                )
            )
        self._time_ns = time_ns
        return CpuSnapshot(time_ns, interval_ns, self.topology, tuple(vcpus))


def _shares(
    now: VcpuReading, before: tuple[str, int, int] | None, interval_ns: int
) -> tuple[float | None, float | None]:
    if before is None or interval_ns <= 0:
        return None, None
    life, run_ns, delay_ns = before
    ran_ns, waited_ns = now.run_ns - run_ns, now.delay_ns - delay_ns
    if life != now.life or ran_ns < 0 or waited_ns < 0:
        return None, None
    return ran_ns / interval_ns, waited_ns / interval_ns
