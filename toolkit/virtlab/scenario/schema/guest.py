"""A guest as it stands when the program starts."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from virtlab.scenario.schema.base import (
    FileModel,
    GuestName,
    Mib,
    Pcpu,
    Placement,
    PositiveMib,
    Share,
    one_of,
)
from virtlab.scenario.schema.loads import LoadFile
from virtlab.scenario.schema.tuning import TuningFile

__all__ = ["GuestFile"]


class GuestFile(FileModel):
    """One guest, or several alike; their order in the file is the order of their domain ids."""

    model_config = ConfigDict(json_schema_extra=one_of("name", "names"))

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
    memory_cell: int | None = Field(
        default=None,
        ge=0,
        examples=[0],
        description="the NUMA cell in which its memory lies, as with a strict <numatune>. Left "
        "out: the cell of the pCPU on which its first vCPU starts",
    )
    # Measured up to 8 MiB; a gigabyte is more than any cache.
    working_set_kib: int = Field(
        default=0,
        ge=0,
        le=1024 * 1024,
        examples=[512],
        description="what the work of a vCPU has in the caches: a batch that is moved to another "
        "pCPU takes longer by the time to fetch it again",
    )
    memory_bound: Share = Field(
        default=0.0,
        examples=[0.4],
        description="share of its time that its work waits for memory of the own cell: 0 where "
        "all stays in the caches, near 1 where every step needs another page",
    )
    emulator_share: Share | None = Field(
        default=None,
        examples=[0.1],
        description="what QEMU's own threads want, over what the loads of its vCPUs want together; "
        "they run on the pCPUs as a thread does. Left out: 0.02 of what the vCPUs ran is counted, "
        "and loads no pCPU",
    )
    emulator_on: list[Pcpu] | None = Field(
        default=None,
        min_length=1,
        examples=[[0]],
        description="the pCPUs on which QEMU's own threads may run, as with <emulatorpin>. Left "
        "out: all",
    )
    cputune: TuningFile | None = Field(
        default=None,
        examples=[{"shares": 512}],
        description="weight and quotas that are stored for it, as in a domain's <cputune>",
    )
    load: LoadFile | None = Field(
        default=None, examples=[{"duty": 0.21}], description="load that runs from time 0 on"
    )

    @property
    def all_names(self) -> list[str]:
        """Return the names of the guests that this entry declares."""
        return [self.name] if self.name is not None else list(self.names or [])
