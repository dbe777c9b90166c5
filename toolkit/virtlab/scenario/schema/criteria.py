"""What a run is judged by."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from virtlab.model.criteria import CRITERIA
from virtlab.scenario.schema.base import FileModel, LimitsFile, Text

__all__ = ["CriterionFile", "limits_schema"]


def _criterion_schema(schema: JsonDict) -> None:
    """Let editors offer each criterion's own limits with their meaning."""
    schema["allOf"] = [
        {
            "if": {"properties": {"name": {"const": declared.name}}},
            "then": {"properties": {"limits": limits_schema(declared.name)}},
        }
        for declared in CRITERIA.values()
    ]


def limits_schema(criterion: str) -> JsonDict:
    """Return the JSON Schema of one criterion's limits."""
    properties: JsonDict = {}
    for limit in CRITERIA[criterion].limits:
        entry: JsonDict = {
            "type": "number",
            "minimum": 0,
            "maximum": limit.largest,
            "description": f"{limit.meaning} ({limit.unit})",
        }
        if limit.default is not None:
            entry["default"] = limit.default
        properties[limit.name] = entry
    return {"type": "object", "properties": properties, "additionalProperties": False}


_CRITERION_NAMES: JsonDict = {
    "oneOf": [{"const": c.name, "description": c.meaning} for c in CRITERIA.values()]
}


class CriterionFile(FileModel):
    """One criterion that the run is judged by."""

    model_config = ConfigDict(json_schema_extra=_criterion_schema)

    name: str = Field(
        examples=["balanced"],
        description="which criterion",
        json_schema_extra=_CRITERION_NAMES,
    )
    limits: LimitsFile = Field(
        default={},
        examples=[{"sd_points_max": 5}],
        description="limits that differ from the criterion's defaults",
    )
    hint: Text | None = Field(
        default=None,
        examples=["look at every pCPU again after each move"],
        description="shown where it fails, instead of the criterion's own hint",
    )
