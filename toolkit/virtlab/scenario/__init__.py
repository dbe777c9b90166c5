"""Scenario files: reading YAML into the model's values, with every mistake named and mended."""

from virtlab.scenario.loading import (
    find_scenario,
    load_scenario,
    scenario_files,
    shipped_scenarios,
)
from virtlab.scenario.schema import scenario_schema

__all__ = [
    "find_scenario",
    "load_scenario",
    "scenario_files",
    "scenario_schema",
    "shipped_scenarios",
]
