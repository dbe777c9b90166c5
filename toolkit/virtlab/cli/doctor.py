"""`virtlab doctor`: what this machine can do for the lab, and the command that mends each lack."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.exit_codes import ExitCode
from virtlab.cli.show import page_options

if TYPE_CHECKING:
    from virtlab.doctor.finding import Finding

__all__ = ["doctor"]

_SYMBOLS = {"works": "✓", "weaker": "!", "missing": "✗"}
_PLAIN_SYMBOLS = {"works": "+", "weaker": "!", "missing": "x"}
_COLOURS = {"works": typer.colors.GREEN, "weaker": typer.colors.YELLOW, "missing": typer.colors.RED}


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Prove KVM by booting a small guest under it.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Look at what this machine can do: simulated host, real host, playbooks, Vagrant box.

    Ends with 4 where programs cannot be graded on the simulated host; what else is missing is said,
    and costs nothing.

    Example: virtlab doctor --deep
    """
    from virtlab.doctor.examine import examine
    from virtlab.doctor.finding import PURPOSES, can

    findings = list(examine(deep=deep, progress=_progress))
    able = {purpose: can(findings, purpose) for purpose in PURPOSES}
    if as_json:
        rows = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"version": 1, "can": able, "findings": rows}, indent=2))
    else:
        for purpose, meaning in PURPOSES.items():
            _show(meaning, able[purpose], [f for f in findings if f.purpose == purpose])
    if not able["simulated host"]:
        raise typer.Exit(ExitCode.ENVIRONMENT)


def _progress(line: str) -> None:
    print(f"virtlab: {line}", file=sys.stderr)


def _show(meaning: str, able: bool, findings: Sequence[Finding]) -> None:
    options = page_options()
    symbols = _PLAIN_SYMBOLS if options["ascii_only"] else _SYMBOLS
    width = max(len(finding.name) for finding in findings)
    typer.echo(f"{'can' if able else 'cannot'} {meaning}")
    room = max(options["width"] - width - 6, 30)
    for finding in findings:
        symbol = symbols[finding.status]
        if options["colour"]:
            symbol = typer.style(symbol, fg=_COLOURS[finding.status])
        first, *rest = textwrap.wrap(finding.detail, room) or [""]
        typer.echo(f"  {symbol} {finding.name:<{width}}  {first}")
        for line in rest:
            typer.echo(f"{'':{width + 6}}{line}")
        if finding.fix is not None:  # never wrapped, so that it can be copied
            typer.echo(f"{'':{width + 6}}fix: {finding.fix}")
    typer.echo()
