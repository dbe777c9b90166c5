"""What is told of a moment, before the calls around it are added."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Told"]


@dataclass(frozen=True, slots=True)
class Told:
    """A moment and what the program did there."""

    at_ns: int
    story: str
    guests: tuple[str, ...] = ()  # whom it concerns; empty for all
