"""What sanitisers found in a program: plain values that verdicts carry and reports read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "SanitiserReport"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake, at the place in the source where it showed."""

    kind: str  # in the sanitiser's own words, such as "heap-use-after-free"
    where: str  # file:line, from the folder in which the program is built
    meaning: str


@dataclass(frozen=True, slots=True)
class SanitiserReport:
    """What a second, sanitised run of a program showed; it changes no mark."""

    lacking: str | None  # why there was no such run
    findings: tuple[Finding, ...] = ()
