"""What the site has beyond the files in `docs/`: pages made of the code, and of files elsewhere.

mkdocs calls these functions while it builds. Pages of the code are made anew each time, so they
cannot fall behind it. Whatever is wrong with a link is a warning, and `--strict` ends with those.
"""

from __future__ import annotations

import logging
import posixpath
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lesson_pages import with_figures
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference_pages import reference_pages

log = logging.getLogger("mkdocs.hooks.site")

_ROOT = Path(__file__).resolve().parents[2]
_ROLES = "playbooks/collections/ansible_collections/virtlab/lab"
# Pages that lie elsewhere in the repository: file, place in the site.
_TAKEN_IN = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "examples/README.md": "reference/examples.md",
    "playbooks/README.md": "reference/playbooks.md",
    f"{_ROLES}/README.md": "reference/collection.md",
    **{
        file.relative_to(_ROOT).as_posix(): f"reference/role-{file.parent.name}.md"
        for file in sorted((_ROOT / _ROLES / "roles").glob("*/README.md"))
    },
}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`, then write out the patterns of the navigation."""
    for place, text in reference_pages().items():
        files.append(File.generated(config, place, content=text))
    for file, place in _TAKEN_IN.items():
        files.append(File.generated(config, place, content=(_ROOT / file).read_text("utf-8")))
    named = set(_strings(config.nav))
    pages = {file.src_uri for file in files.documentation_pages()} - named
    config.nav = _written_out(
        config.nav, _by_pattern(pages, {name for name in named if "*" in name})
    )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave `docs/`, or come from outside it, to the site's own; run lessons."""
    place = page.file.src_uri
    source = next((file for file, its in _TAKEN_IN.items() if its == place), f"docs/{place}")
    led = _LINK.sub(lambda link: _led(link[1], source, place), markdown)
    return with_figures(led, place)


def _led(target: str, source: str, place: str) -> str:
    """Return a link of a file of the repository as it is in the site, seen from its page there."""
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if wanted in _TAKEN_IN:
        found = _TAKEN_IN[wanted]
    elif wanted.startswith("docs/"):
        found = wanted.removeprefix("docs/")
    else:
        log.warning("%s: the link to %s leaves the site", source, target)
        return target
    return posixpath.relpath(found, posixpath.dirname(place) or ".")


def _strings(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [name for part in parts for name in _strings(part)]


def _by_pattern(pages: set[str], patterns: set[str]) -> dict[str, list[str]]:
    """Return the pages of each pattern; one that fits several belongs to the longest."""
    found: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    for page in sorted(pages):
        fitting = [pattern for pattern in patterns if fnmatchcase(page, pattern)]
        if fitting:
            found[max(fitting, key=len)].append(page)
    return found


def _written_out(nav: Any, pages: dict[str, list[str]]) -> Any:
    """Return the navigation with patterns replaced by pages; a section without any is left out."""
    if isinstance(nav, dict):
        sections = {title: _written_out(part, pages) for title, part in nav.items()}
        return {title: part for title, part in sections.items() if part}
    if isinstance(nav, str):
        return nav
    out: list[Any] = []
    for part in nav:
        out += (
            pages[part] if isinstance(part, str) and part in pages else [_written_out(part, pages)]
        )
    return [part for part in out if part]
