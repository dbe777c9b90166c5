"""The errors of a comparison one by one: of every vCPU in every phase, and of every guest's memory.

Signed errors are simulated less real, as the programs themselves did on each host. Runs that others
disturbed are left out, as they say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from virtlab.model.fidelity import RunDistance, SizeError, VcpuError
from virtlab.reports.items import readable

__all__ = ["detail_lines"]

_CPU: Final = (
    "| test | program | phase | each vCPU: share, delay, in points |",
    "|---|---|---:|---|",
)
_MEMORY: Final = (
    "| test | program | each guest: balloon, unused, in % of its range |",
    "|---|---|---|",
)


def detail_lines(distances: Sequence[RunDistance]) -> Iterator[str]:
    """Yield Markdown tables of all errors of the runs that count."""
    counted = [one for one in distances if one.disturbed is None]
    for head, rows in (
        (_CPU, [row for one in counted for row in _vcpu_rows(one)]),
        (_MEMORY, [row for one in counted if one.sizes for row in _size_rows(one)]),
    ):
        if rows:
            yield from ("", *head, *rows)


def _vcpu_rows(one: RunDistance) -> Iterator[str]:
    for phase, vcpus in groupby(one.vcpus, key=lambda vcpu: vcpu.phase):
        yield _row(one, str(phase), "; ".join(map(_vcpu_words, vcpus)))


def _size_rows(one: RunDistance) -> Iterator[str]:
    yield _row(one, "; ".join(map(_size_words, one.sizes)))


def _vcpu_words(vcpu: VcpuError) -> str:
    number = f"/{vcpu.vcpu}" if vcpu.vcpu else ""
    delay = "-" if vcpu.delay_points is None else f"{vcpu.delay_points:+.1f}"
    return f"{vcpu.guest}{number} {vcpu.share_points:+.1f}, {delay}"


def _size_words(size: SizeError) -> str:
    return f"{size.guest} {size.balloon_percent:.1f}, {size.unused_percent:.1f}"


def _row(one: RunDistance, *cells: str) -> str:
    program = one.program + (f", {one.number}" if one.number > 1 else "")
    shown = [readable(cell).replace("|", "/") for cell in (one.scenario, program, *cells)]
    return f"| {' | '.join(shown)} |"
