"""`virtlab league`: every policy on every scenario and many seeds, side by side."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from virtlab.cli.exit_codes import ExitCode
from virtlab.cli.show import print_json, progress_line
from virtlab.errors import UsageError

__all__ = ["league"]


def _policy_names(typed: str) -> list[str]:
    from virtlab.policies.registry import BUILT_IN

    return [name for name in BUILT_IN if name.startswith(typed)]


def _family_names(typed: str) -> list[tuple[str, str]]:
    from virtlab.league.corpus import known_families

    return [(n, one.title) for n, one in known_families().items() if n.startswith(typed)]


def league(
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help='A policy: its name, file.py[:Class] or module:Class; "NAME parameter=value" '
            "sets parameters. May be given several times; all that come with the lab, if left out.",
            autocompletion=_policy_names,
            show_default=False,
        ),
    ] = None,
    scenarios: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            help="A family, a shipped scenario or a file. May be given several times; all that "
            "come with the lab, if left out.",
            autocompletion=_family_names,
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        Literal["scheduling", "coordination"] | None,
        typer.Option("--kind", help="Policies of one kind alone.", show_default=False),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=1000, help="How many seeds; intervals need 20.")
    ] = 5,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            max=2**31 - 1001,
            help="The first one; those below 1001 are for tuning.",
        ),
    ] = 1001,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=256, help="Processes; one a core.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the table, the runs as CSV and JSON.")
    ] = Path("virtlab-league"),
    tune: Annotated[
        int,
        typer.Option(
            "--tune",
            min=0,
            max=1000,
            help="Sets of parameters that each policy may try beforehand, on families that are "
            "not held out; the best is played and recorded. 0: as policies come.",
        ),
    ] = 0,
    wire: Annotated[
        bool,
        typer.Option("--wire", help="Through libvirt's protocol, not in process: the same table."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page with charts.", show_default=False),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Play all of it again with each physical constant half and one and a half times "
            "as large, and show how the ranking changes.",
        ),
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help="Write a zip file with the table and everything that it takes to get it again, "
            "byte for byte.",
            show_default=False,
        ),
    ] = None,
    reproduce: Annotated[
        Path | None,
        typer.Option(
            "--reproduce",
            help="Play a bundle's league again and compare; takes no other option than --jobs.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a league in --out that was cut short.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older league in --out.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Let every policy play every scenario, and show how each fared beside what could be had.

    A run whose policy fails is named in the table, and the others go on; the exit code is 1 then.

    Example: virtlab league --kind coordination --scenario sawtooth --seeds 20
    """
    from virtlab.grading.interrupts import one_interrupt
    from virtlab.grading.results_folder import write_file
    from virtlab.league.bundle import files_of_users, write_bundle
    from virtlab.league.corpus import chosen_families
    from virtlab.league.entrants import chosen_entrants
    from virtlab.league.optimum import NO_SOLVER
    from virtlab.league.placement_optimum import has_solver
    from virtlab.league.results import LeagueFolder, league_document
    from virtlab.league.season import held
    from virtlab.league.sensitivity import sensitivities
    from virtlab.league.standings import table_of
    from virtlab.league.tuning import tuned
    from virtlab.model.league import League
    from virtlab.reports.league_sensitivity import sensitivity_text
    from virtlab.reports.league_table import league_text

    jobs = jobs or len(os.sched_getaffinity(0))
    if reproduce is not None:
        _play_again(reproduce, jobs)
        return
    entrants = chosen_entrants(policies or [], kind)
    families = chosen_families(scenarios or [], kind)
    plan = League(
        entrants,
        tuple(one for one in families if any(who.kind == one.kind for who in entrants)),
        tuple(range(seed, seed + seeds)),
        bouts=(),
        wire=wire,
        notes=() if has_solver() else (NO_SOLVER,),
    )
    if not plan.families:
        raise UsageError(
            "none of these policies decides anything on any of these scenarios",
            fix="name policies and scenarios of one kind, or leave one of them out.",
        )
    if tune:
        with progress_line("league") as on_step, one_interrupt():
            plan = tuned(plan, budget=tune, jobs=jobs, on_step=on_step)
    inputs = {} if bundle is None else files_of_users(plan)  # refused before hours of play
    if html is not None:
        from virtlab.reports.html import league_page
        from virtlab.reports.html.bundle import plotting_script

        plotting_script()  # what lacks for it is said before hours of play
    folder = LeagueFolder(out, plan)
    known = folder.open(resume=resume, overwrite=overwrite)
    with progress_line("league") as on_step, one_interrupt():
        try:
            played = held(plan, jobs=jobs, journal=folder.journal, known=known, on_step=on_step)
            table = table_of(played)
            folder.write(table)
            changes = sensitivities(table, jobs=jobs, on_step=on_step) if sensitivity else ()
        except KeyboardInterrupt:
            print(
                f"virtlab: what was played is in {out}; the same command with --resume goes on.",
                file=sys.stderr,
            )
            raise
    if sensitivity:
        folder.write_sensitivity(changes, table)
    if html is not None:
        write_file(html, league_page(table))
    if bundle is not None:
        write_bundle(bundle, table, inputs)
    if as_json:
        print_json(league_document(table, changes))
    else:
        print(league_text(table), end="")
        if sensitivity:
            print(sensitivity_text(changes, table), end="")
    if any(bout.failure is not None for bout in played.bouts):
        raise typer.Exit(ExitCode.POINTS_LOST)


def _play_again(bundle: Path, jobs: int) -> None:
    """Play a bundle's league, and tell whether every byte came out the same."""
    from virtlab.grading.interrupts import one_interrupt
    from virtlab.league.bundle import reproduced

    with progress_line("league") as on_step, one_interrupt():
        found = reproduced(bundle, jobs=jobs, on_step=on_step)
    for line in found.notes:
        print(f"virtlab: {line}", file=sys.stderr)
    for name, difference in found.files.items():
        print(f"{name}: {difference or 'the same bytes'}")
    if any(found.files.values()):
        raise typer.Exit(ExitCode.POINTS_LOST)
