"""What `virtlab --help` says: all commands on one screen of 80 columns and 24 lines.

Commands that one begins with have a line each, the others their names, in groups. The group of a
command is its `rich_help_panel`; one without stands with those for looking around.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from virtlab.cli.exit_codes import EPILOG

__all__ = ["DAEMONS", "LEADS", "LOOK", "MACHINE", "FrontPage"]

# Groups, in the order of the page. Those that lead have a line for each command.
LEADS = ("Write a program", "Grade it")
LOOK, DAEMONS, MACHINE = "Look closer", "Daemons", "This machine"
_WIDTH = 80


class FrontPage(TyperGroup):
    """The group of all commands, with help that fits a screen."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page; `ctx` and `formatter` are those of the library's own help."""
        # As the library's own help does, which prints nothing that a formatter holds.
        typer.echo("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield "Usage: virtlab [--version] [--verbose] COMMAND ...   (COMMAND --help says more)"
        yield ""
        yield f"{self.help}"
        yield ""
        groups: dict[str, list[Any]] = {name: [] for name in (*LEADS, LOOK, DAEMONS, MACHINE)}
        for command in self.commands.values():
            groups[getattr(command, "rich_help_panel", None) or LOOK].append(command)
        for name in LEADS:
            yield name
            for command in groups.pop(name):
                yield f"  {command.name:<10} {command.get_short_help_str(_WIDTH - 13)}"
        for name, commands in groups.items():
            names = " ".join(command.name for command in commands)
            yield textwrap.fill(
                names, _WIDTH, initial_indent=f"{name:<14}", subsequent_indent=14 * " "
            )
        yield ""
        yield "Begin with:  virtlab new vcpu-scheduler First_Last_p1"
        yield textwrap.fill(EPILOG, _WIDTH)
