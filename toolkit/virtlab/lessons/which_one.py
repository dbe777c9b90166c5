"""A small league: several policies on one family of hosts, each with the same draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.league.corpus import chosen_families
from virtlab.league.entrants import chosen_entrants
from virtlab.league.season import held
from virtlab.league.standings import table_of
from virtlab.lessons.lesson import Bars, Said, Shown, Table
from virtlab.model.league import League
from virtlab.policies.parameters import tunable

_SEEDS = (1001, 1002, 1003)
_ENTRANTS = {
    "scheduling": ("leave-alone", "at-random", "greedy", "largest-first", "numad", "even"),
    "coordination": ("static", "mom", "proxmox", "esx", "steady"),
}
_MEASURES = {
    "scheduling": ("delay_p99", "work_s", "peak", "moves"),
    "coordination": ("shortage_mib_s", "idle_mib", "kills", "calls"),
}
_CHOICES = (
    *("overcommit", "one-hot-guest", "noise-only", "arrivals-and-departures", "mixed-weights"),
    *("one-hot", "all-grow", "sawtooth"),
)


@dataclass(frozen=True, slots=True)
class WhichOne:
    """Hosts of two families: one of your choice, and one on which there is nothing to do."""

    family: str = tunable(
        "overcommit", unit="name", effect="the kind of host that is played", choices=_CHOICES
    )

    def shown(self) -> Iterator[Shown]:
        """Yield the standings of each family."""
        yield from self._played("first", self.family)
        yield from self._played("second", "noise-only")

    @staticmethod
    def _played(place: str, name: str) -> Iterator[Shown]:
        (family,) = chosen_families([name])
        entrants = chosen_entrants(_ENTRANTS[family.kind])
        league = League(entrants, (family,), _SEEDS, bouts=())
        table = table_of(held(league, jobs=1, optima=False))
        measures = _MEASURES[family.kind]
        rows: list[tuple[str | float, ...]] = [
            (row.entrant, *(row.means[one] for one in measures)) for row in table.rows
        ]
        yield Table(place, (name, *measures), rows)
        first = measures[0]
        yield Bars(place, first, {row.entrant: row.means[first] for row in table.rows})
        ranks = table.ranks[family.kind]
        best = [one for one in sorted(ranks) if ranks[one] == min(ranks.values())]
        yield Said(place, f"First on {name} by {first}: {', '.join(best)}.")
