from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from marked_runs import submission

from virtlab.model.finding import Finding, SanitiserReport
from virtlab.reports.terminal import run_text, verdict_text


@pytest.mark.parametrize("width", [80, 120])
def test_a_verdict_reads_as_before(width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"verdict-{width}.txt", verdict_text(submission(), width=width))


def test_a_verdict_fits_a_terminal_without_unicode(golden: Callable[[str, str], None]) -> None:
    text = verdict_text(submission(), ascii_only=True)

    assert text.isascii()
    golden("verdict-ascii.txt", text)


def test_one_run_reads_as_before(golden: Callable[[str, str], None]) -> None:
    golden("run-crashed.txt", run_text(submission().runs[4]))


def test_no_line_but_a_command_is_wider_than_the_terminal() -> None:
    for width in (60, 80, 120):
        for line in verdict_text(submission(), width=width).splitlines():
            assert len(line) <= width or line.startswith("      again  virtlab run ")


def test_colour_adds_nothing_to_the_words() -> None:
    coloured = verdict_text(submission(), colour=True)

    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert "\x1b[" in coloured
    assert [line.rstrip() for line in bare.splitlines()] == (
        verdict_text(submission()).splitlines()
    )


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = verdict_text(submission())
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "40"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)

    assert verdict_text(submission()) == before


def test_what_a_program_wrote_cannot_dress_up_a_report() -> None:
    evil = replace(submission().runs[4], outcome_reason="[red]x[/] \x1b[2J\n16 of 16 points")

    text = run_text(evil)

    assert "\x1b" not in text
    assert r"[red]x[/] \x1b[2J\n16 of 16 points" in text


def test_an_incomplete_mark_says_so() -> None:
    text = verdict_text(replace(submission(), partial=True))

    assert "Not everything was run, so this is not the whole mark." in text


def test_what_sanitisers_found_is_told_once_with_the_tests_that_showed_it() -> None:
    finding = Finding("double-free", "main.c:9", "it frees a block a second time")
    found, clean = SanitiserReport(None, (finding,)), SanitiserReport(None)
    lacking = SanitiserReport("it cannot be built so")
    first, second, third, fourth, *rest = submission().runs
    runs = (
        replace(first, sanitiser=found),
        replace(second, sanitiser=found),
        replace(third, sanitiser=clean),
        replace(fourth, sanitiser=lacking),
        *rest,
    )

    text = verdict_text(replace(submission(), runs=runs), width=200)

    heading = "What the sanitisers found (costs no points)"
    assert text.count("main.c:9: double-free") == 1
    assert [" ".join(line.split()) for line in text.partition(heading)[2].splitlines()[1:6]] == [
        "! main.c:9: double-free",
        "means it frees a block a second time",
        f"in {first.scenario}, {second.scenario}",
        f"– not run, as it cannot be built so: {fourth.scenario}",
        f"✓ nothing in {third.scenario}",
    ]
    assert heading not in verdict_text(submission(), width=200)


def test_a_run_on_the_paced_clock_is_marked_wherever_it_is_told() -> None:
    healthy = replace(submission().runs[0], clock="paced", notes=("It ran on the paced clock.",))
    verdict = replace(submission(), runs=(healthy, *submission().runs[1:]), clock="paced")

    of_all, of_one = verdict_text(verdict, width=120), run_text(healthy)

    row = next(line for line in of_all.splitlines() if line.lstrip().startswith(healthy.scenario))
    assert row.endswith(", on the paced clock")
    assert "It ran on the paced clock." in of_all
    assert "Tests on the paced clock are not the same each time" in of_all
    assert f"seed {healthy.seed}, paced clock" in of_one
    assert "paced" not in verdict_text(submission(), width=120)
