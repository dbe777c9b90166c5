"""The distance between the simulated host and real ones: for a terminal, and for a page.

A figure beyond its aim carries an exclamation mark. Runs that others disturbed are shown in
brackets and count for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from virtlab.model.fidelity import (
    AIMS,
    AimLine,
    Contribution,
    Machine,
    RunDistance,
)
from virtlab.reports.fidelity_details import detail_lines
from virtlab.reports.items import readable

__all__ = ["fidelity_lines", "fidelity_page"]

_COLUMNS: Final = ("share", "delay", "balloon", "unused", "settle", "agree")
_PROGRAM_WIDTH: Final = 31
_FIGURE_WIDTH: Final = 7
_ACCELERATORS: Final = {"kvm": "guests under KVM", "qemu": "emulated guests"}


def fidelity_lines(
    contribution: Contribution, distances: Sequence[RunDistance], aims: Sequence[AimLine]
) -> Iterator[str]:
    """Yield the lines of one machine's comparison; long ones are sentences, to be folded."""
    yield machine_words(contribution.machine)
    if not distances:
        yield _denominator(contribution)
        return
    yield f"{'':<{_PROGRAM_WIDTH}}{_cells(_COLUMNS)}"
    for scenario, runs in groupby(distances, key=lambda one: one.scenario):
        yield readable(scenario)
        for one in runs:
            name = _bracketed(_named(one).removeprefix("flawed/"), one)
            yield f"  {name:<{_PROGRAM_WIDTH - 2}}{_cells(_figures(one))}"
    yield ""
    yield from (_aim_words(line) for line in aims)
    yield _verdict_words(distances)
    yield from _remarks(contribution, distances)
    yield _denominator(contribution)


def fidelity_page(
    machines: Sequence[tuple[Contribution, Sequence[RunDistance], Sequence[AimLine]]],
) -> str:
    """Return the machines' comparisons in Markdown."""
    return "\n".join(line for each in machines for line in _section(*each)) + "\n"


def machine_words(machine: Machine) -> str:
    """Return a machine as a sentence."""
    kind = "a virtual machine" if machine.itself_virtual else "a machine"
    on = _ACCELERATORS.get(machine.accelerator, machine.accelerator)
    return readable(
        f"{machine.processor}, {kind} with {machine.pcpus} pCPUs and {machine.memory_mib} MiB; "
        f"Linux {machine.kernel}, libvirt {machine.libvirt}, {machine.hypervisor}, {on}."
    )


# --- figures of one run


def _named(one: RunDistance) -> str:
    return readable(one.program) + (f", {one.number}" if one.number > 1 else "")


def _bracketed(text: str, one: RunDistance) -> str:
    return text if one.disturbed is None else f"({text})"


def _figures(one: RunDistance) -> tuple[str, ...]:
    agree = sum(one.verdicts.values())
    return (
        _figure(one.share_points, AIMS.share_points),
        _figure(one.delay_points, AIMS.delay_points),
        _figure(one.balloon_percent, AIMS.size_percent),
        _figure(one.unused_percent, AIMS.size_percent),
        _figure(one.settle_intervals, AIMS.settle_intervals),
        f"{agree}/{len(one.verdicts)}" + ("" if agree == len(one.verdicts) else "!")
        if one.verdicts
        else "-",
    )


def _figure(error: float | None, aim: float) -> str:
    if error is None:
        return "-"
    shown = "one" if math.isinf(error) else f"{error:.1f}"
    return f"{shown}!" if error > aim else shown


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"{text:>{_FIGURE_WIDTH}} " for text in texts).rstrip()


# --- over all runs


def _aim_words(line: AimLine) -> str:
    if not line.runs:
        return f"{line.name}: not measured"
    worst = "beyond measure" if line.worst is None else f"{line.worst:.1f}"
    middle = "" if line.median is None else f", median {line.median:.1f}"
    return (
        f"{line.name}: worst {worst}{middle} {line.unit} (aim {line.aim:g}); "
        f"{line.within} of {line.runs} runs within it"
    )


def _verdict_words(distances: Sequence[RunDistance]) -> str:
    judged = [same for one in _counted(distances) for same in one.verdicts.values()]
    return f"verdicts: {sum(judged)} of {len(judged)} criteria judged alike"


def _counted(distances: Sequence[RunDistance]) -> list[RunDistance]:
    return [one for one in distances if one.disturbed is None]


def _remarks(contribution: Contribution, distances: Sequence[RunDistance]) -> Iterator[str]:
    for one in _counted(distances):
        for words in one.judged_otherwise:
            yield f"{readable(one.scenario)}, {_named(one)}: {readable(words)}"
    disturbed = [one for one in distances if one.disturbed is not None]
    if disturbed:
        most = f"{contribution.outside_points_max:g} %"
        yield f"In brackets: {len(disturbed)} disturbed and not counted (others above {most})."
    for one in disturbed:
        reason = readable(one.disturbed or "").replace("\n", " ")
        yield f"{readable(one.scenario)}, {_named(one)}: {reason}"


def _denominator(contribution: Contribution) -> str:
    fit = contribution.tests - len(contribution.not_run)
    ran = len({run.scenario for run in contribution.runs if run.disturbed is None})
    return (
        f"{fit} of the lab's {contribution.tests} tests can run on this machine; {ran} of them "
        f"did, in {sum(run.disturbed is None for run in contribution.runs)} runs."
    )


# --- a page


def _section(
    contribution: Contribution, distances: Sequence[RunDistance], aims: Sequence[AimLine]
) -> Iterator[str]:
    machine = contribution.machine
    on = _ACCELERATORS.get(machine.accelerator, machine.accelerator)
    yield f"### {readable(machine.processor)}, {machine.pcpus} pCPUs, {readable(on)}"
    yield ""
    held = machine.accelerator == "kvm" or contribution.loops_held
    loops = "" if held else " Loops were calibrated once, and not held to their duty."
    yield f"{machine_words(machine)} Measured {readable(contribution.date)}.{loops}"
    yield ""
    yield _denominator(contribution)
    yield ""
    yield "| error | aim | median | worst | runs within the aim |"
    yield "|---|---:|---:|---:|---:|"
    for line in aims:
        shown = (_or_dash(line.median), _or_dash(line.worst), f"{line.within} of {line.runs}")
        yield f"| {line.name}, {line.unit} | {line.aim:g} | {' | '.join(shown)} |"
    judged = [same for one in _counted(distances) for same in one.verdicts.values()]
    yield f"| verdicts, criteria judged alike | all | | | {sum(judged)} of {len(judged)} |"
    yield ""
    yield f"| test | program | {' | '.join(_COLUMNS)} | others |"
    yield f"|---|---|{'---:|' * (len(_COLUMNS) + 1)}"
    others = {
        (run.scenario, run.program, run.number): run.outside_percent for run in contribution.runs
    }
    for one in distances:
        used = others.get((one.scenario, one.program, one.number))
        about = "-" if used is None else f"{used:.0f} %"
        cells = [readable(one.scenario), _bracketed(_named(one), one), *_figures(one), about]
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
    yield from detail_lines(distances)
    yield ""
    for text in _remarks(contribution, distances):
        yield f"- {text}"
    if contribution.not_run:
        yield ""
        yield "| cannot run there | because it |"
        yield "|---|---|"
        for lack in contribution.not_run:
            yield f"| {readable(lack.scenario)} | {readable(lack.why).replace('|', '/')} |"
    yield ""


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
