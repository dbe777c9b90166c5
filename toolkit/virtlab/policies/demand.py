"""What each vCPU wants, and how well that is known.

A look at a vCPU gives one sample x = r / (1 - w) (`seats.demand_of`). It is off for two reasons:

- the kernel counts run time in ticks of 10 ms, so that over an interval T the difference of two
  counts is off by a variance of (10 ms / T)^2 / 6, and x by that over (1 - w)^2;
- what a load wants differs from one second to the next.

So a mean of n samples has a standard error of sqrt(v / n), with v the mean square of the samples'
deviations, never less than the ticks alone cause. Loads change, too:

- *at once*: a sample that is further off than `JUMP` standard deviations is a new load, and the
  mean begins anew with it. A load that changed within the interval is even further off than that
  sample, so that believing it is never too much;
- *slowly*: where the last samples are off the same way, their fading mean (a quarter each) is far
  from 0, and the mean makes up for it, as if it had seen four samples;
- *to and fro*: a load that jumps like clockwork, or before four looks have passed, swings. After
  two such jumps each one doubles the distance that the next one needs. So the swing soon counts as
  deviation, the mean comes to rest, and v says how little it is to be relied on. Jumps at uneven
  times are loads that come and go, and are followed; so is who has been calm for long.

Source: the tick is USER_HZ = 100 in Linux; 1.5 to 3.3 points of deviation in one second were
measured for loops (docs/explanation/laws.md). The fading mean is a control chart (Roberts, Control
chart tests based on geometric moving averages, Technometrics 1, 1959): without drift it has a
variance of v / 7. The rest is this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import TYPE_CHECKING, Final

from virtlab.model.snapshot import CpuSnapshot, VcpuKey
from virtlab.model.units import NS_PER_MS
from virtlab.policies.seats import demand_of

if TYPE_CHECKING:
    from virtlab.policies.demand_table import DemandTable

__all__ = ["Demand", "DemandBook", "Demands"]

JUMP: Final = 4.0  # standard deviations; one sample in 16,000 is as far off by chance
DEVIATION: Final = 0.02  # expected of a load of which nothing is known, in one sample
SAMPLES_MAX: Final = 32  # in a mean: older ones fade
FADE: Final = 1.0 / 16.0  # of the mean square, with each sample
CALM: Final = 64  # samples without a jump or swing, after which one jump is forgiven
SWING: Final = JUMP * DEVIATION
PATIENCE: Final = 2  # regular jumps that are followed before a swing is suspected
RESTLESS_MAX: Final = 8
SHORT: Final = 4  # samples between two jumps: fewer are no time for which to move anybody
LIKE: Final = 0.2  # of the time between two jumps: times that differ by less are regular
TREND: Final = 2.5  # standard deviations of the fading mean
TREND_GAIN: Final = 0.25  # of each sample in it
TREND_SAMPLES: Final = 4  # a mean that made up for a trend is as good as one of so many

_TICK_NS = 10 * NS_PER_MS
_MANY = 512  # vCPUs from which on numpy is worth its calls


@dataclass(slots=True)
class Demand:
    """One vCPU's demand as a share of a pCPU, from all samples so far."""

    mean: float
    square: float  # mean square of deviations
    samples: int = 1
    jump: float = 0.0  # how far the last jump went, after which the mean began anew
    restless: int = 0  # jumps that were regular or soon, and not forgiven
    calm: int = 0  # samples since the last jump or swing
    since: int = 0  # samples since the last jump
    last: int = 0  # samples between the last two jumps
    before: int = 0  # and between those before: the same half of a period as what comes next
    trend: float = 0.0  # fading mean of what the last samples were off by

    @property
    def variance(self) -> float:
        """Return the square of the mean's standard error."""
        if self.restless > PATIENCE + 1:  # what swings is known no better by looking longer
            return self.square
        return self.square / self.samples

    def learn(self, sample: float, tick_square: float) -> None:
        """Take in a sample, whose error by ticks has this mean square."""
        off = sample - self.mean
        square = self.square
        if tick_square > square:
            square = tick_square
        samples = self.samples
        self.since += 1
        expected = square * (1.0 + 1.0 / samples)
        reach = JUMP * (1 << max(self.restless - PATIENCE, 0))
        if off * off > reach * reach * expected:
            # Two in a row the same way are one change of load that began within an interval.
            if not (samples == 1 and self.jump * off > 0.0):
                self._count_jump()
            self.mean, self.samples, self.jump = sample, 1, off
            self.calm, self.trend = 0, 0.0
            return
        self.square = square + (off * off * samples / (samples + 1.0) - square) * FADE
        if samples < SAMPLES_MAX:
            samples += 1
            self.samples = samples
        self.mean += off / samples
        trend = self.trend + (off - self.trend) * TREND_GAIN
        if samples > TREND_SAMPLES and trend * trend > TREND * TREND / 7.0 * square:
            self.mean += trend
            self.samples = TREND_SAMPLES
            trend = 0.0
        self.trend = trend
        self.calm = self.calm + 1 if off * off < SWING * SWING else 0
        if self.restless and self.calm >= max(CALM, 4 * self.last, 4 * self.before):
            self.calm = 0
            self.restless -= 1

    def _count_jump(self) -> None:
        """Hold it against a load if it jumps soon, or when it did a period ago."""
        since = self.since
        if since < SHORT or abs(since - self.before) <= max(1.0, LIKE * since):
            self.restless = min(self.restless + 1, RESTLESS_MAX)
        elif self.restless:
            self.restless -= 1
        self.before, self.last, self.since = self.last, since, 0


@dataclass(frozen=True, slots=True)
class Demands:
    """What the vCPUs of a snapshot want, in its order; 0 and 0 where nothing is known."""

    means: Sequence[float]
    variances: Sequence[float]  # squares of standard errors
    known: Sequence[bool]

    def with_newcomers(self) -> Demands:
        """Return the same, with who has just come taken to want what the others want on average."""
        if all(self.known) or not any(self.known):
            return self
        mean = fsum(self.means) / sum(self.known)
        means = [one if known else mean for one, known in zip(self.means, self.known, strict=True)]
        return Demands(means, self.variances, self.known)


@dataclass(slots=True)
class DemandBook:
    """The demands of all vCPUs that were seen at the last look."""

    _keys: list[VcpuKey] = field(default_factory=list)
    _rows: list[Demand | None] = field(default_factory=list)
    _table: DemandTable | None = None  # instead of rows where there are many

    def learn(self, host: CpuSnapshot) -> Demands:
        """Take in a snapshot; return the demands of its vCPUs.

        A vCPU without figures of the last interval has just come, so that nothing is known of it.
        """
        keys = [v.key for v in host.vcpus]
        tick_square = (_TICK_NS / host.interval_ns) ** 2 / 6.0 if host.interval_ns > 0 else 0.0
        table = self._fitted(keys)
        if table is not None:
            return table.learn(host, tick_square)
        return self._learn_rows(host, tick_square)

    def _fitted(self, keys: list[VcpuKey]) -> DemandTable | None:
        """Bring what is known into the order of these keys; return the table, if it is used."""
        table = self._table
        wanted = _table_type() if len(keys) >= _MANY else None
        if keys != self._keys or (table is None) != (wanted is None):
            rows = self._rows if table is None else table.rows()
            known = dict(zip(self._keys, rows, strict=True))
            self._rows = [known.get(key) for key in keys]
            self._keys = keys
            self._table = table = None if wanted is None else wanted.of_rows(self._rows)
        return table

    def _learn_rows(self, host: CpuSnapshot, tick_square: float) -> Demands:
        rows = self._rows
        for place, vcpu in enumerate(host.vcpus):
            sample = demand_of(vcpu)
            row = rows[place]
            if sample is None or vcpu.delay_share is None:
                rows[place] = None
                continue
            left = max(1.0 - vcpu.delay_share, 0.01)
            square = tick_square / (left * left)
            if row is None:
                rows[place] = Demand(sample, DEVIATION * DEVIATION + square)
            else:
                row.learn(sample, square)
        return Demands(
            [0.0 if row is None else row.mean for row in rows],
            [0.0 if row is None else row.variance for row in rows],
            [row is not None for row in rows],
        )


def _table_type() -> type[DemandTable] | None:
    """Return the table for many vCPUs; None without numpy, where rows do the same, only slower."""
    try:
        from virtlab.policies.demand_table import DemandTable
    except ModuleNotFoundError:
        return None
    return DemandTable
