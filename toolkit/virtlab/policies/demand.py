"""What each vCPU wants, and how well that is known.

A look at a vCPU gives one sample x = r / (1 - w) (`seats.demand_of`). It is off for two reasons:

- the kernel counts run time in ticks of 10 ms, so that over an interval T the difference of two
  counts is off by a variance of (10 ms / T)^2 / 6, and x by that over (1 - w)^2;
- what a load wants differs from one second to the next.

So a mean of n samples has a standard error of sqrt(v / n), with v the mean square of the samples'
deviations, never less than the ticks alone cause. A sample that is further off than `JUMP` standard
deviations is a new load: the mean begins anew with it, and one look alone is believed by half. A
load that jumps again and again swings; each jump doubles the distance that the next one needs, so
that after a few the swing counts as deviation, the mean comes to rest, and v says how little it is
to be relied on.

Source: the tick is USER_HZ = 100 in Linux; 1.5 to 3.3 points of deviation in one second were
measured for loops (docs/explanation/laws.md). The rest is this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from virtlab.model.snapshot import CpuSnapshot, VcpuKey
from virtlab.model.units import NS_PER_MS
from virtlab.policies.seats import demand_of

__all__ = ["Demand", "DemandBook"]

JUMP = 4.0  # standard deviations; one sample in 16,000 is as far off by chance
_TICK_NS = 10 * NS_PER_MS
_DEVIATION = 0.02  # expected of a load of which nothing is known, in one sample
_SAMPLES_MAX = 32  # in a mean: older ones fade
_FADE = 1.0 / 16.0  # of the mean square, with each sample
_CALM = 64  # samples without a jump or swing, after which one jump is forgiven
_SWING = JUMP * _DEVIATION
_RESTLESS_MAX = 6


@dataclass(slots=True)
class Demand:
    """One vCPU's demand as a share of a pCPU, from all samples so far."""

    mean: float
    square: float  # mean square of deviations
    samples: int = 1
    jump: float = 0.0  # how far the last jump went, after which the mean began anew
    restless: int = 0  # jumps that were not forgiven
    calm: int = 0  # samples since the last jump or swing

    @property
    def variance(self) -> float:
        """Return the square of the mean's standard error."""
        if self.restless > 1:  # what swings is known no better by looking longer
            return self.square
        doubt = 0.5 * self.jump if self.samples == 1 else 0.0
        return self.square / self.samples + doubt * doubt

    def learn(self, sample: float, tick_square: float) -> None:
        """Take in a sample, whose error by ticks has this mean square."""
        off = sample - self.mean
        square = self.square
        if tick_square > square:
            square = tick_square
        samples = self.samples
        expected = square * (1.0 + 1.0 / samples)
        reach = JUMP * (1 << self.restless)
        if off * off > reach * reach * expected:
            # Two in a row the same way are one change of load that began within an interval.
            if not (samples == 1 and self.jump * off > 0.0):
                self.restless = min(self.restless + 1, _RESTLESS_MAX)
            self.mean, self.samples, self.jump, self.calm = sample, 1, off, 0
            return
        self.square = square + (off * off * samples / (samples + 1.0) - square) * _FADE
        if samples < _SAMPLES_MAX:
            samples += 1
            self.samples = samples
        self.mean += off / samples
        self.calm = self.calm + 1 if off * off < _SWING * _SWING else 0
        if self.calm >= _CALM and self.restless:
            self.calm = 0
            self.restless -= 1


@dataclass(slots=True)
class DemandBook:
    """The demands of all vCPUs that were seen at the last look."""

    _keys: list[VcpuKey] = field(default_factory=list)
    _rows: list[Demand | None] = field(default_factory=list)

    def learn(self, host: CpuSnapshot) -> Sequence[Demand | None]:
        """Take in a snapshot; return each vCPU's demand in its order, None where unknown.

        A vCPU without figures of the last interval has just come, so that nothing is known of it.
        """
        keys = [v.key for v in host.vcpus]
        rows = self._rows
        if keys != self._keys:
            known = dict(zip(self._keys, rows, strict=True))
            rows = [known.get(key) for key in keys]
        tick_square = (_TICK_NS / host.interval_ns) ** 2 / 6.0 if host.interval_ns > 0 else 0.0
        for place, vcpu in enumerate(host.vcpus):
            sample = demand_of(vcpu)
            row = rows[place]
            if sample is None or vcpu.delay_share is None:
                rows[place] = None
                continue
            left = max(1.0 - vcpu.delay_share, 0.01)
            square = tick_square / (left * left)
            if row is None:
                rows[place] = Demand(sample, _DEVIATION * _DEVIATION + square)
            else:
                row.learn(sample, square)
        self._keys, self._rows = keys, rows
        return rows
