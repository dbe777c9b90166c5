"""What was read once is kept on disk: the same values, and nothing that others put there."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import NoReturn

import pytest

from virtlab.grading.rubric import Rubric, rubric_files
from virtlab.grading.rubric_file import load_rubric
from virtlab.kept import kept
from virtlab.model.scenario import Scenario
from virtlab.scenario import load_scenario, scenario_files

SCENARIO = load_scenario(scenario_files()["cpu-1-all-on-one"])


def never() -> NoReturn:
    raise AssertionError("it was made anew")


def keep(cache: Path) -> Path:
    """Keep a scenario in a folder, and return the file."""
    assert kept("one", lambda: SCENARIO, cache) is SCENARIO
    (file,) = cache.iterdir()
    return file


@pytest.mark.parametrize("name", scenario_files())
def test_a_kept_scenario_equals_the_one_that_was_read(name: str, tmp_path: Path) -> None:
    read = kept(name, lambda: load_scenario(scenario_files()[name]), tmp_path)

    again: Scenario = kept(name, never, tmp_path)

    assert again == read
    assert repr(again) == repr(read)


@pytest.mark.parametrize("name", rubric_files())
def test_a_kept_rubric_equals_the_one_that_was_read(name: str, tmp_path: Path) -> None:
    read = kept(name, lambda: load_rubric(rubric_files()[name]), tmp_path)

    again: Rubric = kept(name, never, tmp_path)

    assert again == read


def test_what_came_of_other_files_or_code_is_made_anew_and_the_old_goes(tmp_path: Path) -> None:
    file = keep(tmp_path)
    stale = file.rename(tmp_path / "one.0123456789abcdef.kept")

    assert kept("one", lambda: SCENARIO, tmp_path) is SCENARIO

    assert not stale.exists()
    assert file.exists()


def test_a_file_that_others_may_write_to_is_not_read(tmp_path: Path) -> None:
    keep(tmp_path).chmod(0o666)

    assert kept("one", lambda: SCENARIO, tmp_path) is SCENARIO


def test_a_damaged_file_is_not_read(tmp_path: Path) -> None:
    file = keep(tmp_path)
    for length in (0, 1, 100):
        file.write_bytes(file.read_bytes()[:length])

        assert kept("one", lambda: SCENARIO, tmp_path) is SCENARIO


class Planted:
    """Something that would touch a file as soon as it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.witness,)


def test_nothing_but_values_of_ours_is_made_from_a_file(tmp_path: Path) -> None:
    cache, witness = tmp_path / "cache", tmp_path / "witness"
    file = keep(cache)
    for planted in (
        pickle.dumps(Planted(witness)),
        pickle.dumps(kept),  # a function of ours
        b"\x80\x04\x8c\x16virtlab.model.timeline\x8c\x0ajson.loads\x93.",  # found through ours
    ):
        file.write_bytes(planted)

        assert kept("one", lambda: SCENARIO, cache) is SCENARIO

    assert not witness.exists()


def test_where_nothing_can_be_kept_it_is_made_each_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")

    for _ in range(2):
        assert kept("one", lambda: SCENARIO, tmp_path / "cache") is SCENARIO
