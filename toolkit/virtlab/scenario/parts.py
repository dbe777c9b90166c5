"""What of a scenario file is well formed, so that one mistake does not hide the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from virtlab.errors import Problem
from virtlab.scenario.located_yaml import Document
from virtlab.scenario.problems import problems_of
from virtlab.scenario.schema import (
    CriterionFile,
    EventFile,
    FileModel,
    GuestFile,
    HostFile,
    RunFile,
    ScenarioFile,
)

__all__ = ["Parts", "parsed"]

_Model = TypeVar("_Model", bound=FileModel)


@dataclass(frozen=True, slots=True)
class Parts:
    """The well-formed sections of a scenario file, lists with their index in the file."""

    document: Document
    host: HostFile | None
    guests: tuple[tuple[int, GuestFile], ...]
    events: tuple[tuple[int, EventFile], ...]
    run: RunFile | None
    criteria: tuple[tuple[int, CriterionFile], ...]
    malformed_guests: frozenset[str]  # names declared by entries that are wrong otherwise
    guests_known: bool  # every guest's name could be read


def parsed(document: Document) -> tuple[ScenarioFile | None, Parts, list[Problem]]:
    """Return the file if all of it is well formed, its well-formed parts, and the problems."""
    try:
        file = ScenarioFile.model_validate(document.data)
    except ValidationError as err:
        return None, _salvaged(document), problems_of(document, ScenarioFile, err)
    parts = Parts(
        document,
        file.host,
        tuple(enumerate(file.guests)),
        tuple(enumerate(file.events)),
        file.run,
        tuple(enumerate(file.criteria)),
        frozenset(),
        True,
    )
    return file, parts, []


def _salvaged(document: Document) -> Parts:
    guests = _each(document, "guests", GuestFile)
    names: set[str] = set()
    known = isinstance(document.data.get("guests"), list)
    sound = {index for index, _ in guests}
    for index, entry in enumerate(_items(document, "guests")):
        if index not in sound:
            declared = _names_in(entry)
            known = known and bool(declared)
            names.update(declared)
    return Parts(
        document,
        _whole(document, "host", HostFile),
        guests,
        _each(document, "events", EventFile),
        _whole(document, "run", RunFile),
        _each(document, "criteria", CriterionFile),
        frozenset(names),
        known,
    )


def _whole(document: Document, key: str, model: type[_Model]) -> _Model | None:
    try:
        return model.model_validate(document.data.get(key))
    except ValidationError:
        return None


def _each(document: Document, key: str, model: type[_Model]) -> tuple[tuple[int, _Model], ...]:
    sound: list[tuple[int, _Model]] = []
    for index, item in enumerate(_items(document, key)):
        try:
            sound.append((index, model.model_validate(item)))
        except ValidationError:
            continue  # reported with the whole file
    return tuple(sound)


def _items(document: Document, key: str) -> list[object]:
    value = document.data.get(key)
    return value if isinstance(value, list) else []


def _names_in(entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return []
    names = entry.get("names")
    every = [entry.get("name"), *(names if isinstance(names, list) else [])]
    return [name for name in every if isinstance(name, str)]
