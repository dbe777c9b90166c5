"""Lessons are found, texts and code belong together, and a copy can be changed and run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from virtlab.errors import InputError, UsageError
from virtlab.lessons.catalogue import LESSONS, copied, find_lesson
from virtlab.lessons.text import Mark, parts_of
from virtlab.resources import lesson_texts_dir


@pytest.mark.parametrize("name", LESSONS)
def test_each_lesson_has_one_thing_to_set_and_says_what_to_expect(name: str) -> None:
    lesson = find_lesson(name)

    (parameter,) = lesson.parameters
    _, _, change = lesson.text.partition("## One thing to change")
    assert f"--set {parameter.name}=" in change
    assert "Expect" in change


@pytest.mark.parametrize("name", LESSONS)
def test_what_a_text_tells_to_set_can_be_set(name: str) -> None:
    lesson = find_lesson(name)

    for key, value in re.findall(r"--set (\w+)=([\w.-]+)", lesson.text):
        lesson.made({key: value.rstrip(".")})


def test_the_index_and_the_folder_have_the_same_lessons() -> None:
    index = (lesson_texts_dir() / "README.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| \[([a-z-]+)\]", index, re.MULTILINE) == list(LESSONS)
    pages = {path.stem for path in lesson_texts_dir().glob("*.md")} - {"README"}
    assert pages == set(LESSONS)


def test_marks_stand_between_passages() -> None:
    parts = list(parts_of("# A\n\n▶ *What is there* (`here-it-is`)\n\nend"))

    assert [type(part).__name__ for part in parts] == ["Passage", "Mark", "Passage"]
    assert parts[1] == Mark("here-it-is", "What is there")


def test_an_unknown_lesson_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean balloon"):
        find_lesson("baloon")


def test_an_unknown_or_impossible_setting_says_what_may_be_set() -> None:
    lesson = find_lesson("balanced")

    with pytest.raises(UsageError, match="did you mean limit_points"):
        lesson.made({"limit_point": "3"})
    with pytest.raises(UsageError, match=r"out of its range(.|\n)*0\.01\.\.50"):
        lesson.made({"limit_points": "51"})


def test_a_copy_runs_as_it_was_changed(tmp_path: Path) -> None:
    text, code = copied("balloon", tmp_path / "mine")
    code.write_text(code.read_text().replace("    400, unit", "    900, unit"))

    lesson = find_lesson(str(tmp_path / "mine"))

    assert (lesson.name, lesson.title) == ("balloon", "A balloon that is squeezed too far")
    assert text.read_text(encoding="utf-8") == lesson.text
    assert lesson.parameters[0].default == 900
    assert "nobody" in str(list(lesson.made({}).shown())[-1])


def test_a_copy_is_not_written_over(tmp_path: Path) -> None:
    copied("balloon", tmp_path)

    with pytest.raises(UsageError, match=r"balloon\.md is there already"):
        copied("balloon", tmp_path)


def test_a_copy_that_cannot_be_imported_names_file_and_line(tmp_path: Path) -> None:
    _, code = copied("balloon", tmp_path)
    code.write_text("x = 1\nx = y\n")

    with pytest.raises(InputError, match=r"balloon\.py:2: NameError: name 'y' is not"):
        find_lesson(str(tmp_path))


def test_a_folder_that_holds_no_lesson_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 0 Python files"):
        find_lesson(str(tmp_path))
