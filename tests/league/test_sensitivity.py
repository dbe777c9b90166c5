"""Physical constants can be changed for a league, do make a difference, and are put back."""

import pytest
from league_lab import plan

from virtlab.league.constants import CONSTANTS, altered, altered_scenario
from virtlab.league.corpus import chosen_families, drawn_scenario
from virtlab.league.cpu_meter import CpuMeter
from virtlab.league.cpu_run import run_scheduler
from virtlab.league.memory_run import run_coordinator
from virtlab.league.season import held
from virtlab.league.sensitivity import kendall_tau, sensitivities
from virtlab.league.standings import table_of
from virtlab.model.plan import MemoryPlan, Resize
from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.timeline import Timeline
from virtlab.model.units import mib
from virtlab.policies.registry import find_policy
from virtlab.reports.league_sensitivity import sensitivity_text


class Drains:
    """Takes memory that is in use, so that balloons find nothing."""

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        return MemoryPlan(tuple(Resize(guest.guest, mib(250)) for guest in host.guests))


# For each constant a policy, a run in which it must be seen, and by how much it is another there.
# The last of these: swap at half its speed is still faster than anything that grows in a family.
SHOWN_BY: dict[str, tuple[type | str, str, float]] = {
    "cost of a move": ("back-and-forth", "noise-only", 1.5),
    "slice of the scheduler": ("even", "crowd", 0.5),
    "collisions of short loops": ("even", "noise-only", 1.5),
    "time between Linux's rebalances": ("leave-alone", "cpu-5-heavy-and-light", 1.5),
    "chance that a busy vCPU wanders": ("leave-alone", "cpu-5-heavy-and-light", 1.5),
    "noise of loads": ("leave-alone", "noise-only", 1.5),
    "yield of a second thread": ("leave-alone", "smt", 1.5),
    "latency of far memory": ("leave-alone", "numa", 1.5),
    "cost of a call": ("at-random", "noise-only", 1.5),
    "cost of setting a balloon": ("steady", "one-hot", 1.5),
    "speed of balloons": ("steady", "all-grow", 1.5),
    "wait of a balloon that finds nothing": (Drains, "no-swap", 1.5),
    "delay of a balloon's event": ("qmemman", "no-swap", 1.5),
    "memory that a stalled guest keeps": ("static", "all-grow", 1.5),
    "cache that is not given up": ("static", "all-grow", 1.5),
    "reserve of the host's kernel": ("proxmox", "one-hot", 1.5),
    "speed of guests' swap": ("static", "all-grow", 0.01),
}


def run(policy: type | str, name: str, constant: str, factor: float) -> tuple[Timeline, float]:
    """Return a run's timeline, and the work that was done in it."""
    (family,) = chosen_families([name])
    scenario = altered_scenario(drawn_scenario(family, 1), constant, factor)
    made = find_policy(policy, family.kind)() if isinstance(policy, str) else policy()
    if family.kind == "coordination":
        return run_coordinator(scenario, made), 0.0
    meter = CpuMeter()
    return run_scheduler(scenario, made, on_look=meter.look), meter.work_s


@pytest.mark.parametrize("constant", [one.name for one in CONSTANTS])
def test_each_constant_is_seen_where_it_should_and_is_put_back(constant: str) -> None:
    policy, name, factor = SHOWN_BY[constant]
    before = run(policy, name, constant, 1.0)

    with altered(constant, factor):
        changed = run(policy, name, constant, factor)

    assert changed != before
    assert run(policy, name, constant, 1.0) == before


def test_the_same_order_is_one_the_reverse_minus_one_and_ties_count_for_neither() -> None:
    order = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}

    assert kendall_tau(order, order) == 1.0
    level = dict.fromkeys(order, 2.0)
    assert kendall_tau(level, level) == 1.0
    assert kendall_tau(order, level) == 0.0  # all that told them apart is gone
    assert kendall_tau(order, {name: -rank for name, rank in order.items()}) == -1.0
    assert kendall_tau(order, order | {"a": 2.0, "b": 1.0}) == pytest.approx(4 / 6)
    assert kendall_tau(order, order | {"b": 1.0}) == pytest.approx(5 / (6 * 5) ** 0.5)


def test_a_league_tells_how_its_ranking_hangs_on_the_physics() -> None:
    wanted = plan(["even", "leave-alone"], ["cpu-3-balanced"])
    table = table_of(held(wanted, jobs=1))

    found = sensitivities(table, jobs=2)

    cpu = [one for one in CONSTANTS if "scheduling" in one.kinds]
    assert [(one.constant, one.factor) for one in found] == [
        (one.name, factor) for one in cpu for factor in (0.5, 1.5)
    ]
    assert {one.kind for one in found} == {"scheduling"}
    text = sensitivity_text(found, table)
    assert "Kendall's tau is" in text
    assert f"of {2 * len(cpu)}." in text
