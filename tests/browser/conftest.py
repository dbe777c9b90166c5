"""A browser without a screen, and pages of runs that are made by hand."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

# The pages show the same hand-made timelines as the marks.
_BUILDER = str(Path(__file__).parents[1] / "grading")
for _folder in (_BUILDER, str(Path(__file__).parent)):
    if _folder not in sys.path:
        sys.path.append(_folder)

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--window-size=1100,900",
)  # fmt: skip


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Give one browser for all tests of a worker."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no chromium here: scripts/setup tests installs it on Debian")
    options = Options()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(started: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """Give the browser, and hold the page that it showed to have had no trouble."""
    started.get_log("browser")
    started.set_window_size(1100, 900)
    started.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    yield started
    assert started.get_log("browser") == []
