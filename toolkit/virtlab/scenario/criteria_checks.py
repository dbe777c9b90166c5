"""Criteria and limits in scenario and rubric files, held against the table of declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from virtlab.errors import Problem
from virtlab.model.criteria import CRITERIA
from virtlab.naming import known_or_nearest
from virtlab.scenario.located_yaml import Document, KeyPath

__all__ = ["criterion_problem", "limit_problems"]


def criterion_problem(document: Document, path: KeyPath, name: str) -> Problem | None:
    """Return what is wrong with a criterion's name, if anything is."""
    if name in CRITERIA:
        return None
    return document.problem(
        path,
        f"criterion {name} is not known.",
        known_or_nearest(name, CRITERIA, "criterion"),
    )


def limit_problems(
    document: Document, path: KeyPath, name: str, limits: Mapping[str, float]
) -> Iterator[Problem]:
    """Yield what is wrong with the limits that a file gives to a known criterion."""
    declared = CRITERIA[name]
    known = [limit.name for limit in declared.limits]
    for key, value in limits.items():
        limit = declared.limit(key)
        if limit is None:
            what = f"criterion {name} has no limit {key}."
            yield document.problem((*path, key), what, known_or_nearest(key, known, "limit"))
        elif value > limit.largest:
            what = f"{value:g} {limit.unit} is out of range."
            fix = f"use a value from 0 to {limit.largest:g} {limit.unit}."
            yield document.problem((*path, key), what, fix)
        elif limit.unit == "switch" and value not in (0, 1):
            yield document.problem((*path, key), f"{value:g} is no switch.", "write 0 or 1.")
