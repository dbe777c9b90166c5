"""How the host is put together: NUMA cells, sockets, cores, threads, and the speed of pCPUs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from virtlab.model.topology import FULL_CAPACITY, LOCAL_DISTANCE
from virtlab.scenario.schema.base import FileModel, Pcpu, PositiveMib

__all__ = ["CellFile", "TopologyFile"]

_CELLS_MAX = 64

# One byte in the firmware's table, where 255 says that there is no way.
Distance = Annotated[int, Field(ge=LOCAL_DISTANCE, le=254)]


class CellFile(FileModel):
    """A NUMA cell: pCPUs, and the memory that is nearest to them."""

    pcpus: list[Pcpu] | None = Field(
        default=None,
        min_length=1,
        examples=[[0, 1, 2, 3]],
        description="the pCPUs in it. Left out in all cells: shared out evenly, in their order",
    )
    memory_mib: PositiveMib | None = Field(
        default=None,
        examples=[8192],
        description="its part of the host's memory. Left out in all cells: the same each",
    )
    distances: list[Distance] | None = Field(
        default=None,
        min_length=1,
        examples=[[10, 21]],
        description="its distance to each cell in their order, as `numactl --hardware` shows it; "
        "10 to itself. Left out: 20 to all others",
    )


def _as_list(value: object) -> object:
    """Accept a number of cells, all alike, in place of a list."""
    if type(value) is not int:
        return value
    if not 1 <= value <= _CELLS_MAX:
        fix = f"use a number from 1 to {_CELLS_MAX}, or a list of cells."
        raise PydanticCustomError(
            "virtlab_cells", "{what}", {"what": f"{value} is out of range.", "fix": fix}
        )
    return [{} for _ in range(value)]


Cells = Annotated[
    list[CellFile],
    BeforeValidator(
        _as_list,
        json_schema_input_type=Annotated[int, Field(ge=1, le=_CELLS_MAX)] | list[CellFile],
    ),
    Field(min_length=1, max_length=_CELLS_MAX),
]


class TopologyFile(FileModel):
    """How the host is put together; what is left out makes no difference between pCPUs."""

    cells: Cells = Field(
        default=[CellFile()],
        examples=[2],
        description="NUMA cells: how many, all alike, or a list that describes each",
    )
    sockets: int = Field(
        default=1, ge=1, le=64, examples=[1], description="sockets in each cell, as libvirt counts"
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=2,
        examples=[2],
        description="threads of each core: 2 makes pCPUs that are neighbours in number (0 and 1, "
        "2 and 3, of one cell) SMT siblings",
    )
    siblings: list[Annotated[list[Pcpu], Field(min_length=2, max_length=2)]] | None = Field(
        default=None,
        min_length=1,
        examples=[[[0, 4], [1, 5]]],
        description="instead of threads: pairs of pCPUs that are threads of one core; all others "
        "have a core of their own",
    )
    smt_yield: float = Field(
        default=1.15,
        ge=1,
        le=2,
        allow_inf_nan=False,
        examples=[1.15],
        description="work that a core does with both threads busy, over what it does with one",
    )
    capacity: list[Annotated[int, Field(ge=1, le=FULL_CAPACITY)]] | None = Field(
        default=None,
        min_length=1,
        examples=[[1024, 1024, 512, 512]],
        description="speed of each pCPU as in Linux's cpu_capacity; 1024 is full speed, and what "
        "all have if this is left out",
    )
    remote_latency: float = Field(
        default=1.6,
        ge=1,
        le=10,
        allow_inf_nan=False,
        examples=[1.6],
        description="latency of memory at distance 20, over that of the own cell's; further cells "
        "in proportion",
    )
