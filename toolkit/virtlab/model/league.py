"""A league as plain values: who took part, on what, how each fared, and what could be had.

Everything here is written to disk and read again without loss, and holds nothing that differs
between two equal leagues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "MEASURES",
    "Bout",
    "Comparison",
    "Entrant",
    "Family",
    "League",
    "Measure",
    "Optimum",
    "Origin",
    "PolicyKind",
    "Sensitivity",
    "Standing",
    "Table",
    "measures_of",
]

PolicyKind = Literal["scheduling", "coordination"]
Origin = Literal["course", "family", "file"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """By how much a policy differs from the reference in one measure, paired by seed."""

    difference: float  # its mean less the reference's
    low: float
    high: float  # of an interval that holds the true one with 95 %


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a run; docs/explanation/league.md has the formulas."""

    name: str
    kind: PolicyKind
    unit: str
    title: str
    about: str  # how it comes about, in a line
    more_is_better: bool = False
    primary: bool = False  # by which policies of a kind are ranked
    harm: bool = False  # a reference that is behind in it is named
    step: float = 1e-9  # means that are the same in whole steps share a rank

    def level(self, mean: float) -> int:
        """Return a mean in whole steps; less is better."""
        return round(-mean / self.step if self.more_is_better else mean / self.step)

    def better(self, difference: Comparison) -> bool:
        """Tell whether who differs so from the reference is better than it beyond doubt."""
        return difference.low > 0.0 if self.more_is_better else difference.high < 0.0


MEASURES: tuple[Measure, ...] = (
    Measure(
        "delay_p99", "scheduling", "share", "p99 delay",
        "of all seconds of loaded vCPUs, the share spent on a run queue in the hundredth worst",
        primary=True, harm=True, step=0.01,  # the laws themselves are off by more
    ),
    Measure(
        "work_s", "scheduling", "s", "work", "done by loads, in seconds of a full pCPU",
        more_is_better=True, harm=True,
    ),
    Measure(
        "peak", "scheduling", "share", "busiest",
        "what loads on the fullest pCPU want together, on average",
    ),
    Measure(
        "spread", "scheduling", "points", "spread",
        "standard deviation of the pCPUs' use over 2 s, on average",
    ),
    Measure("moves", "scheduling", "", "moves", "affinities that were changed"),
    Measure("calls", "scheduling", "", "calls", "affinities that were set, changed or not"),
    Measure(
        "settle_s", "scheduling", "s", "settled",
        "after a change of load, until the spread stays within 5 points",
    ),
    Measure(
        "fairness", "scheduling", "", "fairness",
        "Jain's index of what vCPUs ran over what is due to them", more_is_better=True,
    ),
    Measure(
        "shortage_mib_s", "coordination", "MiB s", "shortage", "below need, over all guests",
        primary=True, harm=True, step=1.0,
    ),
    Measure("idle_mib", "coordination", "MiB", "idle", "above need, over all guests, on average"),
    Measure("guest_swap_mib", "coordination", "MiB", "guests' swap", "written by guests in all"),
    Measure("host_swap_mib", "coordination", "MiB", "host's swap", "of the host, at most"),
    Measure("kills", "coordination", "", "kills", "by guests' out-of-memory killers", harm=True),
    Measure(
        "freezes", "coordination", "", "freezes", "hosts that ran out of memory and swap", harm=True
    ),
    Measure(
        "fairness", "coordination", "", "fairness",
        "Jain's index of the parts of their needs that guests had", more_is_better=True,
    ),
    Measure("calls", "coordination", "", "calls", "balloons that were set"),
    Measure("moved_mib", "coordination", "MiB", "moved", "that balloons moved up and down"),
    Measure(
        "settle_s", "coordination", "s", "settled",
        "after a change of load, until the last balloon was set",
    ),
)  # fmt: skip


def measures_of(kind: PolicyKind) -> tuple[Measure, ...]:
    """Return the measures of policies of a kind, the one that ranks them first."""
    return tuple(measure for measure in MEASURES if measure.kind == kind)


@dataclass(frozen=True, slots=True)
class Entrant:
    """A policy that takes part, with the value of each of its parameters."""

    name: str  # as the user wrote it, so that one policy may take part twice
    kind: PolicyKind
    policy: str  # by which it is found: a name, a file or a module
    settings: Mapping[str, bool | int | float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Family:
    """Scenarios of one kind of trouble, of which a seed draws one."""

    name: str
    kind: PolicyKind
    title: str
    origin: Origin
    held_out: bool = False  # from all tuning


@dataclass(frozen=True, slots=True)
class Bout:
    """One policy on one scenario, in figures by the names of measures."""

    entrant: str
    family: str
    seed: int
    figures: Mapping[str, float] = field(default_factory=dict)  # empty where it failed
    failure: str | None = None  # what the policy did wrong, or what the lab could not do


@dataclass(frozen=True, slots=True)
class Optimum:
    """What could be had on one scenario, by the names of measures."""

    family: str
    seed: int
    figures: Mapping[str, float] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)  # exact, bound, or clairvoyant


@dataclass(frozen=True, slots=True)
class League:
    """A whole league."""

    entrants: tuple[Entrant, ...]
    families: tuple[Family, ...]
    seeds: tuple[int, ...]
    bouts: tuple[Bout, ...]
    optima: tuple[Optimum, ...] = ()
    wire: bool = False  # through libvirt's protocol
    tuning: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what was left out, and why


@dataclass(frozen=True, slots=True)
class Standing:
    """One policy in one family: means over the seeds."""

    entrant: str
    family: str
    runs: int
    failures: tuple[str, ...]
    means: Mapping[str, float]  # empty where a run failed
    against: Mapping[str, Comparison]  # the reference; empty for the reference itself
    optimum: Mapping[str, float]  # means of what could be had


@dataclass(frozen=True, slots=True)
class Table:
    """A league worked out: what reports are made of."""

    league: League
    rows: tuple[Standing, ...]  # family by family, in the league's order
    ranks: Mapping[PolicyKind, Mapping[str, float]]  # mean over all families; 1 is best
    held_out_ranks: Mapping[PolicyKind, Mapping[str, float]]  # over those held out alone
    reference: Mapping[PolicyKind, str]  # against whom others are held


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How policies of a kind rank where one physical constant is another."""

    constant: str
    factor: float
    kind: PolicyKind
    ranks: Mapping[str, float]  # mean over all families; 1 is best
    tau: float  # Kendall's, to the ranks with the constant as it is; 1: the same order
