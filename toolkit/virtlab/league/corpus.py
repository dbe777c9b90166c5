"""On what a league is held: the shipped scenarios, families of our own, and a user's files.

A *family* gives a scenario for each seed. Of a shipped scenario and of a file the seed feeds the
noise alone; of a family it also draws sizes, rates and moments.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from virtlab.errors import UsageError
from virtlab.league import cpu_families, memory_families, memory_held_out
from virtlab.model.league import Family, PolicyKind
from virtlab.model.scenario import Scenario
from virtlab.naming import known_or_nearest
from virtlab.scenario import find_scenario, scenario_files

__all__ = ["chosen_families", "drawn_scenario", "known_families"]

_KINDS: dict[str, PolicyKind] = {
    "vcpu_scheduler": "scheduling",
    "memory_coordinator": "coordination",
}


def known_families() -> dict[str, Family]:
    """Return all families that come with the lab, by name: the course's scenarios first."""
    shipped = {name: _of_scenario(find_scenario(name), name) for name in scenario_files()}
    return shipped | _own_families()


def chosen_families(names: Sequence[str], kind: PolicyKind | None = None) -> tuple[Family, ...]:
    """Return families by name, or paths of scenario files; all of a kind where none is named.

    Raises:
        UsageError: there is no such family or file; the message names the nearest one.
        InputError: a file cannot be read or has mistakes.
    """
    known = known_families()
    found = [_find(name, known) for name in dict.fromkeys(names)] or list(known.values())
    return tuple(family for family in found if kind in (None, family.kind))


def drawn_scenario(family: Family, seed: int) -> Scenario:
    """Return the scenario that a seed draws."""
    if family.origin != "family":
        return replace(find_scenario(family.name), seed=seed)
    if family.kind == "scheduling":
        return cpu_families.cpu_family_scenario(family.name, seed)
    return memory_families.family_scenario(family.name, seed)


def _find(name: str, known: dict[str, Family]) -> Family:
    if name in known:
        return known[name]
    if os.path.isfile(name):  # noqa: PTH113  # false, too, of what can be no path
        return replace(_of_scenario(find_scenario(name), name), origin="file")
    raise UsageError(
        f"There is no scenario or family {name}, neither with the lab nor as a file.",
        fix=known_or_nearest(name, known, "family"),
    )


def _of_scenario(scenario: Scenario, name: str) -> Family:
    return Family(name, _KINDS[scenario.program], scenario.title, "course")


def _own_families() -> dict[str, Family]:
    return {
        **{
            name: Family(name, "scheduling", _title(draw), "family", name in cpu_families.HELD_OUT)
            for name, draw in cpu_families.CPU_FAMILIES.items()
        },
        **{
            name: Family(
                name, "coordination", _title(draw), "family", name in memory_held_out.HELD_OUT
            )
            for name, draw in (memory_families.FAMILIES | memory_held_out.HELD_OUT).items()
        },
    }


def _title(draw: object) -> str:
    return (draw.__doc__ or "").splitlines()[0]
