"""Guests short of memory beside guests that leave theirs idle, with and without a coordinator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.league.corpus import chosen_families, drawn_scenario
from virtlab.league.memory_measures import Measures, Needs, measured, needs_of
from virtlab.league.memory_run import COURSE_LIMITS, run_coordinator
from virtlab.lessons.lesson import Bars, Curves, Said, Shown, Table
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import Timeline
from virtlab.model.units import KIB_PER_MIB
from virtlab.policies.parameters import tunable
from virtlab.policies.registry import find_policy

_NOBODY = "static"  # the policy that leaves every balloon as it is
_CHOICES = ("steady", "course", "mom", "proxmox", "squeezed", "qmemman", "esx", "selfballoon")


@dataclass(frozen=True, slots=True)
class Coordinator:
    """One guest of six grows far beyond its size, and the others leave half of theirs idle."""

    policy: str = tunable(
        "steady", unit="name", effect="who coordinates in the second run", choices=_CHOICES
    )

    def shown(self) -> Iterator[Shown]:
        """Yield need and size of the guest that grows, and what all lacked."""
        (family,) = chosen_families(["one-hot"])
        scenario = drawn_scenario(family, 1)
        needs = needs_of(scenario, reserve_kib=COURSE_LIMITS.reserve_kib)
        runs = {name: _run(scenario, name) for name in (_NOBODY, self.policy)}
        yield Curves(
            "hungry",
            "MiB",
            "g0, five minutes",
            {
                "needs": [kib / KIB_PER_MIB for kib in needs.by_guest["g0"]],
                **{
                    f"has with {name}": [k / KIB_PER_MIB for k in run.guest("g0").actual_kib]
                    for name, run in runs.items()
                },
            },
        )
        found = {name: measured(run, needs) for name, run in runs.items()}
        yield Table("figures", ("", *runs), _rows(found))
        shortage = {name: one.shortage_mib_s / 1024 for name, one in found.items()}
        shortage["the least possible"] = needs.least_mib_s / 1024
        yield Bars("shortage", "GiB s", shortage)
        yield Said("shortage", _sentence(found, needs, self.policy))


def _run(scenario: Scenario, name: str) -> Timeline:
    return run_coordinator(scenario, find_policy(name, "coordination")())


def _rows(found: dict[str, Measures]) -> list[tuple[str | float, ...]]:
    return [
        ("shortage, MiB s", *(one.shortage_mib_s for one in found.values())),
        ("idle, MiB", *(one.idle_mib for one in found.values())),
        ("programs killed", *(one.kills for one in found.values())),
        ("balloons set", *(one.calls for one in found.values())),
        ("host's swap, MiB", *(one.host_swap_mib for one in found.values())),
    ]


def _sentence(found: dict[str, Measures], needs: Needs, policy: str) -> str:
    before, after = found[_NOBODY].shortage_mib_s, found[policy].shortage_mib_s
    part = (before - after) / max(before - needs.least_mib_s, 1e-9)
    if part < 0.0:
        return f"With {policy} the shortage is {-100.0 * part:.0f} % larger than with nobody."
    return (
        f"{policy} takes away {100.0 * part:.0f} % of the shortage that can be taken away at all."
    )
