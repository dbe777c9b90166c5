"""A lesson on a screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from virtlab.lessons.lesson import Bars, Curves, Listing, Said, Shown, Table
from virtlab.lessons.page import LessonError, lesson_pieces, markdown_pieces, passages_only

TEXT = "# A lesson\n\nSee `this`:\n\n▶ *Figures* (`figures`)\n\nAnd that.\n"


class Tiny:
    def __init__(self, *shown: Shown) -> None:
        self._shown = shown

    def shown(self) -> Iterator[Shown]:
        yield from self._shown


def page(*shown: Shown, colour: bool = False, plain: bool = False, width: int = 60) -> str:
    pieces = lesson_pieces(TEXT, Tiny(*shown), width=width, colour=colour, plain=plain)
    return "".join(piece for piece, _ in pieces)


def test_figures_stand_where_the_text_announces_them() -> None:
    lines = page(Table("figures", ("what", "how much"), [("apples", 3), ("pears", 1234)])).split(
        "\n"
    )

    at = lines.index("▶ Figures")
    assert [line.split() for line in lines[at + 1 : at + 4]] == [
        ["what", "how", "much"],
        ["apples", "3"],
        ["pears", "1,234"],
    ]
    assert lines.index("And that.") > at


def test_bars_are_as_long_as_their_figures() -> None:
    shown = page(Bars("figures", "s", {"one": 1.0, "two": 2.0, "none": 0.0}), plain=True)

    one, two, none = (line for line in shown.split("\n") if " s" in line)
    assert two.count("#") == 2 * one.count("#")
    assert none.count("#") == 0


def test_curves_share_a_scale_and_name_it() -> None:
    shown = page(Curves("figures", "MiB", "a minute", {"up": [0, 50, 100], "flat": [50, 50]}))

    assert "up    ▁▅█" in shown
    assert "flat  ▅▅" in shown
    assert "a minute; █ is 100 MiB" in shown


def test_long_curves_are_thinned_to_the_screen() -> None:
    shown = page(Curves("figures", "x", "long", {"a": list(range(1000))}), width=40)

    assert all(len(line) <= 40 for line in shown.split("\n"))


def test_plain_is_ascii_and_the_markdown_as_it_is_written() -> None:
    everything = (
        Listing("figures", ["<xml/>"]),
        Curves("figures", "x", "time", {"a": [1, 2]}),
        Said("figures", "a sentence"),
    )

    shown = page(*everything, plain=True)

    assert shown.isascii()
    assert shown.startswith("# A lesson\n\nSee `this`:\n\n> Figures\n  <xml/>\n")


def test_no_colour_means_no_escape() -> None:
    table = Table("figures", ("a",), [("b",)])

    assert "\x1b" not in page(table)
    assert "\x1b" in page(table, colour=True)


def test_a_lesson_that_shows_something_else_than_announced_is_a_mistake_of_its_own() -> None:
    with pytest.raises(LessonError, match="nothing is shown at figures: the run shows others"):
        page(Listing("others", []))
    with pytest.raises(LessonError, match="the text ends, and the run shows more"):
        page(Listing("figures", []), Listing("more", []))


def test_a_page_of_the_site_has_figures_between_its_passages() -> None:
    lesson = Tiny(Bars("figures", "s", {"a": 1.0}), Said("figures", "That is all."))

    page = "".join(markdown_pieces(TEXT, lesson))

    assert page.startswith("# A lesson\n\nSee `this`:\n\n▶ *Figures*\n\n    a  1.00 s  █")
    assert page.endswith("█\n\nThat is all.\n\nAnd that.\n\n")


def test_the_first_passage_is_there_before_anything_is_worked_out() -> None:
    class Failing:
        def shown(self) -> Iterator[Shown]:
            raise ArithmeticError
            yield

    pieces = lesson_pieces(TEXT, Failing(), width=60, colour=False, plain=True)

    assert next(pieces)[0].startswith("# A lesson")
    with pytest.raises(ArithmeticError):
        next(pieces)


def test_a_lesson_can_be_read_without_being_run() -> None:
    shown = "".join(passages_only(TEXT, width=60, colour=False, plain=True))

    assert "> Figures (shown by a run)" in shown
