"""How tests open a page in the browser and look at its charts."""

from __future__ import annotations

from pathlib import Path

from selenium import webdriver

# Waits for every chart, as the page draws them one after another when they come near.
DRAW_ALL = """
const done = arguments[arguments.length - 1];
const figures = [...document.querySelectorAll('figure[data-chart]')];
(async () => {
  for (const figure of figures) {
    figure.scrollIntoView();
    while (!figure.dataset.drawn) await new Promise(requestAnimationFrame);
  }
  done(figures.length);
})();
"""


def shown(browser: webdriver.Chrome, folder: Path, text: str) -> None:
    """Open a page."""
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8")
    browser.get(page.as_uri())


def labels(browser: webdriver.Chrome, chart: str) -> list[str]:
    """Return what stands along the axes of a chart, sorted, as its parts are used again."""
    script = (
        "return [...document.querySelectorAll(`figure[data-chart='${arguments[0]}'] "
        ".role-axis-label text`)].map(one => one.textContent)"
    )
    found: list[str] = browser.execute_script(script, chart)
    return sorted(found)
