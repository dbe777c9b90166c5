"""The page of a league in a real browser: every chart is drawn, and every figure is there."""

from pathlib import Path

import pytest
from drawn_pages import DRAW_ALL, labels, shown
from selenium import webdriver

from virtlab.league.corpus import chosen_families
from virtlab.league.entrants import chosen_entrants
from virtlab.league.season import held
from virtlab.league.standings import table_of
from virtlab.model.league import League, Table
from virtlab.reports.html import league_page


@pytest.fixture(scope="module")
def table() -> Table:
    """Give a small league that was really played."""
    plan = League(
        chosen_entrants(["even", "leave-alone", "steady", "static"]),
        chosen_families(["cpu-1-all-on-one", "slow-leak"]),
        (1001, 1002),
        bouts=(),
        notes=("<b>a note</b>",),
    )
    return table_of(held(plan, jobs=1))


def test_every_chart_of_a_league_is_drawn(
    browser: webdriver.Chrome, tmp_path: Path, table: Table
) -> None:
    shown(browser, tmp_path, league_page(table))

    drawn = browser.execute_async_script(DRAW_ALL)

    assert drawn == 6
    assert {"even", "leave-alone"} <= set(labels(browser, "scheduling-0"))
    assert "slow-leak" in labels(browser, "coordination-1")
    points = browser.execute_script(
        "return document.querySelectorAll("
        "\"figure[data-chart='scheduling-2'] .mark-symbol.role-mark path\").length"
    )
    assert points == 2


def test_tables_can_be_opened_and_names_are_text(
    browser: webdriver.Chrome, tmp_path: Path, table: Table
) -> None:
    shown(browser, tmp_path, league_page(table))

    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")

    text = browser.find_element("tag name", "main").text
    notes = browser.find_element("css selector", "header .note").text
    assert "slow-leak (held out from tuning)" in text
    assert "could be had" in text
    assert notes == "<b>a note</b>"
