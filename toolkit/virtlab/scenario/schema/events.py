"""What happens to guests, or breaks, while the program runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from virtlab.scenario.schema.base import FileModel, Pcpu, PositiveMib, Seconds, one_of
from virtlab.scenario.schema.loads import LoadFile
from virtlab.scenario.schema.tuning import TuningFile

__all__ = ["HOST_FAULTS", "EventFile", "PinFile"]


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
                    "else": one_of("guest", "guests"),
                },
                one_of(
                    "pin",
                    "set_memory_mib",
                    "set_cputune",
                    "start_load",
                    "stop_load",
                    "power",
                    "fault",
                ),
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
    set_cputune: TuningFile | None = Field(
        default=None,
        examples=[{"vcpu_quota_us": 50_000}],
        description="the administrator sets weight and quotas of a running guest",
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
