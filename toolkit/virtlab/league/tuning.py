"""The same tuning budget for every policy: so many sets of parameters tried, and the best one kept.

The first set of each policy is the one that it comes with; others are drawn at random around it, by
the logarithm where a parameter is positive, within a quarter and four times its value and its own
range. All play the families that are not held out, with seeds that no league of ours is held with.
A set's score is the mean over families of log((x + s) / (x0 + s)): x its figure by the measure that
ranks, x0 that of the first set, s the step of that measure. So each family counts alike, and a set
has to be better than what the policy comes with, whose score is 0.

Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 13, 2012.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import exp, fsum, inf, log
from random import Random
from typing import Final

from virtlab.agent.plugins import describe_policy
from virtlab.league.season import Step, held
from virtlab.model.league import Entrant, League, measures_of
from virtlab.policies.parameters import Parameter, Value

__all__ = ["TUNING_SEEDS", "tuned"]

TUNING_SEEDS: Final = (1, 2, 3)
_AROUND: Final = 4.0  # times smaller or larger than the value that a policy comes with

_Settings = Mapping[str, Value]


def tuned(
    plan: League,
    *,
    budget: int,
    jobs: int,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> League:
    """Return a league in which each policy has the best parameters that were found for it.

    Args:
        plan: who takes part, with the parameters that each comes with, and on what.
        budget: how many sets each policy may try, the one that it comes with among them.
        jobs: processes that play.
        on_step: is told of each contest that ends.
    """
    families = tuple(one for one in plan.families if one.origin == "family" and not one.held_out)
    tried = {one.name: list(_candidates(one, budget)) for one in plan.entrants}
    rivals = tuple(
        replace(one, name=_called(one, number), settings=settings)
        for one in plan.entrants
        for number, settings in enumerate(tried[one.name])
    )
    season = replace(plan, entrants=rivals, families=families, seeds=TUNING_SEEDS, wire=False)
    played = held(season, jobs=jobs, optima=False, on_step=on_step)
    scores = {
        one.name: [_score(played, one, number) for number in range(len(tried[one.name]))]
        for one in plan.entrants
    }
    best = {name: found.index(min(found)) for name, found in scores.items()}
    return replace(
        plan,
        entrants=tuple(
            replace(one, settings=tried[one.name][best[one.name]]) for one in plan.entrants
        ),
        tuning={
            "budget": budget,
            "families": [one.name for one in families],
            "seeds": list(TUNING_SEEDS),
            "chosen": {
                one.name: {
                    "tried": len(tried[one.name]),
                    "score": round(scores[one.name][best[one.name]], 6),
                    "changed": {
                        key: value
                        for key, value in tried[one.name][best[one.name]].items()
                        if value != one.settings[key]
                    },
                }
                for one in plan.entrants
            },
        },
    )


def _candidates(entrant: Entrant, budget: int) -> Iterator[_Settings]:
    """Yield sets of parameters: the first as it comes; one alone where there is nothing to tune."""
    yield entrant.settings
    parameters = describe_policy(entrant.policy).parameters
    rng = Random(f"tuning {entrant.name}")
    for _ in range(budget - 1 if parameters else 0):
        yield {one.name: _drawn(one, entrant.settings[one.name], rng) for one in parameters}


def _drawn(parameter: Parameter, value: Value, rng: Random) -> Value:
    if parameter.kind is bool:
        return rng.random() < 0.5
    if parameter.choices:
        return rng.choice(parameter.choices)
    if isinstance(value, str):
        return value
    low = -inf if parameter.at_least is None else parameter.at_least
    high = inf if parameter.at_most is None else parameter.at_most
    if value > 0:
        low, high = max(low, value / _AROUND), min(high, value * _AROUND)
        drawn = exp(rng.uniform(log(low), log(high)))
    else:  # 0 may mean that something is off, and has no scale to draw by
        drawn = float(value)
    drawn = min(max(drawn, low), high)
    return round(drawn) if parameter.kind is int else drawn


def _score(played: League, entrant: Entrant, number: int) -> float:
    """Return how a set fared against the first one; less is better, infinite where it failed."""
    measure = measures_of(entrant.kind)[0]
    logs = []
    for family in played.families:
        if family.kind != entrant.kind:
            continue
        own, first = (
            [
                bout
                for bout in played.bouts
                if (bout.family, bout.entrant) == (family.name, _called(entrant, which))
            ]
            for which in (number, 0)
        )
        if any(bout.failure is not None for bout in (*own, *first)):
            return inf if number else 0.0
        mine, its = (
            fsum(bout.figures[measure.name] for bout in bouts) / len(bouts)
            for bouts in (own, first)
        )
        logs.append(log((mine + measure.step) / (its + measure.step)))
    return fsum(logs) / len(logs) if logs else 0.0


def _called(entrant: Entrant, number: int) -> str:
    return f"{entrant.name} #{number}"
