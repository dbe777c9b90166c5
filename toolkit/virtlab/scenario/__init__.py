"""Scenario files: reading YAML into the model's values, with every mistake named and mended.

What reads files is loaded when it is first asked for: a shipped scenario that was kept needs none
of it.
"""

from typing import TYPE_CHECKING, Any

from virtlab.scenario.shipped import find_scenario, scenario_files, shipped_scenarios

if TYPE_CHECKING:
    from virtlab.scenario.loading import load_scenario
    from virtlab.scenario.schema import scenario_schema

__all__ = [
    "find_scenario",
    "load_scenario",
    "scenario_files",
    "scenario_schema",
    "shipped_scenarios",
]


def __getattr__(name: str) -> Any:
    if name == "load_scenario":
        from virtlab.scenario.loading import load_scenario

        return load_scenario
    if name == "scenario_schema":
        from virtlab.scenario.schema import scenario_schema

        return scenario_schema
    raise AttributeError(f"module {__name__} has no attribute {name}")
