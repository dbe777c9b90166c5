"""Traces of real machines, as others publish them, made into scenarios of ours.

Two formats are read:

- *planetlab*: the workload of Beloglazov and Buyya (TPDS 24, 2013). One CSV file with the columns
  simulation, VM, time frame, MHz of the VM, and per cent of these; hosts have four cores of 3 GHz.
- *bitbrains*: GWA-T-12 of the Grid Workloads Archive. One file for each VM, fields apart by `;`,
  with a header that names eleven columns; memory as well as CPU.

Both have a sample each five minutes. A sample is played in a few seconds, and what was between two
samples nobody knows: in each second a vCPU works either at half of its mean or in a burst, drawn so
that the mean over the sample stays. Memory goes in a line from sample to sample. So a scenario has
the sizes and the long rhythm of the trace; its seconds are a model.

Source: the read-me of github.com/beloglazov/tpds-2013-workload; the header of GWA-T-12's files.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Literal

import yaml

from virtlab.errors import InputError, Problem, ScenarioError, UsageError
from virtlab.model.scenario import ProgramKind
from virtlab.naming import listed
from virtlab.scenario.located_yaml import read_bounded

__all__ = ["Format", "Machine", "converted", "read_machines"]

Format = Literal["planetlab", "bitbrains"]

_PLANETLAB_CORE_MHZ: Final = 3000.0
_PLANETLAB_MIB: Final = 512  # nothing is known of its memory
_BITBRAINS: Final = (
    "CPU cores", "CPU usage [%]", "Memory capacity provisioned [KB]", "Memory usage [KB]",
)  # fmt: skip
_BURST: Final = 2.5  # times the mean
_KERNEL_MIB, _PROCESSES_MIB, _CACHE_MIB = 42, 60, 20


@dataclass(frozen=True, slots=True)
class Machine:
    """One VM of a trace."""

    name: str
    vcpus: int
    shares: tuple[float, ...]  # of one pCPU that each of its vCPUs used, sample by sample
    memory_mib: tuple[float, ...] | None = None  # in use; None: not known
    most_mib: int = _PLANETLAB_MIB


def read_machines(
    paths: Sequence[Path], form: Format, *, simulation: str | None = None
) -> list[Machine]:
    """Return the machines of trace files, in the order of their names or files.

    Args:
        paths: one file of planetlab's, or one for each machine of bitbrains'.
        form: the format.
        simulation: which set of machines of planetlab's; the first where None.

    Raises:
        UsageError: planetlab has more than one file, or no such simulation.
        InputError: a file cannot be read.
        ScenarioError: it has mistakes.
    """
    if form == "bitbrains":
        return [_bitbrains(path) for path in paths]
    if len(paths) != 1:
        raise UsageError(
            f"a planetlab trace is one file, and {len(paths)} are named", fix="name one."
        )
    return _planetlab(paths[0], simulation)


def converted(
    machines: Sequence[Machine],
    name: str,
    *,
    program: ProgramKind,
    pcpus: int,
    samples: int,
    step_s: int,
    seed: int,
) -> dict[str, str]:
    """Return the files of a scenario that plays machines side by side, by name.

    Args:
        machines: on one host.
        name: the scenario's id, and the stem of its file.
        program: what it judges; a coordinator needs traces of memory.
        pcpus: of the host.
        samples: how many of the trace are played.
        step_s: how long each takes.
        seed: of the bursts.

    Raises:
        UsageError: there is nothing of memory in the trace, and a coordinator would need it.
    """
    memory = program == "memory_coordinator"
    if memory and any(machine.memory_mib is None for machine in machines):
        raise UsageError(
            "this trace tells nothing of memory, and a coordinator's scenario needs it",
            fix="use a trace of bitbrains' format, or --program vcpu_scheduler.",
        )
    files = {}
    guests: list[dict[str, object]] = []
    for number, machine in enumerate(machines):
        trace = f"{name}-{machine.name}.csv"
        rows = _rows(machine, Random(f"{seed} {machine.name}"), samples, step_s, memory=memory)
        files[trace] = "".join(f"{row}\n" for row in rows)
        guest: dict[str, object] = {
            "name": machine.name,
            "vcpus": machine.vcpus,
            "start_on": [(number + vcpu) % pcpus for vcpu in range(machine.vcpus)],
            "memory_mib": machine.most_mib,
            "kernel_mib": _KERNEL_MIB,
            "processes_mib": _PROCESSES_MIB,
            "cache_mib": _CACHE_MIB,
            "load": {"trace": trace},
        }
        if memory:
            guest |= {"memory_mib": machine.most_mib // 2, "max_memory_mib": machine.most_mib}
            guest |= {"swap_mib": machine.most_mib}
        guests.append(guest)
    total_mib = sum(machine.most_mib for machine in machines)
    scenario = {
        "schema_version": 1,
        "id": name,
        "title": f"{len(machines)} machines of a trace, {samples} samples of {step_s} s each",
        "why": "A policy is measured on loads as they were measured elsewhere, and not marked.",
        "program": program,
        "seed": seed,
        # For a coordinator there is less than all could want: half of it, and the host's own part.
        "host": {"pcpus": pcpus, "memory_mib": 2048 + (total_mib // 2 if memory else total_mib)},
        "guests": guests,
        "run": {"duration_s": samples * step_s, "interval_s": 2 if memory else 1},
        "criteria": [{"name": "no-crash"}],
    }
    head = f"# Made of a trace by `virtlab scenarios import`, with seed {seed}.\n"
    files[f"{name}.yaml"] = head + yaml.safe_dump(scenario, sort_keys=False, allow_unicode=True)
    return files


def _rows(
    machine: Machine, rng: Random, samples: int, step_s: int, *, memory: bool
) -> Iterator[str]:
    yield "time_s,cpu,memory_mib" if memory else "time_s,cpu"
    count = min(samples, len(machine.shares))
    used = machine.memory_mib or ()
    base_mib = _KERNEL_MIB + _PROCESSES_MIB + _CACHE_MIB  # held by every guest in any case
    for sample in range(count):
        shares = _seconds_of(machine.shares[sample], step_s, rng)
        for second in range(step_s):
            at_s = sample * step_s + second
            line = f"{at_s},{shares[second]:.4f}"
            if memory:
                after = used[min(sample + 1, count - 1)]
                mib = used[sample] + (after - used[sample]) * second / step_s
                line += f",{max(mib - base_mib, 0.0):.1f}"
            yield line


def _seconds_of(mean: float, seconds: int, rng: Random) -> list[float]:
    """Return what a load uses in each second of a sample: bursts, with the sample's mean."""
    low, high = mean / 2.0, min(_BURST * mean, 1.0)
    if mean <= 0.0 or high <= mean:
        return [mean] * seconds
    chance = (mean - low) / (high - low)
    drawn = [high if rng.random() < chance else low for _ in range(seconds)]
    # The few seconds of one sample miss the mean by chance; what is lacking is spread over them.
    lacking = mean - math.fsum(drawn) / seconds
    return [min(max(share + lacking, 0.0), 1.0) for share in drawn]


def _planetlab(path: Path, simulation: str | None) -> list[Machine]:
    problems: list[Problem] = []
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    rows = csv.reader(read_bounded(path, "trace").splitlines())
    for row in rows:
        if not row or (rows.line_num == 1 and not _is_number(row[0])):
            continue  # a header
        numbers = [float(cell) if _is_number(cell) else math.nan for cell in row]
        if len(numbers) != 5 or any(math.isnan(number) for number in numbers):
            problems.append(_bad(path, rows.line_num, f"this row is {','.join(row)[:60]}."))
            continue
        group, machine = row[0].strip(), row[1].strip()
        _, _, frame, mhz, per_cent = numbers
        share = mhz * per_cent / 100.0 / _PLANETLAB_CORE_MHZ
        found.setdefault(group, {}).setdefault(machine, []).append((frame, min(share, 1.0)))
    if problems:
        raise ScenarioError(problems)
    if not found:
        raise InputError(f"{path} has no rows", fix="name a trace with data in it.")
    chosen = next(iter(found)) if simulation is None else simulation
    if chosen not in found:
        raise UsageError(f"{path} has no simulation {chosen}", fix=f"use one of: {listed(found)}.")
    return [
        Machine(f"vm{name}", 1, tuple(share for _, share in sorted(samples)))
        for name, samples in sorted(found[chosen].items(), key=lambda one: _order(one[0]))
    ]


def _bitbrains(path: Path) -> Machine:
    problems: list[Problem] = []
    rows = csv.reader(read_bounded(path, "trace").splitlines(), delimiter=";")
    header = [cell.strip() for cell in next(rows, [])]
    missing = [column for column in _BITBRAINS if column not in header]
    if missing:
        what = f"the header has no column {missing[0]}."
        raise ScenarioError([_bad(path, 1, what)])
    places = [header.index(column) for column in _BITBRAINS]
    samples = []
    for row in rows:
        if not row:
            continue
        cells = [row[place] if place < len(row) else "" for place in places]
        if not all(_is_number(cell) for cell in cells):
            problems.append(_bad(path, rows.line_num, f"this row is {';'.join(row)[:60]}."))
            continue
        samples.append([float(cell) for cell in cells])
    if problems:
        raise ScenarioError(problems)
    if not samples:
        raise InputError(f"{path} has no rows", fix="name a trace with data in it.")
    cores = max(int(max(sample[0] for sample in samples)), 1)
    most_mib = max(math.ceil(max(sample[2] for sample in samples) / 1024), 256)
    return Machine(
        name=f"vm-{path.stem}",
        vcpus=cores,
        shares=tuple(min(sample[1] / 100.0, 1.0) for sample in samples),
        memory_mib=tuple(sample[3] / 1024 for sample in samples),
        most_mib=most_mib,
    )


def _bad(path: Path, line: int, what: str) -> Problem:
    return Problem(str(path), line, "", what, "give the format that the file has by --from.")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and float(text) >= 0.0
    except ValueError:
        return False


def _order(text: str) -> tuple[float, str]:
    return (float(text) if _is_number(text) else math.inf, text)
