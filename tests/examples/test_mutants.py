"""The grader sees small mistakes: a fixed sample here, all of them by `make mutants`."""

import json
from pathlib import Path
from typing import Any

import pytest

from virtlab.errors import InputError, ScenarioError
from virtlab.grading.mutants import Mutant, load_mutants, write_mutant
from virtlab.grading.mutation import MUTANT_RUBRICS, MUTANT_SEEDS, try_mutant, try_mutants
from virtlab.grading.rubric import find_rubric
from virtlab.reports.mutants import mutants_page, mutants_summary

ROOT = Path(__file__).parents[2]
SUBMISSIONS = ROOT / "examples" / "submissions"
FILES = sorted((ROOT / "examples" / "mutants").glob("*.yaml"))
MUTANTS = {m.label: m for file in FILES for m in load_mutants(file, SUBMISSIONS)}
RUBRICS = [find_rubric(name) for name in MUTANT_RUBRICS]
PUBLISHED: dict[str, Any] = json.loads((ROOT / "examples/mutants/results.json").read_text())
SAMPLE = (
    "reference-c/cpu/vcpu_scheduler.c: all-weigh-the-same",
    "reference-c/memory/memory_coordinator.c: takes-from-the-starved",
    "reference-python/cpu/vcpu_scheduler.py: bits-for-flags",
    "reference-python/memory/memory_coordinator.py: megabytes-passed",
)
ONE = """\
program: reference-c/memory/memory_coordinator.c
mutants:
  - name: takes-from-the-starved
    why: A guest that is short of memory loses some.
    edits: [{old: "return actual + step;", new: "return actual - step;"}]
    caught_by: [memory-1-one-consumes/guest-alive]
"""


@pytest.mark.parametrize("label", SAMPLE)
def test_a_mutant_is_caught_as_published(label: str) -> None:
    result = try_mutant(MUTANTS[label], RUBRICS, MUTANT_SEEDS[:1])

    assert result.as_expected, str(result)
    published = next(m for m in PUBLISHED["mutants"] if f"{m['program']}: {m['name']}" == label)
    assert result.catch is not None
    assert published["catch"]["points"] == result.catch.points
    assert tuple(published["catch"]["lost"]) == result.catch.lost


def test_the_published_results_are_of_these_mutants_and_rubrics() -> None:
    assert PUBLISHED["rubrics"] == {rubric.id: rubric.version for rubric in RUBRICS}
    assert PUBLISHED["seeds"] == list(MUTANT_SEEDS)
    assert [
        (f"{m['program']}: {m['name']}", m["why"], m["change"]) for m in PUBLISHED["mutants"]
    ] == [(label, mutant.why, mutant.digest) for label, mutant in MUTANTS.items()], (
        "run `make mutants`"
    )


def test_the_published_page_shows_the_published_results() -> None:
    page = (ROOT / "docs" / "reference" / "mutants.md").read_text()

    assert page == mutants_page(PUBLISHED), "run `make mutants`"


def test_at_least_95_of_100_mutants_are_caught_and_the_others_are_explained() -> None:
    caught = [m for m in PUBLISHED["mutants"] if m["catch"]]

    assert len(caught) >= 0.95 * len(PUBLISHED["mutants"])
    for published in PUBLISHED["mutants"]:
        mutant = MUTANTS[f"{published['program']}: {published['name']}"]
        lost = published["catch"]["lost"] if published["catch"] else []
        assert set(mutant.caught_by) <= set(lost), mutant.label
        assert bool(lost) == (mutant.survives is None), mutant.label
    assert f"{len(MUTANTS)} in all" in mutants_summary(PUBLISHED)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "actual + step;",
            "actual + steps;",
            'm.yaml:5: mutants[0].edits[0].old: takes-from-the-starved does not apply: "return '
            'actual + steps;" is not in the program.\n  fix: copy the text anew from the program, '
            "with enough around it to be there once.",
        ),
        (
            "return actual + step;",
            "return actual",
            'm.yaml:5: mutants[0].edits[0].old: takes-from-the-starved does not apply: "return '
            'actual" is there 3 times.\n  fix: copy the text anew from the program, with enough '
            "around it to be there once.",
        ),
        (
            "[memory-1-one-consumes/guest-alive]",
            "[]",
            "m.yaml:3: mutants[0]: takes-from-the-starved is either caught or survives.\n  fix: "
            "name what it loses in `caught_by`, or why it loses nothing in `survives`.",
        ),
        (
            "/guest-alive]",
            "/guest-alife]",
            "m.yaml:6: mutants[0].caught_by[0]: memory-1-one-consumes does not judge guest-alife."
            "\n  fix: did you mean guest-alive?",
        ),
        (
            "memory-1-one",
            "memory-1-on",
            "m.yaml:6: mutants[0].caught_by[0]: there is no scenario memory-1-on-consumes.\n  fix: "
            "did you mean memory-1-one-consumes?",
        ),
    ],
)
def test_a_mistake_in_a_file_of_mutants_is_told(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(ONE.replace(old, new, 1))

    with pytest.raises(ScenarioError) as caught:
        load_mutants(file, SUBMISSIONS)

    assert str(caught.value).replace(f"{tmp_path}/", "") == said


def mutant_of(text: str, tmp_path: Path) -> Mutant:
    (tmp_path / "m.yaml").write_text(text)
    return load_mutants(tmp_path / "m.yaml", SUBMISSIONS)[0]


def test_a_mutant_that_does_not_build_is_no_catch(tmp_path: Path) -> None:
    broken = mutant_of(ONE.replace("actual - step;", "actual - stp;"), tmp_path)

    with pytest.raises(InputError, match=r"takes-from-the-starved: .*was not built: .*stp"):
        try_mutants([broken], RUBRICS, MUTANT_SEEDS, jobs=1)


def test_only_the_named_text_changes(tmp_path: Path) -> None:
    mutant = mutant_of(ONE, tmp_path)

    write_mutant(mutant, tmp_path / "copy")

    before = (mutant.submission / mutant.source).read_text()
    after = (tmp_path / "copy" / mutant.source).read_text()
    assert after == before.replace("actual + step;", "actual - step;")
