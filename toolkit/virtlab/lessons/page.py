"""A lesson on a screen: its text in Markdown, and between its passages what the run shows.

Pieces come as they are ready, so that reading begins at once.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from typing import Final

from virtlab.lessons.drawing import lines_of
from virtlab.lessons.lesson import Lesson, Said, Shown
from virtlab.lessons.text import Mark, Passage, parts_of

__all__ = ["LessonError", "lesson_pieces", "markdown_pieces", "passages_only"]

_WIDTH_MAX: Final = 92
_INDENT: Final = "  "


class LessonError(Exception):
    """A lesson shows something else than its text announces: a mistake in the lesson itself."""


class _Look:
    """How pieces are laid out."""

    def __init__(self, *, width: int, colour: bool, plain: bool) -> None:
        self._width = min(width, _WIDTH_MAX)
        self._colour = colour
        self._plain = plain

    def passage(self, markdown: str) -> str:
        """Return a passage: as it is written where plain, else laid out."""
        if self._plain:
            return markdown + "\n\n"
        from rich.console import Console
        from rich.markdown import Markdown

        out = io.StringIO()
        # Everything is given, so that no variable of the environment changes the text.
        console = Console(
            file=out,
            width=self._width,
            force_terminal=self._colour,
            no_color=not self._colour,
            color_system="standard" if self._colour else None,
            legacy_windows=False,
            emoji=False,
            _environ={},
        )
        console.print(Markdown(markdown, hyperlinks=False))
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n\n"

    def caption(self, text: str) -> str:
        """Return what stands above something to see."""
        sign = ">" if self._plain else "▶"
        line = f"{sign} {text}"
        return f"\x1b[1;36m{line}\x1b[0m\n" if self._colour else f"{line}\n"

    def shown(self, one: Shown) -> str:
        """Return something to see."""
        width = self._width - len(_INDENT)
        lines = list(lines_of(one, width=width, ascii_only=self._plain))
        if isinstance(one, Said):
            lines = textwrap.wrap(one.text, width, break_on_hyphens=False)
        return "".join(f"{_INDENT}{line}".rstrip() + "\n" for line in lines) + "\n"


def lesson_pieces(
    text: str, lesson: Lesson, *, width: int, colour: bool, plain: bool
) -> Iterator[tuple[str, Shown | None]]:
    """Run a lesson; yield each piece of its page, and what it shows where it shows something.

    Args:
        text: the lesson in Markdown.
        lesson: works out what is shown.
        width: of the screen, in letters.
        colour: whether the screen has any.
        plain: Markdown as it is written, and ASCII alone in what is drawn.

    Raises:
        LessonError: text and run do not fit together.
    """
    look = _Look(width=width, colour=colour, plain=plain)
    for part in _played(text, lesson):
        if isinstance(part, Passage):
            yield look.passage(part.markdown), None
        elif isinstance(part, Mark):
            yield look.caption(part.caption), None
        else:
            yield look.shown(part), part


def markdown_pieces(text: str, lesson: Lesson) -> Iterator[str]:
    """Run a lesson; yield its page in Markdown, with what is shown as blocks of text.

    Raises:
        LessonError: text and run do not fit together.
    """
    for part in _played(text, lesson):
        if isinstance(part, Passage):
            yield f"{part.markdown}\n\n"
        elif isinstance(part, Mark):
            yield f"▶ *{part.caption}*\n\n"
        elif isinstance(part, Said):
            yield f"{part.text}\n\n"
        else:
            lines = lines_of(part, width=_WIDTH_MAX, ascii_only=False)
            yield "".join(f"    {line}\n" for line in lines) + "\n"


def passages_only(text: str, *, width: int, colour: bool, plain: bool) -> Iterator[str]:
    """Yield the pieces of a lesson that is read and not run."""
    look = _Look(width=width, colour=colour, plain=plain)
    for part in parts_of(text):
        if isinstance(part, Mark):
            yield look.caption(f"{part.caption} (shown by a run)") + "\n"
        else:
            yield look.passage(part.markdown)


def _played(text: str, lesson: Lesson) -> Iterator[Passage | Mark | Shown]:
    """Yield the parts of a text, and behind each mark what the run shows there."""
    run = lesson.shown()
    ahead: Shown | None = None
    begun = False  # not before the first mark, so that there is something to read meanwhile
    for part in parts_of(text):
        if isinstance(part, Passage):
            yield part
            continue
        if not begun:
            ahead, begun = next(run, None), True
        if ahead is None or ahead.place != part.place:
            raise LessonError(f"nothing is shown at {part.place}: {_next(ahead)}")
        yield part
        while ahead is not None and ahead.place == part.place:
            yield ahead
            ahead = next(run, None)
    if not begun:
        ahead = next(run, None)
    if ahead is not None:
        raise LessonError(f"the text ends, and {_next(ahead)}")


def _next(ahead: Shown | None) -> str:
    return "the run is over" if ahead is None else f"the run shows {ahead.place}"
