"""`virtlab diff`: two results beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from virtlab.cli.show import print_folded, print_json

__all__ = ["diff"]


def diff(
    before: Annotated[
        Path, typer.Argument(metavar="BEFORE", help="A result folder.", show_default=False)
    ],
    after: Annotated[
        Path, typer.Argument(metavar="AFTER", help="Another one.", show_default=False)
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Show what differs between two results: points, figures, and where the runs part first.

    Exits with 0 where nothing differs and 1 otherwise, as diff does.
    Example: virtlab diff virtlab-results/yesterday virtlab-results/today
    """
    from dataclasses import asdict

    from virtlab.grading.store import read_results
    from virtlab.reports.difference import compare, comparison_text

    old, new = read_results(before), read_results(after)
    found = compare(old.verdict, new.verdict, old.marked_timelines, new.marked_timelines)
    if as_json:
        print_json({"version": 1, **asdict(found)})
    else:
        print_folded(comparison_text(found))
    raise typer.Exit(1 if found.changes or found.partings else 0)
