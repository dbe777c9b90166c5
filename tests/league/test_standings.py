"""Means, intervals and ranks say what was measured, and where ours is behind."""

from random import Random

import pytest

from virtlab.league.bootstrap import paired_interval
from virtlab.league.standings import table_of
from virtlab.model.league import Bout, Entrant, Family, League, measures_of
from virtlab.reports.league_table import behind, league_markdown, league_text

FAMILY = Family("f", "scheduling", "A family.", "family", held_out=True)
NAMES = [measure.name for measure in measures_of("scheduling")]


def league(delays: dict[str, list[float]], failed: str = "") -> League:
    """Return a league in which policies differ by their delay alone."""
    seeds = range(len(next(iter(delays.values()))))
    bouts = [
        Bout(name, "f", seed, dict.fromkeys(NAMES, 1.0) | {"delay_p99": values[seed]})
        if name != failed
        else Bout(name, "f", seed, failure="it raised ValueError at 3 s: no")
        for name, values in delays.items()
        for seed in seeds
    ]
    entrants = tuple(Entrant(name, "scheduling", name) for name in delays)
    return League(entrants, (FAMILY,), tuple(seeds), tuple(bouts))


def test_the_interval_is_that_of_differences_and_not_of_the_values() -> None:
    rng = Random(1)
    levels = [rng.uniform(0, 100) for _ in range(20)]
    table = table_of(
        league({"even": levels, "other": [level + rng.uniform(0.9, 1.1) for level in levels]})
    )

    other = table.rows[1].against["delay_p99"]

    assert 0.95 < other.low < other.difference < other.high < 1.05


@pytest.mark.parametrize(
    ("seeds", "least", "most"), [(2, 0.93, 0.97), (3, 0.93, 0.97), (20, 0.88, 0.98)]
)
def test_the_interval_covers_the_true_mean_about_as_often_as_it_says(
    seeds: int, least: float, most: float
) -> None:
    rng = Random(2)
    samples = [
        [rng.gauss(1.0, 2.0) for _ in range(seeds)] for _ in range(200 if seeds == 20 else 4000)
    ]

    hits = sum(low <= 1.0 <= high for low, high in map(paired_interval, samples))

    assert least < hits / len(samples) < most


def test_equal_means_share_a_rank_and_who_failed_is_last() -> None:
    table = table_of(
        league({"even": [2.0, 2.0], "a": [1.0, 3.0], "b": [1.0, 1.0], "c": [0.0, 0.0]}, failed="c")
    )

    assert table.ranks["scheduling"] == {"even": 2.5, "a": 2.5, "b": 1.0, "c": 4.0}
    assert table.held_out_ranks == table.ranks
    assert "c failed in 2 of 2: it raised ValueError at 3 s: no" in league_text(table)


def test_where_ours_is_behind_the_table_says_so() -> None:
    table = table_of(
        league({"even": [2.0, 2.5, 3.0], "better": [1.0, 1.5, 2.0], "as-good": [1.5, 3.0, 3.0]})
    )

    (line,) = behind(table)

    assert line == "f: even is behind better in p99 delay by 1 share (95 %: 1 to 1)"
    text = league_markdown(table)
    assert line in text
    assert "| better | 1.50* |" in text
    assert "| as-good | 2.50 |" in text
    assert "f (held out from tuning): A family." in text


def test_where_nobody_is_surely_better_nothing_is_claimed() -> None:
    table = table_of(league({"even": [2.0, 2.0], "other": [1.0, 3.0]}))

    assert behind(table) == []
    assert "nowhere beyond doubt" in league_text(table)
