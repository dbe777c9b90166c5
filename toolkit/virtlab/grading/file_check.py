"""What is wrong with scenario and rubric files: every problem of every file, at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from virtlab.errors import InputError, Problem, ScenarioError, UsageError
from virtlab.grading.rubric import rubric_files
from virtlab.grading.rubric_file import load_rubric
from virtlab.scenario import load_scenario, scenario_files
from virtlab.scenario.located_yaml import Document, read_document

__all__ = ["FileCheck", "check_file", "is_rubric", "yaml_files"]

_RUBRIC_KEYS = {"tests", "seeds", "general"}


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One file that was checked."""

    file: str
    kind: Literal["scenario", "rubric"]
    problems: tuple[Problem, ...]


def check_file(path: Path) -> FileCheck:
    """Return what is wrong with a scenario or rubric file; which it is, its keys tell."""
    kind: Literal["scenario", "rubric"] = "scenario"
    try:
        kind = _kind(read_document(path, "scenario or rubric"))
        if kind == "rubric":
            load_rubric(path)
        else:
            load_scenario(path)
    except ScenarioError as err:
        return FileCheck(str(path), kind, tuple(err.problems))
    except InputError as err:
        what = str(err).splitlines()[0]
        return FileCheck(str(path), kind, (Problem(str(path), 1, "", what, err.fix or ""),))
    return FileCheck(str(path), kind, ())


def yaml_files(paths: Iterable[Path]) -> list[Path]:
    """Return files as they are and folders as all YAML files in them, each file once.

    Raises:
        UsageError: a folder holds no YAML file.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml"))
        if not inside:
            raise UsageError(
                f"Folder {path} holds no YAML file.", fix="name a folder with scenario files."
            )
        found += inside
    return list(dict.fromkeys(found))


def is_rubric(name_or_path: str) -> bool:
    """Return whether a name or path means a rubric; a file that cannot be read means none."""
    if name_or_path in rubric_files():
        return True
    path = Path(name_or_path)
    # Unlike Path.is_file it is false, too, of what can be no path.
    if name_or_path in scenario_files() or not os.path.isfile(path):  # noqa: PTH113
        return False
    try:
        return _kind(read_document(path, "scenario or rubric")) == "rubric"
    except InputError:
        return False


def _kind(document: Document) -> Literal["scenario", "rubric"]:
    rubric = document.data.keys() & _RUBRIC_KEYS and "guests" not in document.data
    return "rubric" if rubric else "scenario"
