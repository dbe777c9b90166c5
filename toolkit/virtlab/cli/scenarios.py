"""`virtlab scenarios`: list, show and check scenario and rubric files, and print their schemas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from virtlab.cli.exit_codes import ExitCode
from virtlab.cli.show import print_json
from virtlab.errors import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from virtlab.grading.rubric import Rubric
    from virtlab.model.scenario import Event, GuestSpec, Scenario
    from virtlab.model.topology import Topology
    from virtlab.model.workload import Workload

__all__ = ["app"]

app = typer.Typer(
    help="List, show and check scenario and rubric files.\n\n"
    "Exit codes: 0 done, 2 wrong usage, 3 a file has mistakes.",
    no_args_is_help=True,
)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command("list")
def list_scenarios(as_json: _Json = False) -> None:
    """List the shipped scenarios and rubrics.

    Example: virtlab scenarios list
    """
    from virtlab.grading.rubric import find_rubric, rubric_files
    from virtlab.scenario import shipped_scenarios

    scenarios = shipped_scenarios()
    rubrics = [find_rubric(name) for name in rubric_files()]
    if as_json:
        print_json(
            {
                "version": 1,
                "scenarios": [_row(s) for s in scenarios],
                "rubrics": [_rubric_row(r) for r in rubrics],
            }
        )
        return
    width = max(len(s.id) for s in scenarios)
    for s in scenarios:
        typer.echo(f"{s.id:<{width}}  {s.program:<18}  {s.duration_s:>4} s  {s.title}")
    for r in rubrics:
        points = f"{r.points_max:g} points, {len(r.tests)} tests"
        typer.echo(f"{r.id:<{width}}  {'rubric':<18}  {'':>6}  {r.title}: {points}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Id of a shipped scenario or rubric, or a path.")],
    as_json: _Json = False,
) -> None:
    """Show a scenario or a rubric in words.

    Example: virtlab scenarios show cpu-1-all-on-one
    """
    from dataclasses import asdict

    from virtlab.grading.file_check import is_rubric
    from virtlab.grading.rubric import find_rubric
    from virtlab.scenario import find_scenario

    if is_rubric(name):
        rubric = find_rubric(name)
        if as_json:
            print_json({"version": 1, "rubric": _rubric_row(rubric)})
        else:
            typer.echo("\n".join(_rubric_lines(rubric)))
        return
    scenario = find_scenario(name)
    if as_json:
        events = [{"event": type(e).__name__, **asdict(e)} for e in scenario.events]
        print_json({"version": 1, "scenario": {**asdict(scenario), "events": events}})
    else:
        typer.echo("\n".join(_scenario_lines(scenario)))


@app.command("check")
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files and folders; the shipped ones if left out."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Report every mistake in scenario and rubric files.

    Exits with 3 where there is one. Example: virtlab scenarios check my-scenarios/
    """
    from virtlab.grading.file_check import check_file, yaml_files
    from virtlab.resources import testcases_dir

    checks = [check_file(path) for path in yaml_files(paths or [testcases_dir()])]
    total = sum(len(one.problems) for one in checks)
    if as_json:
        print_json(
            {
                "version": 1,
                "problems": total,
                "files": [
                    {
                        "file": one.file,
                        "kind": one.kind,
                        "problems": [
                            {
                                "file": p.file,
                                "line": p.line,
                                "path": p.path,
                                "what": p.what,
                                "fix": p.fix,
                            }
                            for p in one.problems
                        ],
                    }
                    for one in checks
                ],
            }
        )
    else:
        if total:
            typer.echo(told(list(dict.fromkeys(p for one in checks for p in one.problems))))
        files = "1 file" if len(checks) == 1 else f"{len(checks)} files"
        found = {0: "no mistakes", 1: "1 mistake"}.get(total, f"{total} mistakes")
        typer.echo(f"{files} checked: {found}.")
    if total:
        raise typer.Exit(ExitCode.BAD_INPUT)


@app.command("schema")
def schema(
    kind: Annotated[str, typer.Argument(help="scenario or rubric.")] = "scenario",
) -> None:
    """Print the JSON Schema (draft 2020-12) of scenario or rubric files.

    Example: virtlab scenarios schema rubric
    """
    from virtlab.errors import UsageError
    from virtlab.grading.rubric_file import rubric_schema
    from virtlab.scenario import scenario_schema

    if kind not in ("scenario", "rubric"):
        raise UsageError(f"There is no schema of {kind}.", fix="use scenario or rubric.")
    print_json(scenario_schema() if kind == "scenario" else rubric_schema())


@app.command("import")
def import_trace(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Trace files; several are several machines."),
    ],
    form: Annotated[
        Literal["planetlab", "bitbrains"],
        typer.Option("--from", help="planetlab: tpds-2013-workload. bitbrains: GWA-T-12."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the scenario and its traces.")],
    name: Annotated[str, typer.Option("--id", help="Of the scenario.")] = "traced",
    program: Annotated[
        Literal["vcpu_scheduler", "memory_coordinator"],
        typer.Option("--program", help="What the scenario is for."),
    ] = "vcpu_scheduler",
    simulation: Annotated[
        str | None,
        typer.Option("--simulation", help="Of planetlab's; the first, if left out."),
    ] = None,
    pcpus: Annotated[int, typer.Option("--pcpus", min=1, max=1024)] = 4,
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=1000, help="How many are played.")
    ] = 30,
    step_s: Annotated[
        int, typer.Option("--step-s", min=1, max=300, help="Seconds that a sample takes.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1)] = 1,
) -> None:
    """Make a scenario of traces that others have published.

    Example: virtlab scenarios import 1.csv 2.csv --from bitbrains --out traced
    """
    from virtlab.grading.results_folder import translated, write_file
    from virtlab.scenario.foreign_traces import converted, read_machines
    from virtlab.scenario.loading import load_scenario

    machines = read_machines(files, form, simulation=simulation)
    made = converted(
        machines, name, program=program, pcpus=pcpus, samples=samples, step_s=step_s, seed=seed
    )
    with translated(out):
        out.mkdir(parents=True, exist_ok=True)
    for file, text in made.items():
        write_file(out / file, text)
    scenario = load_scenario(out / f"{name}.yaml")  # whatever is wrong with it is told now
    typer.echo(f"{out / name}.yaml: {scenario.title}")


def _row(scenario: Scenario) -> dict[str, object]:
    return {
        "id": scenario.id,
        "title": scenario.title,
        "why": scenario.why,
        "program": scenario.program,
        "interval_s": scenario.interval_s,
        "duration_s": scenario.duration_s,
        "criteria": [criterion.name for criterion in scenario.criteria],
    }


def _rubric_row(rubric: Rubric) -> dict[str, object]:
    from virtlab.grading.floor_file import read_floor

    shown = ("does", "program", "lowest", "median", "points_max")
    return {
        "id": rubric.id,
        "rubric_version": rubric.version,
        "title": rubric.title,
        "seeds": list(rubric.seeds),
        "points_max": rubric.points_max,
        "tests": [
            {
                "scenario": test.scenario.id,
                "points": dict(test.points),
                "together": test.together,
                "deductions": dict(test.deductions),
                "zero_if": list(test.zero_if),
            }
            for test in rubric.tests
        ],
        "floor": [{key: line[key] for key in shown} for line in read_floor(rubric)],
    }


def _rubric_lines(rubric: Rubric) -> Iterator[str]:
    from virtlab.grading.floor_file import read_floor

    yield f"{rubric.id}: {rubric.title}, version {rubric.version}"
    yield f"  {rubric.points_max:g} points; seeds {', '.join(map(str, rubric.seeds))}"
    for item in rubric.general:
        by_hand = " (by hand, not counted)" if item.kind == "by_hand" else ""
        yield f"  {item.points:g}  {item.label}{by_hand}"
    for test in rubric.tests:
        joint = " and " if test.together else ", "
        points = joint.join(f"{value:g} {name}" for name, value in test.points.items())
        yield f"  {test.points_max:g}  {test.scenario.id}: {points}"
        for name, value in test.deductions.items():
            yield f"      {value:g} unless {name}"
        if test.zero_if:
            yield f"      0 unless {', '.join(test.zero_if)}"
    for number, line in enumerate(read_floor(rubric)):
        if number == 0:
            yield "  what programs get that know nothing"
        mark = f"{line['lowest']:g} of {line['points_max']:g}"
        yield f"    {mark:<10} a {line['program']} that {line['does']}"


def _scenario_lines(scenario: Scenario) -> Iterator[str]:
    host = scenario.host
    yield f"{scenario.id}: {scenario.title}"
    yield f"  why       {scenario.why}"
    yield (
        f"  run       ./{scenario.program} {scenario.interval_s}, for {scenario.duration_s} s, "
        f"seed {scenario.seed}"
    )
    yield (
        f"  host      {host.pcpus} pCPUs, {host.memory_kib // 1024} MiB, "
        f"of which it uses {host.used_kib // 1024} itself"
    )
    if host.topology is not None:
        yield f"  topology  {_topology(host.topology)}"
    yield "  guests    in the order of their domain ids"
    for guest in scenario.guests:
        yield f"    {_guest(guest)}"
    for event in scenario.events:
        whose = getattr(event, "guest", "the host")
        yield f"  {f'{event.time_ns / 1e9:g} s':<8}  {whose}: {_event(event)}"
    for criterion in scenario.criteria:
        limits = ", ".join(f"{key} {value:g}" for key, value in criterion.limits.items())
        yield f"  judged    {criterion.name}" + (f" ({limits})" if limits else "")


def _topology(topology: Topology) -> str:
    from virtlab.model.topology import FULL_CAPACITY

    cells = "; ".join(
        f"cell {number}: pCPU {', '.join(map(str, cell.pcpus))}, {cell.memory_kib // 1024} MiB"
        for number, cell in enumerate(topology.cells)
    )
    pairs = ", ".join("+".join(map(str, core)) for core in topology.cores if len(core) > 1)
    slow = ", ".join(
        f"{pcpu} ({capacity})"
        for pcpu, capacity in enumerate(topology.capacity)
        if capacity != FULL_CAPACITY
    )
    return (
        cells
        + (f"; siblings {pairs}" if pairs else "")
        + (f"; slower pCPUs {slow}" if slow else "")
    )


def _guest(guest: GuestSpec) -> str:
    places = ", ".join("any" if p is None else "+".join(map(str, p)) for p in guest.affinity)
    cell = "" if guest.memory_cell is None else f" in cell {guest.memory_cell}"
    off = "" if guest.running else ", shut off" if guest.defined else ", not defined"
    return (
        f"{guest.name}: {guest.vcpus} vCPU on pCPU {places}; "
        f"{guest.memory_kib // 1024} of {guest.max_memory_kib // 1024} MiB{cell}{off}"
    )


def _event(event: Event) -> str:
    from virtlab.model.faults import GuestFault, HostFault
    from virtlab.model.scenario import (
        DefineGuest,
        PinVcpu,
        SetMemory,
        StartGuest,
        StartWorkload,
        StopGuest,
        StopWorkload,
        UndefineGuest,
    )

    match event:
        case PinVcpu(vcpu=vcpu, pcpus=pcpus):
            return f"vCPU {vcpu} is bound to pCPU {', '.join(map(str, pcpus))}"
        case SetMemory(memory_kib=memory_kib):
            return f"balloon target {memory_kib // 1024} MiB"
        case StartWorkload(workload=workload, vcpus=vcpus):
            where = "" if vcpus is None else f" on vCPU {', '.join(map(str, vcpus))}"
            return f"load starts, {_workload(workload)}{where}"
        case StopWorkload(kind=kind):
            return "all loads end" if kind == "all" else f"{kind} load ends"
        case StartGuest():
            return "boots"
        case StopGuest():
            return "shuts down"
        case DefineGuest():
            return "is defined, shut off"
        case UndefineGuest():
            return "is undefined"
        case GuestFault(kind=kind, for_ns=for_ns, fields=fields):
            named = f" ({', '.join(fields)})" if fields else ""
            return f"{kind}{named} {'for ever' if for_ns is None else f'for {for_ns / 1e9:g} s'}"
        case HostFault(kind="clock-step", step_ns=step_ns):
            return f"the calendar clock jumps by {step_ns / 1e9:g} s"
        case HostFault(for_ns=for_ns):
            return f"libvirtd is away for {for_ns / 1e9:g} s"
        case _:
            return "is lost: its QEMU process dies"


def _workload(workload: Workload) -> str:
    from virtlab.model.workload import Batch, Duty, MemoryGrowth

    match workload:
        case Duty(duty=duty, period_ns=period_ns):
            return f"{100 * duty:g} % of a pCPU in rounds of {period_ns / 1e6:g} ms"
        case Batch(work_ns=work_ns):
            return f"{work_ns / 1e9:g} s of work"
        case MemoryGrowth(rate_kib_s=rate, until_kib=until):
            end = "its limit" if until is None else f"{until // 1024} MiB"
            return f"{rate / 1024:g} MiB/s up to {end}"
        case _:
            return f"a trace of {len(workload.points)} rows"
