"""Arguments that a real libvirtd refuses are refused here, with its code, domain and words.

libvirt's own client checks some of them before it sends anything; others can send what they like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from virtlab.libvirt_rpc.errors import LibvirtError

Ask = Callable[..., Any]


@pytest.fixture
def ask(lab: Any) -> Ask:
    """Call the driver of a host of four pCPUs."""

    def call(name: str, *args: Any) -> Any:
        return lab.within(lambda: lab.driver.handlers[name](*args))

    return call


def refusal(ask: Ask, name: str, *args: Any) -> tuple[int, int, str]:
    with pytest.raises(LibvirtError) as caught:
        ask(name, *args)
    return (caught.value.code, caught.value.domain, caught.value.message)


@pytest.mark.parametrize(
    ("name", "args", "refused"),
    [
        (
            "NODE_GET_CPU_STATS",
            (-1, 16, 0),
            (8, 0, "nparams in virHostCPUGetStatsLinux must be equal to 4"),
        ),
        (
            "NODE_GET_MEMORY_STATS",
            (16, -1, 0),
            (8, 0, "nparams in virHostMemGetStatsLinux must be 4"),
        ),
        (
            "NODE_GET_MEMORY_STATS",
            (4, 0, 0),
            (8, 0, "nparams in virHostMemGetStatsLinux must be 2"),
        ),
        (
            "NODE_GET_CPU_STATS",
            (-1, 4, 1),
            (8, 0, "unsupported flags (0x1) in function virHostCPUGetStats"),
        ),
        (
            "NODE_GET_CELLS_FREE_MEMORY",
            (-1, 1),
            (8, 20, "startCell in virNodeGetCellsFreeMemory must be zero or greater"),
        ),
        (
            "NODE_GET_CELLS_FREE_MEMORY",
            (0, 0),
            (8, 20, "maxCells in virNodeGetCellsFreeMemory must be greater than zero"),
        ),
        (
            "NODE_GET_FREE_PAGES",  # once this counted up to 2^31 cells
            ([], -(1 << 31), (1 << 31) + 1, 0),
            (8, 20, "npages in virNodeGetFreePages must not be zero"),
        ),
        (
            "NODE_GET_FREE_PAGES",
            ([4], 0, 0, 0),
            (8, 20, "cellCount in virNodeGetFreePages must not be zero"),
        ),
        (
            "NODE_GET_FREE_PAGES",
            ([4], -2, 1, 0),
            (1, 0, "An error occurred, but the cause is unknown"),
        ),
    ],
)
def test_figures_of_the_host_that_there_are_not(
    ask: Ask, name: str, args: tuple[Any, ...], refused: tuple[int, int, str]
) -> None:
    assert refusal(ask, name, *args) == refused
