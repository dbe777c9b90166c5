"""The file in which a machine's measurements travel: one JSON object, a line for each run.

It has no name of a host, a user or a path in it, and what a program printed stays where it ran.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from virtlab.errors import InputError
from virtlab.grading.results_folder import write_file
from virtlab.model.fidelity import CONTRIBUTION_VERSION, Contribution, FidelityRun, RunFigures

__all__ = ["contribution_text", "read_contribution", "write_contribution"]

_SHOWN: Final = 5
_BYTES_MAX: Final = 64 * 1024 * 1024
_FIX: Final = "write it anew with virtlab fidelity --share; these files are not edited by hand."


class _File(BaseModel):
    """What gives its strictness to all that is in it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    content: Contribution


def contribution_text(contribution: Contribution) -> str:
    """Return a contribution as JSON, with a line for each run, so that versions can be compared."""
    whole = asdict(contribution)
    runs = whole.pop("runs")
    head = json.dumps(whole, indent=1)[:-2]
    lines = ",\n".join(json.dumps(run, separators=(",", ":")) for run in runs)
    return f'{head},\n "runs": [\n{lines}\n ]\n}}\n'


def write_contribution(path: Path, contribution: Contribution) -> None:
    """Write a contribution, whole or not at all.

    Raises:
        UsageError, EnvironmentLackError: it cannot be written there.
    """
    write_file(path, contribution_text(contribution))


def read_contribution(path: Path) -> Contribution:
    """Return what a machine measured.

    Raises:
        InputError: the file cannot be read, or is no contribution of this version.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise _broken(path, [f"it is larger than {_BYTES_MAX >> 20} MiB"])
        data = json.loads(path.read_bytes())
    except OSError as err:
        reason = os.strerror(err.errno) if err.errno else str(err)
        raise InputError(f"{path} cannot be read: {reason}.", fix="check the path.") from err
    except (ValueError, RecursionError) as err:
        raise _broken(path, [f"it is no JSON: {err}"]) from err
    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, int) and version != CONTRIBUTION_VERSION:
        raise InputError(
            f"{path}: a contribution of version {version}; this virtlab reads version "
            f"{CONTRIBUTION_VERSION}.",
            fix="use the virtlab that wrote it, or measure again.",
        )
    try:
        contribution = _File.model_validate({"content": data}).content
    except ValidationError as err:
        details = err.errors(include_url=False, include_input=False)
        problems = [f"{_place(detail['loc'])}: {detail['msg']}" for detail in details]
        raise _broken(path, problems) from err
    if problems := list(_contradictions(contribution)):
        raise _broken(path, problems)
    return contribution


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc[1:])) or "the file"


def _contradictions(contribution: Contribution) -> Iterator[str]:
    """Yield what comparing would trip over."""
    for number, run in enumerate(contribution.runs):
        for name in ("real", "simulated", "same_acts"):
            yield from _of_figures(f"runs.{number}.{name}", getattr(run, name))
        yield from _of_acts(f"runs.{number}", run)


def _of_figures(where: str, figures: RunFigures) -> Iterator[str]:
    count = len(figures.times_ns)
    if any(a >= b for a, b in zip(figures.times_ns, figures.times_ns[1:], strict=False)):
        yield f"{where}.times_ns: the moments are not in order"
    for at, sizes in enumerate(figures.sizes):
        if {len(sizes.actual_kib), len(sizes.unused_kib)} != {count} or not count:
            yield f"{where}.sizes.{at}: its entries are not as many as the {count} moments"
        if sizes.range_kib <= 0:
            yield f"{where}.sizes.{at}.range_kib: {sizes.range_kib} is not above 0"


def _of_acts(where: str, run: FidelityRun) -> Iterator[str]:
    for at, act in enumerate(run.acts):
        if (act.vcpu is None) != (act.memory_kib is not None) or act.time_ns < 0:
            yield f"{where}.acts.{at}: it is neither an affinity nor a size"


def _broken(path: Path, problems: list[str]) -> InputError:
    listed = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
    more = len(problems) - _SHOWN
    return InputError(
        f"{path} is no contribution:{listed}" + (f"\n  and {more} more" if more > 0 else ""),
        fix=_FIX,
    )
