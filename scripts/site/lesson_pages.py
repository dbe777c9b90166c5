"""Lessons on the site, with the figures that a run shows, as long as every run shows the same.

What is measured on the machine that builds, or found on it, is left to whoever runs the lesson.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from virtlab.lessons.catalogue import LESSONS, find_lesson
from virtlab.lessons.page import markdown_pieces

__all__ = ["with_figures"]

_OF_A_MACHINE = {"layers", "spin"}


def with_figures(markdown: str, place: str) -> str:
    """Return a page of the site; where it is a lesson, with what its run shows."""
    path = PurePosixPath(place)
    if path.parent.name != "lessons" or path.stem not in set(LESSONS) - _OF_A_MACHINE:
        return markdown
    return "".join(markdown_pieces(markdown, find_lesson(path.stem).made({})))
