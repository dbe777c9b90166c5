"""How much a league's ranking hangs on each physical constant: all of it again, with another value.

Two rankings are compared by Kendall's tau-b: of all pairs of policies, how many stand in the same
order less how many stand in the other one, over what there would be without ties. 1 is the same
order, 0 nothing in common, -1 the reverse.

Source: Kendall, The Treatment of Ties in Ranking Problems, Biometrika 33, 1945.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from math import sqrt
from typing import Final

from virtlab.league.constants import CONSTANTS
from virtlab.league.season import Step, held
from virtlab.league.standings import table_of
from virtlab.model.league import League, Sensitivity, Table

__all__ = ["FACTORS", "kendall_tau", "sensitivities"]

FACTORS: Final = (0.5, 1.5)


def sensitivities(
    table: Table, *, jobs: int, on_step: Callable[[Step], None] = lambda _step: None
) -> tuple[Sensitivity, ...]:
    """Return how the ranks of a league change with each constant."""
    found = []
    for constant in CONSTANTS:
        kinds = [kind for kind in constant.kinds if kind in table.ranks]
        plan = replace(
            table.league,
            entrants=tuple(one for one in table.league.entrants if one.kind in kinds),
            families=tuple(one for one in table.league.families if one.kind in kinds),
        )
        if not kinds:
            continue
        for factor in FACTORS:
            found += _with(constant.name, factor, plan, table, jobs, on_step)
    return tuple(found)


def _with(
    name: str,
    factor: float,
    plan: League,
    table: Table,
    jobs: int,
    on_step: Callable[[Step], None],
) -> list[Sensitivity]:
    def tell(step: Step) -> None:
        on_step(replace(step, what=f"{name} x {factor:g}: {step.what}"))

    again = table_of(held(plan, jobs=jobs, altered=(name, factor), on_step=tell))
    return [
        Sensitivity(name, factor, kind, ranks, kendall_tau(table.ranks[kind], ranks))
        for kind, ranks in again.ranks.items()
    ]


def kendall_tau(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return how much two rankings of the same policies agree, from -1 to 1.

    Where neither tells any policies apart that is 1; where one does and the other does not, 0.
    """
    same = reverse = ties_of_one = ties_of_other = pairs = 0
    for a, b in combinations(sorted(one), 2):
        first, second = one[a] - one[b], other[a] - other[b]
        pairs += 1
        ties_of_one += first == 0.0
        ties_of_other += second == 0.0
        same += first * second > 0.0
        reverse += first * second < 0.0
    room = sqrt((pairs - ties_of_one) * (pairs - ties_of_other))
    if room > 0.0:
        return (same - reverse) / room
    return 1.0 if ties_of_one == ties_of_other else 0.0
