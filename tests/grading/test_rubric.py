"""Rubric files: points, limits, and what each mistake is told as."""

from pathlib import Path

import pytest

from virtlab.errors import ScenarioError, UsageError
from virtlab.grading.rubric import find_rubric
from virtlab.grading.rubric_file import load_rubric
from virtlab.scenario import scenario_files

SOUND = """\
schema_version: 1
id: small
version: "1"
title: A small rubric
seeds: [1, 2]
limits: {balanced: {sd_points_max: 6, window_s: 4}}
general:
  - {builds: vcpu_scheduler, label: compiles, points: 1}
tests:
  - scenario: cpu-3-balanced
    points: {balanced: 0.5, stable: 0.5}
    together: true
    zero_if: [no-crash]
    limits: {balanced: {sd_points_max: 7}}
"""


def test_the_rubric_of_fall_2026_gives_the_courses_points() -> None:
    rubric = find_rubric("fall-2026")

    assert rubric.points_max == 16
    assert [t.scenario.id for t in rubric.tests if t.together] == ["cpu-3-balanced", "cpu-6-idle"]
    assert {t.points_max for t in rubric.tests} == {1.0, 1.75}
    memory = [t for t in rubric.tests if t.scenario.program == "memory_coordinator"]
    assert {t.deductions["reaches-maximum"] for t in memory} == {-0.25}
    assert all("guest-alive" in t.zero_if for t in memory)
    assert [item.points for item in rubric.general if item.kind == "by_hand"] == [1, 1]


def test_limits_of_a_test_win_over_those_of_the_rubric(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(SOUND)

    assert load_rubric(path).tests[0].limits == {"balanced": {"sd_points_max": 7, "window_s": 4}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "scenario: cpu-3-balanced",
            "scenario: cpu-3-balancd",
            "r.yaml:10: tests[0].scenario: scenario cpu-3-balancd is neither shipped nor a file "
            "beside this one.\n  fix: did you mean cpu-3-balanced?",
        ),
        (
            "stable: 0.5",
            "stabel: 0.5",
            "r.yaml:11: tests[0].points.stabel: criterion stabel is not known.\n"
            "  fix: did you mean stable?",
        ),
        (
            "stable: 0.5",
            "host-alive: 0.5",
            "r.yaml:11: tests[0].points.host-alive: scenario cpu-3-balanced does not judge "
            "host-alive.\n  fix: add host-alive to the scenario's criteria.",
        ),
        (
            "stable: 0.5",
            "stable: -1",
            "r.yaml:11: tests[0].points.stable: -1 is out of range.\n  fix: use a value above 0.",
        ),
        (
            "window_s: 4}}",
            "window_s: 21}}",
            "r.yaml:10: tests[0]: the phase of cpu-3-balanced from 0 to 30 s is too short to "
            "judge: settling and one window take 31 s.\n  fix: give the test its own `limits`, "
            "with a smaller window_s or settle_intervals.",
        ),
        (
            "sd_points_max: 6",
            "sd_point_max: 6",
            "r.yaml:6: limits.balanced.sd_point_max: criterion balanced has no limit "
            "sd_point_max.\n  fix: did you mean sd_points_max?",
        ),
        (
            "[1, 2]",
            "[1, 1]",
            "r.yaml:5: seeds[1]: seed 1 is listed twice.\n  fix: list it once.",
        ),
        (
            "[no-crash]",
            "[stable]",
            "r.yaml:13: tests[0].zero_if[0]: criterion stable counts twice in this test.\n"
            "  fix: name it under one key only.",
        ),
        (
            "builds: vcpu_scheduler, ",
            "",
            "r.yaml:8: general[0]: an item has either `builds` or `by_hand`.\n"
            "  fix: write one of the two keys.",
        ),
    ],
)
def test_each_mistake_is_told_with_its_line_and_mend(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(SOUND.replace(old, new, 1))

    with pytest.raises(ScenarioError) as caught:
        load_rubric(path)

    assert str(caught.value).replace(f"{tmp_path}/", "") == said


def test_an_unknown_rubric_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"did you mean fall-2026\?"):
        find_rubric("fall-2025")


def test_a_malformed_key_hides_no_other_mistake(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    text = SOUND.replace("points: 1}", "points: one}").replace("[1, 2]", "[1, 1]")
    path.write_text(text.replace("stable: 0.5", "stabel: 0.5"))

    with pytest.raises(ScenarioError) as caught:
        load_rubric(path)

    assert [(p.line, p.path) for p in caught.value.problems] == [
        (5, "seeds[1]"),
        (8, "general[0].points"),
        (11, "tests[0].points.stabel"),
    ]


def test_two_scenarios_of_one_id_are_refused(tmp_path: Path) -> None:
    path, mine = tmp_path / "r.yaml", tmp_path / "mine.yaml"
    mine.write_text(scenario_files()["cpu-3-balanced"].read_text())
    test = SOUND[SOUND.index("  - scenario: cpu-3-balanced") :]
    path.write_text(SOUND + test.replace("cpu-3-balanced", "mine.yaml"))

    with pytest.raises(ScenarioError) as caught:
        load_rubric(path)

    assert str(caught.value).endswith(
        "tests[1].scenario: scenario mine.yaml has the id cpu-3-balanced, as cpu-3-balanced has.\n"
        "  fix: give it an id of its own."
    )
