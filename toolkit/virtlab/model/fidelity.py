"""How far the simulated host is from a real one: figures of the same run on both, and their errors.

A contribution is what one machine measured. It holds the real host's figures and what the program
did there, so that the simulated side can be computed anew whenever a law changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from virtlab.model.verdict import CriterionStatus

__all__ = [
    "AIMS",
    "CONTRIBUTION_VERSION",
    "Act",
    "AimLine",
    "Aims",
    "Contribution",
    "FidelityRun",
    "Machine",
    "NotRun",
    "RunDistance",
    "RunFigures",
    "Settling",
    "SettlingError",
    "SizeError",
    "SizesOverTime",
    "VcpuError",
    "VcpuFigures",
]

CONTRIBUTION_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Aims:
    """What the project wants errors to stay within."""

    share_points: float = 2.0
    delay_points: float = 3.0
    size_percent: float = 5.0  # of a guest's range
    settle_intervals: float = 1.0


AIMS: Final = Aims()


@dataclass(frozen=True, slots=True)
class VcpuFigures:
    """One vCPU over one phase, in points of a pCPU."""

    guest: str
    vcpu: int
    phase: int  # from 1
    share_points: float
    delay_points: float | None  # None: the host does not tell


@dataclass(frozen=True, slots=True)
class SizesOverTime:
    """One guest's memory, an entry for each moment of the figures' `times_ns`."""

    guest: str
    range_kib: int  # between its size at the start and its maximum
    actual_kib: tuple[int, ...]
    unused_kib: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Settling:
    """When something had come to where it stays, in intervals since its phase or run began."""

    what: str  # such as "phase 1", or "aos_vm1 at rest"
    intervals: float


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What is compared of one run."""

    times_ns: tuple[int, ...]  # of the sizes
    vcpus: tuple[VcpuFigures, ...]
    sizes: tuple[SizesOverTime, ...]  # of tests of coordinators only
    settling: tuple[Settling, ...]
    criteria: Mapping[str, CriterionStatus]


@dataclass(frozen=True, slots=True)
class Act:
    """Something that the program did to a guest: an affinity, or a size."""

    time_ns: int
    guest: str
    vcpu: int | None  # None: it set a size
    pcpus: tuple[int, ...]
    memory_kib: int | None


@dataclass(frozen=True, slots=True)
class FidelityRun:
    """One program on one test, on both hosts."""

    scenario: str
    program: str  # such as "reference-c" or "flawed/does-nothing"
    number: int  # of its repetitions, from 1
    disturbed: str | None  # why it does not count
    outside_percent: float | None  # what others used of the pCPUs meanwhile
    held_kib: Mapping[str, int]  # what each real guest held at the start, besides its loads
    acts: tuple[Act, ...]  # on the real host
    real: RunFigures
    simulated: RunFigures  # the program ran there too
    same_acts: RunFigures  # no program, but what it did on the real host


@dataclass(frozen=True, slots=True)
class NotRun:
    """A test that the machine cannot run, and why."""

    scenario: str
    why: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What a contribution was measured on."""

    processor: str
    pcpus: int
    memory_mib: int
    kernel: str
    libvirt: str
    hypervisor: str
    accelerator: str  # "kvm", or "qemu" where it emulates
    itself_virtual: bool


@dataclass(frozen=True, slots=True)
class Contribution:
    """What was measured on one machine."""

    version: int
    virtlab: str
    date: str  # of its last run
    machine: Machine
    outside_points_max: float  # what others might use before a run counted as disturbed
    tests: int  # that the lab ships
    not_run: tuple[NotRun, ...]  # those of them that the machine cannot run
    runs: tuple[FidelityRun, ...]
    loops_held: bool = False  # to their duty, in emulated guests; before, they were only calibrated


@dataclass(frozen=True, slots=True)
class VcpuError:
    """Simulated less real, in points; `same_acts` with what the program did on the real host."""

    guest: str
    vcpu: int
    phase: int
    share_points: float
    share_points_same_acts: float
    delay_points: float | None
    delay_points_same_acts: float | None


@dataclass(frozen=True, slots=True)
class SizeError:
    """Mean distance over the run, in percent of the guest's range."""

    guest: str
    balloon_percent: float
    balloon_percent_same_acts: float
    unused_percent: float
    unused_percent_same_acts: float


@dataclass(frozen=True, slots=True)
class SettlingError:
    """Simulated less real, in intervals; None where only one of the two settled."""

    what: str
    intervals: float | None


@dataclass(frozen=True, slots=True)
class RunDistance:
    """How far the simulated host is from the real one in one run."""

    scenario: str
    program: str
    number: int
    disturbed: str | None
    vcpus: tuple[VcpuError, ...]
    sizes: tuple[SizeError, ...]
    settling: tuple[SettlingError, ...]
    verdicts: Mapping[str, bool]  # of each criterion that both judged: whether they agree
    judged_otherwise: tuple[str, ...]  # where they do not, in words

    @property
    def share_points(self) -> float | None:
        """Return the largest error of a vCPU's share."""
        return _largest(one.share_points for one in self.vcpus)

    @property
    def share_points_same_acts(self) -> float | None:
        """Return the same with what the program did on the real host."""
        return _largest(one.share_points_same_acts for one in self.vcpus)

    @property
    def delay_points(self) -> float | None:
        """Return the largest error of a vCPU's run-queue delay; None where it is not told."""
        return _largest(one.delay_points for one in self.vcpus)

    @property
    def delay_points_same_acts(self) -> float | None:
        """Return the same with what the program did on the real host."""
        return _largest(one.delay_points_same_acts for one in self.vcpus)

    @property
    def balloon_percent(self) -> float | None:
        """Return the mean distance of the balloon that is furthest off."""
        return _largest(one.balloon_percent for one in self.sizes)

    @property
    def balloon_percent_same_acts(self) -> float | None:
        """Return the same with what the program did on the real host."""
        return _largest(one.balloon_percent_same_acts for one in self.sizes)

    @property
    def unused_percent(self) -> float | None:
        """Return the mean distance of unused memory in the guest that is furthest off."""
        return _largest(one.unused_percent for one in self.sizes)

    @property
    def unused_percent_same_acts(self) -> float | None:
        """Return the same with what the program did on the real host."""
        return _largest(one.unused_percent_same_acts for one in self.sizes)

    @property
    def settle_intervals(self) -> float | None:
        """Return the largest error of a settle time; infinite where only one host settled."""
        return _largest(
            math.inf if one.intervals is None else one.intervals for one in self.settling
        )


@dataclass(frozen=True, slots=True)
class AimLine:
    """One kind of error over all runs that count."""

    name: str
    unit: str
    aim: float
    median: float | None
    worst: float | None  # None: nothing was measured, or it is beyond measure
    within: int  # runs whose largest error is within the aim
    runs: int  # in which it was measured


def _largest(errors: Iterable[float | None]) -> float | None:
    return max((abs(error) for error in errors if error is not None), default=None)
