"""Small leagues for tests: a few policies on a few short scenarios."""

from __future__ import annotations

from pathlib import Path

from virtlab.league.corpus import chosen_families
from virtlab.league.entrants import chosen_entrants
from virtlab.model.league import League

POLICIES = """
import threading
from dataclasses import dataclass, field

from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.snapshot import CpuSnapshot, VcpuKey


class Raises:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        raise ZeroDivisionError("of nothing")


class AnswersNonsense:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        return CpuPlan((Pin(host.vcpus[0].key, frozenset({99})),))


class PinsNobody:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        return CpuPlan((Pin(VcpuKey("nobody", 0), frozenset({0})),))


class AnswersNothing:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        return None


class Hangs:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        while True:
            try:
                while True:
                    pass
            except Exception:
                pass


class Sleeps:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        threading.Event().wait()


@dataclass
class Grows:
    kept: list = field(default_factory=list)

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        self.kept.append(bytearray(256 << 20))
        return CpuPlan()
"""


def plan(policies: list[str], families: list[str], seeds: tuple[int, ...] = (1001,)) -> League:
    return League(chosen_entrants(policies), chosen_families(families), seeds, bouts=())


def flawed(folder: Path, *classes: str) -> list[str]:
    """Write policies that each have one fault; return how they are named."""
    path = folder / "flawed.py"
    path.write_text(POLICIES, encoding="utf-8")
    return [f"{path}:{name}" for name in classes]
