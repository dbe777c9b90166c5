"""The kinds of load that a guest may carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from virtlab.naming import nearest
from virtlab.scenario.schema.base import FileModel, PositiveMib, Seconds, one_of

__all__ = ["BatchFile", "DutyFile", "GrowthFile", "LoadFile", "TraceFile"]


class DutyFile(FileModel):
    """A closed loop on a vCPU: work for duty x period, sleep for the rest, again."""

    duty: float = Field(
        gt=0,
        le=1,
        allow_inf_nan=False,
        examples=[0.21],
        description="share of one pCPU that it takes when alone; 1 never sleeps",
    )
    period_ms: float = Field(
        default=0.5,
        gt=0,
        le=60_000,
        allow_inf_nan=False,
        examples=[0.5],
        description="length of one round of work and sleep",
    )


class BatchFile(FileModel):
    """Finite work on a vCPU, then nothing more."""

    work_s: float = Field(
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        examples=[5],
        description="pCPU time at full capacity",
    )


class GrowthFile(FileModel):
    """A process that touches more and more of the guest's memory."""

    model_config = ConfigDict(json_schema_extra=one_of("until", "until_mib"))

    rate_mib_s: float = Field(
        gt=0,
        le=1_000_000,
        allow_inf_nan=False,
        examples=[16],
        description="growth while its vCPU runs; the course's consumer has 16",
    )
    until: Literal["limit"] | None = Field(
        default=None,
        examples=["limit"],
        description="`limit`: until the guest's own out-of-memory killer ends it",
    )
    until_mib: PositiveMib | None = Field(
        default=None, examples=[1024], description="size at which it stops to grow"
    )
    hold_s: Seconds = Field(
        default=0.0, examples=[10], description="how long it keeps what it has at until_mib"
    )
    then: Literal["release", "keep"] = Field(
        default="release",
        examples=["release"],
        description="after the hold: free all, or keep it to the end",
    )


class TraceFile(FileModel):
    """Utilisation and memory in use over time, as measured elsewhere."""

    trace: str = Field(
        min_length=1,
        max_length=255,
        examples=["night.csv"],
        description="CSV file beside this one, with the columns time_s, cpu, memory_mib",
    )


_LOAD_KINDS: dict[str, str] = {
    "duty": "DutyFile",
    "work_s": "BatchFile",
    "rate_mib_s": "GrowthFile",
    "trace": "TraceFile",
}


def _load_kind(value: object) -> str | None:
    """Return the model of a load by the key that only it has, or by the nearest such key."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    if not isinstance(value, Mapping):
        return None
    for key, kind in _LOAD_KINDS.items():
        if key in value:
            return kind
    for key in value:
        meant = nearest(str(key), _LOAD_KINDS)
        if meant is not None:
            return _LOAD_KINDS[meant]
    return None


LoadFile = Annotated[
    Annotated[DutyFile, Tag("DutyFile")]
    | Annotated[BatchFile, Tag("BatchFile")]
    | Annotated[GrowthFile, Tag("GrowthFile")]
    | Annotated[TraceFile, Tag("TraceFile")],
    Discriminator(
        _load_kind,
        custom_error_type="virtlab_load",
        custom_error_message="no kind of load",
    ),
]
