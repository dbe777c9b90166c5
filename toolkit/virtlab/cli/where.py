"""The option `--host`: where runs take place, on the simulated host or on a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.errors import UsageError

if TYPE_CHECKING:
    from virtlab.grading.run import Runner
    from virtlab.model.scenario import Scenario

__all__ = ["SIMULATED", "Host", "OutsideMax", "is_real", "runner_of"]

SIMULATED = "simulated"
_SYSTEM = "qemu:///system"

Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="simulated|real[=URI]",
        help="Where it runs: on the simulated host, or in real time on this machine's libvirtd, "
        "with real guests.",
    ),
]
OutsideMax = Annotated[
    float,
    typer.Option(
        "--outside-max",
        min=0.0,
        max=100.0,
        help="What others may use of a real host's pCPUs, in percent, before a run counts as "
        "disturbed.",
    ),
]


def is_real(host: str) -> bool:
    """Tell whether an option means a real host.

    Raises:
        UsageError: it means neither.
    """
    kind, _, uri = host.partition("=")
    if kind == "real" and ("=" not in host or uri):
        return True
    if host == SIMULATED:
        return False
    raise UsageError(
        f"--host {host}: there is no such host.", fix="use simulated, real, or real=URI"
    )


@contextmanager
def runner_of(
    host: str,
    outside_max: float,
    progress: Callable[[str], None],
    scenarios: Sequence[Scenario],
) -> Iterator[Runner]:
    """Give what runs programs there; a real host is this process's alone for the block.

    Raises:
        UsageError, EnvironmentLackError: it cannot be had, or cannot offer one of the scenarios.
    """
    if not is_real(host):
        from virtlab.grading.run import run_program

        yield run_program
        return
    from virtlab.grading.real_host import open_real_host

    uri = host.partition("=")[2] or _SYSTEM
    with open_real_host(uri, outside_points_max=outside_max, progress=progress) as real:
        real.check(scenarios)
        yield real
