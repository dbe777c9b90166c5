"""One scenario and seed, and every policy on it: the unit of work of a league.

All policies of a contest meet the same draws, so that they can be compared pair by pair. A policy
that fails leaves the others alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from virtlab.agent.memory_limit import memory_limit
from virtlab.agent.plugins import find_policy
from virtlab.errors import VirtlabError
from virtlab.league.constants import altered, altered_scenario
from virtlab.league.corpus import drawn_scenario
from virtlab.league.cpu_measures import cpu_figures
from virtlab.league.cpu_meter import CpuMeter
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.guard import DECISION_S, Guarded, PolicyError
from virtlab.league.memory_figures import SwapMeter, memory_figures
from virtlab.league.memory_measures import Needs, needs_of
from virtlab.league.memory_run import COURSE_LIMITS, run_coordinator
from virtlab.league.optimum import cpu_optimum, memory_optimum
from virtlab.model.league import Bout, Entrant, Family, Optimum
from virtlab.model.scenario import Scenario
from virtlab.policies.parameters import configured

__all__ = ["Contest", "Outcome", "new_policy", "played"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contest:
    """What is to be played."""

    family: Family
    seed: int
    entrants: tuple[Entrant, ...]
    wire: bool = False
    decision_s: float = DECISION_S
    optimum: bool = True  # work out what could be had, too
    # A physical constant and by how much it is another; what could be had is left out then.
    altered: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a contest."""

    bouts: tuple[Bout, ...]
    optimum: Optimum


def new_policy(entrant: Entrant) -> object:
    """Return a policy that has seen nothing yet.

    Raises:
        VirtlabError: it cannot be found or made.
    """
    policy = find_policy(entrant.policy, entrant.kind)
    return configured(policy, entrant.settings) if entrant.settings else policy()


def played(contest: Contest) -> Outcome:
    """Return how every policy fared, and what could have been had."""
    family, seed = contest.family, contest.seed
    scenario = drawn_scenario(family, seed)
    if contest.altered is not None:
        scenario = altered_scenario(scenario, *contest.altered)
        with altered(*contest.altered):
            needs = _needs(family, scenario)
            bouts = tuple(_bout(contest, one, scenario, needs) for one in contest.entrants)
        return Outcome(bouts, Optimum(family.name, seed))
    needs = _needs(family, scenario)
    bouts = tuple(_bout(contest, entrant, scenario, needs) for entrant in contest.entrants)
    if not contest.optimum:
        return Outcome(bouts, Optimum(family.name, seed))
    best = cpu_optimum(scenario) if needs is None else memory_optimum(scenario, needs)
    return Outcome(bouts, Optimum(family.name, seed, best.figures, best.how))


def _needs(family: Family, scenario: Scenario) -> Needs | None:
    if family.kind == "scheduling":
        return None
    return needs_of(scenario, reserve_kib=COURSE_LIMITS.reserve_kib)


def _bout(contest: Contest, entrant: Entrant, scenario: Scenario, needs: Needs | None) -> Bout:
    where = (entrant.name, contest.family.name, contest.seed)
    try:
        with memory_limit():
            policy = Guarded(new_policy(entrant), decision_s=contest.decision_s)
            if needs is None:
                figures = _scheduled(scenario, policy, wire=contest.wire)
            else:
                figures = _coordinated(scenario, policy, needs, wire=contest.wire)
    except PolicyError as fault:
        return Bout(*where, failure=str(fault))
    except VirtlabError as error:
        return Bout(*where, failure=str(error).splitlines()[0])
    except MemoryError:
        return Bout(*where, failure="its run took more memory than a run may")
    except Exception as error:
        _log.exception("the run of %s on %s with seed %d was lost", *where)
        return Bout(*where, failure=f"the lab failed: {type(error).__name__}: {error}")
    return Bout(*where, figures=figures)


def _scheduled(scenario: Scenario, policy: Guarded, *, wire: bool) -> dict[str, float]:
    meter = CpuMeter()
    timeline = run_scheduler(scenario, policy, on_look=meter.look, wire=wire)
    return cpu_figures(scenario, timeline, meter)


def _coordinated(
    scenario: Scenario, policy: Guarded, needs: Needs, *, wire: bool
) -> dict[str, float]:
    meter = SwapMeter()
    timeline = run_coordinator(scenario, policy, on_look=meter.look, wire=wire)
    return memory_figures(scenario, timeline, needs, meter)
