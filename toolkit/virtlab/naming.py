"""The nearest known name for an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["known_or_nearest", "listed", "nearest"]

_LISTED_MAX = 12  # names that a message lists before it says how many more there are


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one most likely means, or None."""
    by_lower: dict[str, str] = {}
    for candidate in sorted(known):
        by_lower.setdefault(candidate.lower(), candidate)
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def listed(names: Iterable[str]) -> str:
    """Return names in their order as a readable list, shortened where it is long."""
    every = list(names)
    shown = ", ".join(every[:_LISTED_MAX])
    more = len(every) - _LISTED_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def known_or_nearest(name: str, known: Iterable[str], noun: str) -> str:
    """Return the fix for an unknown name: the nearest known one, or all that are known."""
    every = list(known)
    close = nearest(name, every)
    if close is not None:
        return f"did you mean {close}?"
    return f"use one of: {listed(every)}." if every else f"there is no {noun} to name here."
