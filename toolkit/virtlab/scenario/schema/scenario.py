"""A scenario file as a whole."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from virtlab.scenario.schema.base import DIALECT, FileModel, Id, SchemaVersion, Text
from virtlab.scenario.schema.criteria import CriterionFile
from virtlab.scenario.schema.events import EventFile
from virtlab.scenario.schema.guest import GuestFile
from virtlab.scenario.schema.host import HostFile

__all__ = ["RunFile", "ScenarioFile", "scenario_schema"]


class RunFile(FileModel):
    """How long the program is watched, and the interval that it is given."""

    duration_s: int = Field(ge=1, le=86_400, examples=[30], description="length of the run")
    interval_s: int = Field(
        ge=1, le=3600, examples=[1], description="the program's only argument, in whole seconds"
    )


class ScenarioFile(FileModel):
    """A host, its guests, what happens to them, and what is asked of the program."""

    schema_version: SchemaVersion
    id: Id = Field(
        examples=["cpu-1-all-on-one"], description="name of the scenario, unlike any other's"
    )
    title: Text = Field(examples=["One hot pCPU, three idle"], description="one line for reports")
    why: Text = Field(
        examples=["A program that moves one vCPU and stops leaves pCPU 0 full."],
        description="which wrong program it catches",
    )
    scaled_from: Id | None = Field(
        default=None,
        examples=["cpu-1-all-on-one"],
        description="the scenario of which this one is a smaller form; verdicts say so",
    )
    program: Literal["vcpu_scheduler", "memory_coordinator"] = Field(
        examples=["vcpu_scheduler"], description="the program that it judges"
    )
    seed: int = Field(
        default=1,
        ge=0,
        le=2**31 - 1,
        examples=[1],
        description="feeds every random draw of the run, unless another seed is asked for",
    )
    host: HostFile = Field(
        examples=[{"pcpus": 4, "memory_mib": 16384}], description="the machine that carries them"
    )
    guests: list[GuestFile] = Field(
        max_length=512,
        examples=[[{"name": "aos_vm1", "memory_mib": 512}]],
        description="the guests, in the order in which they are started",
    )
    events: list[EventFile] = Field(
        default=[],
        max_length=10_000,
        examples=[[{"at_s": 14, "guest": "aos_vm1", "stop_load": "cpu"}]],
        description="what happens meanwhile; events at one moment happen in this order",
    )
    run: RunFile = Field(
        examples=[{"duration_s": 30, "interval_s": 1}], description="length and interval"
    )
    criteria: list[CriterionFile] = Field(
        min_length=1,
        examples=[[{"name": "balanced"}]],
        description="what the program is judged by",
    )


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a scenario file, with descriptions."""
    schema = ScenarioFile.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **schema, "title": "virtlab scenario"}
