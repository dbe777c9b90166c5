"""What a policy wants done: actions, each with its reason, and what it expects of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from virtlab.model.snapshot import VcpuKey

__all__ = ["CpuPlan", "MemoryPlan", "Pin", "Plan", "Rejected", "Resize"]


@dataclass(frozen=True, slots=True)
class Pin:
    """Let one vCPU run on these pCPUs only."""

    vcpu: VcpuKey
    pcpus: frozenset[int]  # not empty
    reason: str = ""  # one clause with its figures, for a reader of the journal


@dataclass(frozen=True, slots=True)
class Resize:
    """Ask a guest's balloon for a size."""

    guest: str
    memory_kib: int
    reason: str = ""


Action = TypeVar("Action", Pin, Resize)


@dataclass(frozen=True, slots=True)
class Rejected:
    """An alternative that was weighed and not taken."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan(Generic[Action]):
    """What to do now, in this order; with no actions, things are left alone."""

    actions: tuple[Action, ...] = ()
    because: str = ""  # one clause: what was seen, and why this much and no more is done
    # Figures expected after the actions, by name and unit, such as `busiest_share`. Whoever runs
    # the policy holds them against what came.
    expected: Mapping[str, float] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class CpuPlan(Plan[Pin]):
    """What to pin."""


@dataclass(frozen=True, slots=True)
class MemoryPlan(Plan[Resize]):
    """Which balloons to set."""
