"""The family of errors that a user may meet; each carries the exit code of the command line.

VirtlabError                 70  (only its children are raised)
├── InputError                3  a scenario, rubric, timeline or submission cannot be used
│   ├── ScenarioError            a scenario or rubric file: every problem in it, in file order
│   └── SubmissionError          a program under test cannot be read or unpacked
├── UsageError                2  a wrong argument
└── EnvironmentLackError      4  the machine lacks something that the work needs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "EnvironmentLackError",
    "InputError",
    "Problem",
    "ScenarioError",
    "SubmissionError",
    "UsageError",
    "VirtlabError",
    "told",
]


_PROBLEMS_SHOWN = 100  # a file can hold tens of thousands of the same mistake


class VirtlabError(Exception):
    """A failure that is explained to the user in a sentence, without a traceback."""

    exit_code = 70

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}\n  fix: {fix}")
        self.fix = fix


class InputError(VirtlabError):
    """Something that the user handed in cannot be used."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is, what it is and how to mend it."""

    file: str
    line: int
    path: str  # key path such as guests[0].start_on[2]; empty for the file as a whole
    what: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " + (f"{self.path}: " if self.path else "")
        return f"{where}{self.what}\n  fix: {self.fix}"


def told(problems: Sequence[Problem]) -> str:
    """Return problems as the user reads them; behind many, how many more there are."""
    shown = [str(problem) for problem in problems[:_PROBLEMS_SHOWN]]
    if more := len(problems) - len(shown):
        shown.append(f"... and {more} more mistakes; mend these first.")
    return "\n".join(shown)


class ScenarioError(InputError):
    """A scenario or rubric file with mistakes; `problems` lists all of them in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(told(problems))
        self.problems = problems


class SubmissionError(InputError):
    """A submission that cannot be read, unpacked or understood."""


class UsageError(VirtlabError):
    """A wrong argument on the command line."""

    exit_code = 2


class EnvironmentLackError(VirtlabError):
    """The machine lacks something; the fix names the command that mends it."""

    exit_code = 4
