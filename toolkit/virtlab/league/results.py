"""A league on disk: its journal while it is played, and what came of it.

contests.jsonl   a line for each contest that ended; `--resume` goes on from it
league.json      everything, as one object
runs.csv         a row for each figure of each run
table.md         the table
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from virtlab.errors import UsageError
from virtlab.grading.results_folder import translated, write_file
from virtlab.league.contest import Outcome
from virtlab.league.season import Journal
from virtlab.model.league import League, Sensitivity, Table
from virtlab.reports.league_sensitivity import sensitivity_markdown
from virtlab.reports.league_table import behind, league_csv, league_markdown

__all__ = ["LeagueFolder", "league_document", "league_files", "league_json"]

VERSION: Final = 1
_JOURNAL = "contests.jsonl"


class LeagueFolder:
    """Where a league's results go."""

    def __init__(self, path: Path, plan: League) -> None:
        """Take the folder and what is to be played."""
        self._path = path
        self.journal = Journal(path / _JOURNAL, plan)

    def open(self, *, resume: bool, overwrite: bool) -> dict[tuple[str, int], Outcome]:
        """Make the folder ready; return what was played before, where it is to be gone on with.

        Raises:
            UsageError: there is a league already, and nobody said what to do with it.
            InputError: it is another one.
        """
        if (self._path / _JOURNAL).exists() and not (resume or overwrite):
            raise UsageError(
                f"there is a league in {self._path} already",
                fix="go on with it by --resume, replace it by --overwrite, or name another --out.",
            )
        with translated(self._path):
            self._path.mkdir(parents=True, exist_ok=True)
            known = self.journal.read() if resume else {}
            if not known:
                self.journal.begin()
        return known

    def write(self, table: Table) -> None:
        """Write what came of the league."""
        for name, text in league_files(table).items():
            write_file(self._path / name, text)

    def write_sensitivity(self, found: Sequence[Sensitivity], table: Table) -> None:
        """Write how the ranking changes with the physics."""
        write_file(self._path / "sensitivity.md", sensitivity_markdown(found, table))


def league_files(table: Table) -> dict[str, str]:
    """Return the files of a league, by name; equal leagues give equal bytes."""
    return {
        "league.json": league_json(table),
        "runs.csv": league_csv(table),
        "table.md": league_markdown(table),
    }


def league_document(table: Table, found: Sequence[Sensitivity] = ()) -> dict[str, Any]:
    """Return a league as one documented object, with how it changes with the physics."""
    document = {"version": VERSION, **asdict(table), "behind": behind(table)}
    return document | ({"sensitivity": [asdict(one) for one in found]} if found else {})


def league_json(table: Table) -> str:
    """Return the same as text."""
    return json.dumps(league_document(table), indent=1, ensure_ascii=False) + "\n"
