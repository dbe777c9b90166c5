"""Whether limits leave a window to judge in each phase of a scenario: without one, none passes."""

from __future__ import annotations

from collections.abc import Mapping

from virtlab.model.criteria import limits_of
from virtlab.model.scenario import Scenario
from virtlab.model.units import NS_PER_S

__all__ = ["too_short"]


def too_short(scenario: Scenario, *overrides: Mapping[str, float]) -> str | None:
    """Return what is wrong with the limits of `balanced` on top of a scenario's, if anything is.

    Raises:
        KeyError: a limit is unknown; those are reported before.
    """
    own = next(asked.limits for asked in scenario.criteria if asked.name == "balanced")
    limits = limits_of("balanced", own, *overrides)
    settle_s = (limits["settle_intervals"] or 0.0) * scenario.interval_s
    needed_s = settle_s + max(limits["window_s"] or 0.0, scenario.interval_s)
    starts = scenario.phases_ns()
    for start_ns, end_ns in zip(starts, (*starts[1:], scenario.duration_ns), strict=True):
        if end_ns - start_ns < needed_s * NS_PER_S:
            return (
                f"the phase of {scenario.id} from {start_ns / NS_PER_S:g} to "
                f"{end_ns / NS_PER_S:g} s is too short to judge: settling and one window take "
                f"{needed_s:g} s."
            )
    return None
