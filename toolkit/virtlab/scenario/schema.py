"""The shape of a scenario file, as pydantic models; their descriptions become the JSON Schema.

The models know one key at a time. What needs two of them (a pCPU that the host does not have, a
guest that nobody declared) is looked at in `checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from virtlab.model.criteria import CRITERIA
from virtlab.scenario.naming import nearest

__all__ = [
    "DIALECT",
    "FORM",
    "HOST_FAULTS",
    "BatchFile",
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
    "TraceFile",
    "checked_version",
    "limits_schema",
    "scenario_schema",
]

FORM = 1  # the form of files that this virtlab reads, `schema_version` in them
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# An id or a guest's name travels into folder names, XML and reports.
Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
GuestName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=63)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Mib = Annotated[int, Field(ge=0, le=16 * 1024 * 1024)]  # up to 16 TiB
PositiveMib = Annotated[int, Field(ge=1, le=16 * 1024 * 1024)]
Pcpu = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
LimitsFile = dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


def checked_version(value: object) -> object:
    """Refuse a file whose form this virtlab does not read."""
    if type(value) is int and value > FORM:
        what = f"form {value} is newer than this virtlab, which reads form {FORM}."
        raise PydanticCustomError(
            "virtlab_version", "{what}", {"what": what, "fix": "install a newer virtlab."}
        )
    if value != FORM or type(value) is not int:
        what = f"form {value} is not known."
        raise PydanticCustomError(
            "virtlab_version", "{what}", {"what": what, "fix": f"write schema_version: {FORM}."}
        )
    return value


def _placement(value: object) -> object:
    """Accept one pCPU in place of a list with one."""
    if value is None or (isinstance(value, list) and value):
        return value
    if type(value) is int:
        return [value]
    raise PydanticCustomError(
        "virtlab_placement",
        "{what}",
        {
            "what": f'"{value}" is no place for a vCPU.',
            "fix": "write a pCPU number, a list of them, or null for all.",
        },
    )


SchemaVersion = Annotated[
    Literal[1],
    BeforeValidator(checked_version),
    Field(description="form of this file; 1", examples=[1]),
]
Placement = Annotated[
    list[Pcpu] | None,
    BeforeValidator(_placement, json_schema_input_type=Pcpu | list[Pcpu] | None),
]


class FileModel(BaseModel):
    """A mapping in a file: unknown keys are mistakes, and no value is converted."""

    # Built on first use: a model inside another is then built once, as part of it.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _one_of(*alternatives: str) -> JsonDict:
    return {"oneOf": [{"required": [name]} for name in alternatives]}


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

    model_config = ConfigDict(json_schema_extra=_one_of("until", "until_mib"))

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


class HostFile(FileModel):
    """The machine that carries the guests."""

    pcpus: int = Field(ge=1, le=1024, examples=[4], description="number of physical CPUs")
    memory_mib: PositiveMib = Field(examples=[16384], description="physical memory")
    used_mib: Mib = Field(
        default=1024, examples=[1024], description="held by the host's own kernel and daemons"
    )
    swap_mib: Mib = Field(default=0, examples=[0], description="swap space")
    mhz: int = Field(
        default=2400, ge=1, le=100_000, examples=[2400], description="clock rate that it reports"
    )
    cgroup_version: Literal[1, 2] = Field(
        default=1,
        examples=[1],
        description="1 offers CPU statistics per pCPU; 2 refuses them, as libvirt does there",
    )
    stats_before_period: Literal["boot", "missing"] = Field(
        default="boot",
        examples=["boot"],
        description="memory statistics until a statistics period is set: the report of the "
        "guest's boot for ever, or none",
    )
    swap_mib_s: PositiveMib | None = Field(
        default=None,
        examples=[500],
        description="what the disk behind the host's swap takes in a second: guests that touch new "
        "pages wait for it while the host swaps. Left out: swapping slows nobody",
    )
    balloon: Literal["kvm", "emulation"] = Field(
        default="kvm",
        examples=["emulation"],
        description="whose rates balloons have; under emulation they are slower, and slower "
        "still beside a busy vCPU",
    )
    balloon_batches: bool = Field(
        default=False,
        examples=[True],
        description="a balloon on its way shows whole batches of 1 MiB only, as virtio's do",
    )


class GuestFile(FileModel):
    """One guest, or several alike; their order in the file is the order of their domain ids."""

    model_config = ConfigDict(json_schema_extra=_one_of("name", "names"))

    name: GuestName | None = Field(default=None, examples=["aos_vm1"], description="one guest")
    names: list[GuestName] | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        examples=[["aos_vm2", "aos_vm1"]],
        description="several guests with the same keys, in the order in which they are started",
    )
    vcpus: int = Field(default=1, ge=1, le=255, examples=[1], description="virtual CPUs")
    memory_mib: PositiveMib = Field(examples=[512], description="the balloon's size at the start")
    max_memory_mib: PositiveMib | None = Field(
        default=None,
        examples=[2048],
        description="the balloon's largest size; memory_mib if left out",
    )
    start_on: list[Placement] | None = Field(
        default=None,
        examples=[[0]],
        description="one entry a vCPU: vCPU n is bound to the pCPU (or list of pCPUs) "
        "start_on[n]; null binds it to none. Left out: all vCPUs may run anywhere",
    )
    start_in_turn: list[Pcpu] | None = Field(
        default=None,
        min_length=1,
        examples=[[0, 1, 2, 3]],
        description="instead of start_on: the vCPUs of these guests, one after the other, are "
        "bound to these pCPUs in turn",
    )
    # A bionic cloud guest of 512 MiB with a maximum of 2048 shows about 190 MiB unused; at 350 MiB,
    # its cache squeezed to a rest of about 20, it shows about 180 (the course's own graphs).
    kernel_mib: Mib = Field(
        default=64,
        examples=[64],
        description="held by the guest's kernel and firmware, never seen as available",
    )
    processes_mib: Mib = Field(
        default=88, examples=[88], description="held by the guest's ordinary processes"
    )
    cache_mib: Mib = Field(
        default=170, examples=[170], description="page cache; the guest gives it up under pressure"
    )
    idle_noise_max: Share = Field(
        default=0.03,
        examples=[0.03],
        description="upper bound of a vCPU's idle noise, as a share of one pCPU",
    )
    deflate_on_oom: bool = Field(
        default=False,
        examples=[False],
        description="the balloon gives memory back before the guest kills a process",
    )
    running: bool = Field(
        default=True, examples=[True], description="false: shut off until an event starts it"
    )
    swap_mib: Mib = Field(
        default=0,
        examples=[512],
        description="the guest's own swap space; it is used before its out-of-memory killer comes",
    )
    # Measured on Linux with a swap file on a virtual disk: 500 to 620 MiB/s.
    swap_mib_s: PositiveMib = Field(
        default=500,
        examples=[500],
        description="what the guest's swap takes in a second; a process that grows waits for it",
    )
    file_reads_mib_s: Mib = Field(
        default=0,
        examples=[10],
        description="files that the guest reads again, in MiB a second: the page cache comes back "
        "up to cache_mib where memory is free",
    )
    defined: bool = Field(
        default=True,
        examples=[True],
        description="false, with `running: false`: it is not there until an event defines it",
    )
    free_page_reporting: bool = Field(
        default=False,
        examples=[True],
        description="the guest reports free pages, and the host takes them back: resident memory "
        "falls while the balloon's size stays",
    )
    load: LoadFile | None = Field(
        default=None, examples=[{"duty": 0.21}], description="load that runs from time 0 on"
    )

    @property
    def all_names(self) -> list[str]:
        """Return the names of the guests that this entry declares."""
        return [self.name] if self.name is not None else list(self.names or [])


class PinFile(FileModel):
    """A vCPU and the pCPUs that it is bound to."""

    vcpu: int = Field(default=0, ge=0, examples=[0], description="number of the vCPU")
    pcpus: list[Pcpu] = Field(min_length=1, examples=[[0]], description="pCPUs it may run on")


HOST_FAULTS = ("libvirtd-restart", "clock-step")

StatisticName = Literal[
    "swap_in",
    "swap_out",
    "major_fault",
    "minor_fault",
    "unused",
    "available",
    "usable",
    "disk_caches",
    "hugetlb_pgalloc",
    "hugetlb_pgfail",
    "rss",
]

_FAULT_OF_HOST: JsonDict = {"properties": {"fault": {"enum": list(HOST_FAULTS)}}}


class EventFile(FileModel):
    """Something that happens to guests, or breaks, while the program runs."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": {"required": ["fault"], **_FAULT_OF_HOST},
                    "then": {"not": {"anyOf": [{"required": [k]} for k in ("guest", "guests")]}},
                    "else": _one_of("guest", "guests"),
                },
                _one_of("pin", "set_memory_mib", "start_load", "stop_load", "power", "fault"),
            ]
        }
    )

    at_s: Seconds = Field(examples=[14], description="scenario time; 0 is the program's start")
    guest: str | None = Field(default=None, examples=["aos_vm1"], description="one guest")
    guests: list[str] | None = Field(
        default=None,
        min_length=1,
        examples=[["aos_vm1", "aos_vm2"]],
        description="several guests to which the same happens",
    )
    pin: PinFile | None = Field(
        default=None,
        examples=[{"vcpu": 0, "pcpus": [0]}],
        description="the administrator binds a vCPU",
    )
    set_memory_mib: PositiveMib | None = Field(
        default=None, examples=[512], description="the administrator sets the balloon's target"
    )
    start_load: LoadFile | None = Field(
        default=None,
        examples=[{"duty": 0.36}],
        description="a load starts; on a vCPU it replaces the CPU load that ran there",
    )
    vcpus: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None,
        min_length=1,
        examples=[[0]],
        description="with start_load: the vCPUs that it runs on; all, if left out",
    )
    stop_load: Literal["cpu", "memory", "all"] | None = Field(
        default=None,
        examples=["memory"],
        description="loads of this kind end; a memory load frees all that it holds",
    )
    power: Literal["start", "stop", "lose", "define", "undefine"] | None = Field(
        default=None,
        examples=["stop"],
        description="start: a guest that is shut off boots; stop: it shuts down in good order; "
        "lose: its QEMU process dies; undefine: its description is forgotten, and the guest with "
        "it once it is off; define: a guest of this name is there again, as declared and shut "
        "off, under a new uuid",
    )

    fault: (
        Literal[
            "balloon-stuck",
            "statistics-stale",
            "statistics-missing",
            "blocked",
            "libvirtd-restart",
            "clock-step",
        ]
        | None
    ) = Field(
        default=None,
        examples=["balloon-stuck"],
        description="something breaks. Of guests: their balloon stands still; their memory "
        "statistics are not renewed, or not shown; their lock is held, so that calls which need it "
        "wait and fail after 30 s. Of the host, without guests: libvirtd restarts, the calendar "
        "clock jumps",
    )
    for_s: Seconds | None = Field(
        default=None,
        examples=[20],
        description="with fault: how long it lasts, or how long libvirtd is away; left out, a "
        "guest's fault lasts for ever",
    )
    fields: list[StatisticName] | None = Field(
        default=None,
        min_length=1,
        examples=[["unused", "usable"]],
        description="with statistics-missing: what is not shown; all that the guest reports, if "
        "left out",
    )
    step_s: float | None = Field(
        default=None,
        ge=-1e9,
        le=1e9,
        allow_inf_nan=False,
        examples=[-3600],
        description="with clock-step: by how much the clock jumps, forwards or back",
    )

    @property
    def all_guests(self) -> list[str]:
        """Return the names of the guests that this event concerns."""
        return [self.guest] if self.guest is not None else list(self.guests or [])


class RunFile(FileModel):
    """How long the program is watched, and the interval that it is given."""

    duration_s: int = Field(ge=1, le=86_400, examples=[30], description="length of the run")
    interval_s: int = Field(
        ge=1, le=3600, examples=[1], description="the program's only argument, in whole seconds"
    )


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
        min_length=1,
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
