"""The documentation as a site: it builds, its links lead somewhere, and it needs no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FROM_ELSEWHERE = re.compile(
    r"<(?:script|img|iframe)[^>]*\bsrc=\"?https?:|<link[^>]*stylesheet[^>]*https?:"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=_ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    # `--strict` fails on a dead link or anchor, and on a page that is in no section.
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_given_every_page_when_the_site_is_built_then_nothing_in_it_comes_from_elsewhere(
    site: Path,
) -> None:
    for page in site.rglob("*.html"):
        assert not _FROM_ELSEWHERE.search(page.read_text("utf-8")), page

    commands = (site / "reference/cli.html").read_text("utf-8")
    for name in ("grade", "scenarios-check", "host-up"):
        assert f'id="virtlab-{name}"' in commands


def test_given_a_lesson_when_its_page_is_built_then_it_shows_what_a_run_shows(site: Path) -> None:
    page = (site / "lessons/balloon.html").read_text("utf-8")

    assert "Killed by 400 MiB: plain." in page
