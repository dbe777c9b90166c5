"""The machine that carries the guests."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from virtlab.scenario.schema.base import FileModel, Mib, PositiveMib
from virtlab.scenario.schema.topology import TopologyFile

__all__ = ["HostFile"]


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
    qemu_processes: bool = Field(
        default=False,
        examples=[True],
        description="the program finds a process for each guest that runs, with QEMU's command "
        "line, threads and pid file; needs bubblewrap",
    )
    topology: TopologyFile | None = Field(
        default=None,
        examples=[{"cells": 2, "threads": 2}],
        description="NUMA cells, sockets, SMT siblings and the speed of pCPUs. Left out: one cell, "
        "one socket, one thread a core, all equally fast",
    )
