"""`virtlab --help` leads on, and fits a terminal of the least size that people have."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from virtlab.cli.app import app


def _page() -> str:
    return CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout


def test_given_a_terminal_of_80_by_24_when_help_is_shown_then_it_fits_with_the_prompt() -> None:
    lines = _page().splitlines()

    assert len(lines) <= 23  # an empty one at the end, and then the prompt
    assert max(map(len, lines)) <= 80


def test_given_any_command_when_help_is_shown_then_it_is_named_in_it() -> None:
    words = _page().split()

    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert name in words


def test_given_a_newcomer_when_help_is_shown_then_it_says_what_to_type_first() -> None:
    assert "virtlab new vcpu-scheduler First_Last_p1" in _page()


def test_given_no_command_when_virtlab_is_called_then_it_shows_the_same() -> None:
    assert CliRunner().invoke(app, []).stdout.strip() == _page().strip()
