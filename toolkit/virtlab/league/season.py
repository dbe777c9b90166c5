"""A whole league: every policy on every family with every seed, on all cores.

Each contest that ends is added to a journal at once, so that a league that was cut short goes on
where it stopped. The journal's first line says what league it is of; a line that is not whole, as
the last may be after a crash, is played again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from virtlab.errors import InputError
from virtlab.grading.workers import open_workers
from virtlab.league.contest import Contest, Outcome, played
from virtlab.league.source import source_digest
from virtlab.model.league import Bout, Entrant, Family, League, Optimum

__all__ = ["Journal", "Step", "held"]


@dataclass(frozen=True, slots=True)
class Step:
    """How far a league has come."""

    done: int
    total: int
    what: str


class Journal:
    """A file to which contests are added as they end."""

    def __init__(self, path: Path, league: League) -> None:
        """Take the file and the league without its bouts; nothing is opened yet."""
        self._path = path
        self._head = json.dumps(
            {
                "version": 1,
                "source_sha256": source_digest(),
                "entrants": [asdict(one) for one in league.entrants],
                "wire": league.wire,
            }
        )

    def read(self) -> dict[tuple[str, int], Outcome]:
        """Return the contests that were played, by family and seed.

        Raises:
            InputError: the file is of another league, or cannot be read.
        """
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self._path} cannot be read: {error}") from error
        if lines and lines[0] != self._head:
            raise InputError(
                f"{self._path} is of another league: other policies, parameters or code",
                fix="give the same policies as before, or begin anew with --overwrite.",
            )
        found = {}
        for line in lines[1:]:
            try:
                row = json.loads(line)
                outcome = Outcome(
                    tuple(Bout(**bout) for bout in row["bouts"]), Optimum(**row["optimum"])
                )
            except (ValueError, TypeError, KeyError):
                continue
            found[outcome.optimum.family, outcome.optimum.seed] = outcome
        return found

    def begin(self) -> None:
        """Begin the file anew."""
        self._path.write_text(f"{self._head}\n", encoding="utf-8")

    def add(self, outcome: Outcome) -> None:
        """Add a contest; it is on disk on return, as far as other processes can see."""
        row = {
            "bouts": [asdict(bout) for bout in outcome.bouts],
            "optimum": asdict(outcome.optimum),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(row)}\n")


def held(
    plan: League,
    *,
    jobs: int,
    journal: Journal | None = None,
    known: dict[tuple[str, int], Outcome] | None = None,
    altered: tuple[str, float] | None = None,
    optima: bool = True,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> League:
    """Return a league with its bouts and optima.

    Args:
        plan: who takes part and on what; its bouts are ignored.
        jobs: processes that play; 1 plays in this one.
        journal: what ends is added to it.
        known: contests that need not be played again.
        altered: a physical constant, and by how much it is another; without optima then.
        optima: work out what could be had, too.
        on_step: is told of each contest that ends.

    Raises:
        KeyboardInterrupt: the user has interrupted; the journal holds what was played.
    """
    outcomes = dict(known or {})
    contests = [
        replace(one, altered=altered, optimum=optima)
        for one in _contests(plan)
        if (one.family.name, one.seed) not in outcomes
    ]
    total = len(contests)
    if contests:
        with open_workers(min(jobs, total)) as workers:
            futures = [workers.submit(played, contest) for contest in contests]
            try:
                for done, future in enumerate(workers.finished(futures), start=1):
                    outcome = future.result()
                    place = outcome.optimum.family, outcome.optimum.seed
                    outcomes[place] = outcome
                    if journal is not None:
                        journal.add(outcome)
                    on_step(Step(done, total, f"{place[0]}, seed {place[1]}"))
            except KeyboardInterrupt:
                for future in futures:
                    future.cancel()
                workers.interrupt()
                raise
    return _gathered(plan, outcomes)


def _contests(plan: League) -> Iterator[Contest]:
    """Yield what is to be played; seed by seed, so that a cut-short league has whole seeds."""
    for seed in plan.seeds:
        for family in plan.families:
            entrants = _of_kind(plan.entrants, family)
            if entrants:
                yield Contest(family, seed, entrants, plan.wire)


def _of_kind(entrants: Sequence[Entrant], family: Family) -> tuple[Entrant, ...]:
    return tuple(one for one in entrants if one.kind == family.kind)


def _gathered(plan: League, outcomes: dict[tuple[str, int], Outcome]) -> League:
    """Return the league in its own order, whichever contest ended first."""
    places = [(family.name, seed) for family in plan.families for seed in plan.seeds]
    found = [outcomes[place] for place in places if place in outcomes]
    return League(
        entrants=plan.entrants,
        families=plan.families,
        seeds=plan.seeds,
        bouts=tuple(bout for outcome in found for bout in outcome.bouts),
        optima=tuple(outcome.optimum for outcome in found),
        wire=plan.wire,
        tuning=plan.tuning,
        notes=plan.notes,
    )
