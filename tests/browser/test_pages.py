"""Pages in a real browser: drawn without trouble, used with the mouse, the keyboard, a phone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawn_pages import DRAW_ALL, labels, shown
from marked_runs import (
    ANYWHERE,
    CALLS,
    DEALT,
    IN_TURN,
    as_test,
    find_test,
    good_memory,
    marked,
    starved_memory,
    submission,
)
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from timeline_builder import CpuLab

from virtlab.model.timeline import Timeline
from virtlab.model.verdict import Verdict
from virtlab.reports.html import class_page, submission_page

# Gives an element's place in the window once it has stayed there for 30 frames.
AT_REST = """
const [selector, done] = arguments;
const top = () => document.querySelector(selector).getBoundingClientRect().top;
let last = top(), frames = 0;
const look = () => {
  frames = top() === last ? frames + 1 : 0;
  last = top();
  frames === 30 ? done(last) : requestAnimationFrame(look);
};
look();
"""


def graded() -> tuple[Verdict, dict[str, Timeline]]:
    """Return a submission with tests won and lost, and its records."""
    timelines = {
        "cpu-1-all-on-one": CpuLab(pins=DEALT).timeline(),
        "cpu-3-balanced": CpuLab(start=IN_TURN, pins=[(9.5, 1, (2,))]).timeline(),
        "cpu-4-unpinned": replace(CpuLab(start=ANYWHERE).timeline(), calls=CALLS),
        "memory-1-one-consumes": good_memory().timeline(),
        "memory-2-all-consume": starved_memory().timeline(),
    }
    as_asked = {name: as_test(find_test(name), one) for name, one in timelines.items()}
    runs = tuple(marked(name, one) for name, one in timelines.items())
    return replace(submission(), runs=runs), as_asked


@pytest.fixture
def page(browser: webdriver.Chrome, tmp_path: Path) -> webdriver.Chrome:
    """Give the browser with the page of one submission, all charts drawn."""
    shown(browser, tmp_path, submission_page(*graded()))
    browser.execute_async_script(DRAW_ALL)
    return browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn_in_light_and_dark(
    browser: webdriver.Chrome, tmp_path: Path, scheme: str
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    shown(browser, tmp_path, submission_page(*graded()))

    drawn = browser.execute_async_script(DRAW_ALL)

    # Three of a scheduler's run; one for each guest of a coordinator's, and the host's.
    guests = [len(lab().guests) for lab in (good_memory, starved_memory)]
    assert drawn == 3 * 3 + sum(guests) + len(guests)
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    ink = browser.execute_script(
        "return getComputedStyle(document.querySelector('.role-axis-label text')).fill"
    )
    light, dark = "rgb(255, 255, 255)", "rgb(20, 24, 29)"
    assert paper == (light if scheme == "light" else dark)
    assert (ink == "rgb(27, 31, 36)") == (scheme == "light")


def test_a_page_needs_no_network_and_stays_below_two_mebibytes() -> None:
    text = submission_page(*graded())

    assert len(text.encode()) < 2 * 1024 * 1024
    assert "default-src 'none'" in text
    assert '<script src="' not in text


def test_the_charts_of_a_run_zoom_together_to_the_first_failure(page: webdriver.Chrome) -> None:
    charts = [f"run-cpu-3-balanced-chart-{number}" for number in range(3)]
    before = [labels(page, chart) for chart in charts]
    other = labels(page, "run-cpu-1-all-on-one-chart-0")

    button = page.find_element(
        "css selector", "button[data-run='run-cpu-3-balanced'][data-act='failure']"
    )
    button.send_keys(Keys.ENTER)
    wait(page, f"!{_LABELS}('{charts[2]}').includes('30')")

    for chart, was in zip(charts, before, strict=True):
        assert "30" in was
        assert "30" not in labels(page, chart)
    assert labels(page, "run-cpu-1-all-on-one-chart-0") == other


def test_whole_run_shows_all_of_it_again(page: webdriver.Chrome) -> None:
    chart = "run-cpu-3-balanced-chart-0"
    before = labels(page, chart)

    for act, then in (("in", "7.5"), ("later", "26.0"), ("whole", "30")):
        page.find_element(
            "css selector", f"button[data-run='run-cpu-3-balanced'][data-act='{act}']"
        ).send_keys(Keys.SPACE)
        wait(page, f"{_LABELS}('{chart}').includes('{then}')")

    assert labels(page, chart) == before


def test_a_line_can_be_hidden_and_shown_with_the_keyboard(page: webdriver.Chrome) -> None:
    chart = "run-memory-1-one-consumes-chart-0"
    visible = (
        f"[...document.querySelectorAll(`figure[data-chart='{chart}'] .mark-line path`)]"
        ".filter(one => !one.hasAttribute('stroke-dasharray'))"  # the ghost line stays
        ".filter(one => one.getAttribute('opacity') !== '0').length"
    )
    assert page.execute_script(f"return {visible}") == 3

    box = page.find_element("css selector", f"figure[data-chart='{chart}'] input[value=unused]")
    box.send_keys(Keys.SPACE)
    wait(page, f"{visible} === 2")
    box.send_keys(Keys.SPACE)
    wait(page, f"{visible} === 3")


def test_a_narrow_screen_scrolls_down_only(browser: webdriver.Chrome, tmp_path: Path) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        shown(browser, tmp_path, submission_page(*graded()))
        browser.execute_async_script(DRAW_ALL)

        width = browser.execute_script("return document.documentElement.scrollWidth")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360


def test_a_link_leads_to_its_test_though_charts_before_it_are_drawn_later(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    shown(browser, tmp_path, submission_page(*graded()))
    browser.find_element("link text", "memory-2-all-consume").click()
    last = "document.querySelector('#run-memory-2-all-consume')"
    wait(browser, f"{last}.querySelector('figure').dataset.drawn")

    top = browser.execute_async_script(AT_REST, "#run-memory-2-all-consume")

    assert abs(top) < 150  # its title is at the top of the window, or nearly


def test_everything_that_is_drawn_is_told_in_words_too(page: webdriver.Chrome) -> None:
    figures = page.find_elements("css selector", "figure[data-chart]")

    for figure in figures:
        assert figure.find_element("css selector", "figcaption").text
        assert figure.find_element("css selector", ".chart").get_attribute("aria-label")
    assert page.find_elements("css selector", "section button:not([type=button])") == []


def test_what_a_program_wrote_stays_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    evil = "<script>document.title='owned'</script>{{ 7*7 }}</script><img src=x onerror=alert(1)>"
    verdict, timelines = graded()
    run = replace(verdict.runs[0], outcome_reason=evil, notes=(evil,), title=evil)
    guests = tuple(
        replace(guest, name=evil + guest.name) for guest in timelines["memory-2-all-consume"].guests
    )
    hostile: dict[str, Any] = {
        **timelines,
        "memory-2-all-consume": replace(timelines["memory-2-all-consume"], guests=guests),
    }
    verdict = replace(verdict, program=evil, runs=(run, *verdict.runs[1:]))

    shown(browser, tmp_path, submission_page(verdict, hostile))
    browser.execute_async_script(DRAW_ALL)

    assert browser.title.startswith("<script>")
    assert browser.find_element("css selector", "h1").text == evil
    assert browser.find_elements("css selector", "img") == []


def test_a_class_can_be_sorted_and_searched(browser: webdriver.Chrome, tmp_path: Path) -> None:
    marks = [("Ada", 3.0), ("Ben", 12.0), ("Cem", 7.5)]
    verdicts = [replace(submission(), program=name, points=points) for name, points in marks]
    shown(browser, tmp_path, class_page(verdicts, [f"{name}.html" for name, _ in marks]))
    assert browser.execute_async_script(DRAW_ALL) == 1

    browser.find_elements("css selector", "#class th button")[1].send_keys(Keys.ENTER)
    by_points = [row.text for row in browser.find_elements("css selector", "#class tbody th a")]
    browser.find_element("id", "search").send_keys("be")
    found = [
        row.text
        for row in browser.find_elements("css selector", "#class tbody tr:not([hidden]) th a")
    ]

    assert by_points == ["Ada", "Cem", "Ben"]
    assert found == ["Ben"]


_LABELS = (
    "(chart => [...document.querySelectorAll(`figure[data-chart='${chart}'] "
    ".role-axis-label text`)].map(one => one.textContent))"
)


def wait(browser: webdriver.Chrome, condition: str) -> None:
    """Wait until something is so in the page."""
    browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        f"const look = () => ({condition}) ? done(true) : requestAnimationFrame(look); look();"
    )
