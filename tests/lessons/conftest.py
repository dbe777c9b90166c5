from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

from virtlab.lessons.catalogue import find_lesson
from virtlab.lessons.lesson import Bars, Shown, Table

Seen = Callable[..., "What"]


class What:
    """What a lesson showed, by place."""

    def __init__(self, shown: list[Shown]) -> None:
        self.all = shown

    def bars(self, place: str) -> dict[str, float]:
        (found,) = (one for one in self.all if one.place == place and isinstance(one, Bars))
        return dict(found.values)

    def rows(self, place: str) -> list[list[Any]]:
        tables = [one for one in self.all if one.place == place and isinstance(one, Table)]
        return [list(row) for table in tables for row in table.rows]

    def by_name(self, place: str) -> dict[str, list[Any]]:
        return {row[0]: row[1:] for row in self.rows(place)}

    def text(self, place: str) -> str:
        return " ".join(str(one) for one in self.all if one.place == place)


@pytest.fixture
def seen() -> Seen:
    """Give a way to run a lesson with some things set, and to see what it shows."""

    def run(name: str, **settings: str) -> What:
        return _once(name, tuple(settings.items()))

    return run


@lru_cache
def _once(name: str, settings: tuple[tuple[str, str], ...]) -> What:
    return What(list(find_lesson(name).made(dict(settings)).shown()))
