"""A timeline before anything was recorded: what is known from the scenario alone."""

from __future__ import annotations

from virtlab.model.scenario import Scenario
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.units import NS_PER_S

__all__ = ["TIMELINE_VERSION", "blank_timeline"]

TIMELINE_VERSION = 1


def blank_timeline(scenario: Scenario, seed: int, outcome: ProgramOutcome) -> Timeline:
    """Return a timeline without samples, events and calls, to be completed by a recorder."""
    return Timeline(
        version=TIMELINE_VERSION,
        scenario=scenario.id,
        title=scenario.title,
        program_kind=scenario.program,
        seed=seed,
        interval_ns=scenario.interval_s * NS_PER_S,
        duration_ns=scenario.duration_ns,
        phases_ns=scenario.phases_ns(),
        criteria=tuple(
            {"name": spec.name, "limits": dict(spec.limits), "hint": spec.hint}
            for spec in scenario.criteria
        ),
        pcpus=scenario.host.pcpus,
        host_memory_kib=scenario.host.memory_kib,
        times_ns=(),
        pcpu_busy_ns=(),
        host_free_kib=(),
        host_swap_kib=(),
        guests=(),
        pins=(),
        memory_calls=(),
        events=(),
        calls=(),
        calls_total=0,
        outcome=outcome,
        scaled_from=scenario.scaled_from,
    )
