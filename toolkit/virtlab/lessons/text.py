"""A lesson's text: Markdown with marks where a run shows something.

A mark is a line of its own, which reads well on a page, too:

    ▶ *What each call brings* (`calls`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Mark", "Passage", "parts_of", "title_of"]

_MARK: Final = re.compile(r"▶ \*(?P<caption>.+)\* \(`(?P<place>[a-z-]+)`\)")


@dataclass(frozen=True, slots=True)
class Passage:
    """Lines of Markdown."""

    markdown: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Here the run shows what belongs to a place."""

    place: str
    caption: str


def parts_of(text: str) -> Iterator[Passage | Mark]:
    """Yield passages and marks in their order."""
    lines: list[str] = []
    for line in text.splitlines():
        mark = _MARK.fullmatch(line)
        if mark is None:
            lines.append(line)
            continue
        yield from _passage(lines)
        lines = []
        yield Mark(mark["place"], mark["caption"])
    yield from _passage(lines)


def title_of(text: str) -> str:
    """Return what the first heading says."""
    return text.partition("\n")[0].lstrip("# ")


def _passage(lines: list[str]) -> Iterator[Passage]:
    markdown = "\n".join(lines).strip("\n")
    if markdown:
        yield Passage(markdown)
