"""The shape of a scenario file, as pydantic models; their descriptions become the JSON Schema.

The models know one key at a time. What needs two of them (a pCPU that the host does not have, a
guest that nobody declared) is looked at in `virtlab.scenario.checks`.
"""

from virtlab.scenario.schema.base import (
    DIALECT,
    FORM,
    FileModel,
    Id,
    LimitsFile,
    SchemaVersion,
    Text,
    checked_version,
)
from virtlab.scenario.schema.criteria import CriterionFile, limits_schema
from virtlab.scenario.schema.events import HOST_FAULTS, EventFile, PinFile
from virtlab.scenario.schema.guest import GuestFile
from virtlab.scenario.schema.host import HostFile
from virtlab.scenario.schema.loads import BatchFile, DutyFile, GrowthFile, LoadFile, TraceFile
from virtlab.scenario.schema.scenario import RunFile, ScenarioFile, scenario_schema
from virtlab.scenario.schema.topology import CellFile, TopologyFile
from virtlab.scenario.schema.tuning import TuningFile

__all__ = [
    "DIALECT",
    "FORM",
    "HOST_FAULTS",
    "BatchFile",
    "CellFile",
    "CriterionFile",
    "DutyFile",
    "EventFile",
    "FileModel",
    "GrowthFile",
    "GuestFile",
    "HostFile",
    "Id",
    "LimitsFile",
    "LoadFile",
    "PinFile",
    "RunFile",
    "ScenarioFile",
    "SchemaVersion",
    "Text",
    "TopologyFile",
    "TraceFile",
    "TuningFile",
    "checked_version",
    "limits_schema",
    "scenario_schema",
]
