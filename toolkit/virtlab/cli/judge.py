"""`virtlab judge`: recorded runs, judged again without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from virtlab.cli.show import page_options, print_json
from virtlab.cli.verdict_code import code_of_verdicts

__all__ = ["judge"]


def judge(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Result folders of grade.", show_default=False),
    ],
    rubric: Annotated[
        str | None,
        typer.Option(
            "--rubric",
            help="Id of a shipped rubric, or the path of a file; the one of the results where "
            "not given.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Judge results again from their timelines, by the same rubric or another.

    Nothing is run and nothing is written. Example: virtlab judge virtlab-results/reference-c
    """
    from dataclasses import asdict

    from virtlab.grading.rejudge import rejudge
    from virtlab.grading.rubric import find_rubric
    from virtlab.grading.store import read_results
    from virtlab.reports.terminal import verdict_text

    verdicts = []
    for folder in folders:
        marks = find_rubric(rubric or read_results(folder).verdict.rubric)
        verdicts.append(rejudge(folder, marks))
        if not as_json:
            print(verdict_text(verdicts[-1], **page_options()), end="")
    if as_json:
        listed = [asdict(verdict) for verdict in verdicts]
        print_json({"version": 1, "verdicts": listed})
    raise typer.Exit(code_of_verdicts(verdicts))
