"""How results and progress reach this terminal: its width, its colours, and a line that moves."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypedDict

__all__ = [
    "PaceLine",
    "pace_line",
    "page_options",
    "print_folded",
    "print_json",
    "print_where",
    "progress_line",
]

_WIDTH_MAX = 120  # longer lines are hard to read


def print_json(value: object) -> None:
    """Print a value as one JSON object; with escapes alone where stdout cannot take its letters."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


class PageOptions(TypedDict):
    """What a page of text has to be fitted to."""

    width: int
    colour: bool
    ascii_only: bool


def page_options() -> PageOptions:
    """Return the options of stdout: colour only on a terminal, and never under NO_COLOR."""
    return PageOptions(
        width=min(shutil.get_terminal_size((80, 24)).columns, _WIDTH_MAX),
        colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        ascii_only="utf" not in (sys.stdout.encoding or "").lower(),
    )


def print_folded(lines: Iterable[str]) -> None:
    """Print lines; what is too long for the terminal goes on below, except pictures."""
    width = page_options()["width"]
    for line in lines:
        if line.startswith("    ") or line.endswith("|"):
            print(line)
            continue
        indent = " " * (len(line) - len(line.lstrip()) + (2 if line.startswith("  ") else 0))
        print(
            "\n".join(textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False))
            or ""
        )


class Counted(Protocol):
    """A step of long work: how many are done, of how many, and what the last one was."""

    @property
    def done(self) -> int:
        """Return how many steps are done."""

    @property
    def total(self) -> int:
        """Return how many there are."""

    @property
    def what(self) -> str:
        """Return what was done last."""


@contextmanager
def progress_line(name: str) -> Iterator[Callable[[Counted], None]]:
    """Give a function that shows progress on stderr: one line that moves, on a terminal only."""
    shown = sys.stderr.isatty()

    def show(step: Counted) -> None:
        if shown:
            width = shutil.get_terminal_size((80, 24)).columns - 1
            line = f"{name}: {step.done} of {step.total}, {step.what}"[:width]
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class PaceLine:
    """Shows how far a run in real time is: on a terminal as a line that moves, else once."""

    def __init__(self, where: str = "on the paced clock") -> None:
        self._where = where
        self._shown_s = -1

    def __call__(self, scenario: str, at_s: int, of_s: int) -> None:
        """Show the second of the scenario that the run has come to."""
        if at_s == self._shown_s or (self._shown_s >= 0 and not sys.stderr.isatty()):
            return
        self._shown_s = at_s
        self.show(f"{scenario}: {self._where}, {at_s} of {of_s} s")

    def show(self, line: str) -> None:
        """Show a line in the place of the last one."""
        if sys.stderr.isatty():
            width = shutil.get_terminal_size((80, 24)).columns - 1
            print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)
        else:
            sys.stderr.write(f"virtlab: {line}\n")  # in one piece: several runs may tell

    def wipe(self) -> None:
        """Leave the terminal as it was."""
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def pace_line(where: str = "on the paced clock") -> Iterator[PaceLine]:
    """Give a line that shows a single run's progress, and wipe it afterwards."""
    line = PaceLine(where)
    try:
        yield line
    finally:
        line.wipe()


def print_where(program: Path, evidence: Path, *, lost: bool) -> None:
    """Print where a grading's files are, and where the commands that it told are to be typed."""
    print(f"Evidence: {evidence}")
    stands = program.resolve().parent
    if lost and stands != Path.cwd():
        print(f"The commands above are for a shell in {stands}")
