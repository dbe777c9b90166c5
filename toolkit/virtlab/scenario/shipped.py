"""Scenarios by name: the shipped ones, which are kept once they were read, and any other file."""

from __future__ import annotations

import os
from pathlib import Path

from virtlab.errors import UsageError
from virtlab.kept import kept
from virtlab.model.scenario import Scenario
from virtlab.naming import known_or_nearest
from virtlab.resources import testcases_dir

__all__ = ["find_scenario", "scenario_files", "shipped_scenarios"]

# In the order in which they are listed.
_FOLDERS = ("cpu", "memory", "generality", "topology", "two-pcpus")


def scenario_files() -> dict[str, Path]:
    """Return the shipped scenario files by id, in the order of the course's tests.

    The id of a shipped scenario is the stem of its file, which a test holds; so listing and
    finding need to read no file.
    """
    root = testcases_dir()
    return {path.stem: path for name in _FOLDERS for path in sorted((root / name).glob("*.yaml"))}


def shipped_scenarios() -> tuple[Scenario, ...]:
    """Return all shipped scenarios, in the order of the course's tests."""
    return tuple(find_scenario(name) for name in scenario_files())


def find_scenario(name_or_path: str) -> Scenario:
    """Return a shipped scenario by its id, or any other by the path of its file.

    Raises:
        UsageError: there is no such scenario; the message names the nearest one.
        InputError: the file cannot be read or has mistakes.
    """
    shipped = scenario_files()
    if name_or_path in shipped:
        return kept(f"scenario-{name_or_path}", lambda: _load(shipped[name_or_path]))
    if os.path.isfile(name_or_path):  # noqa: PTH113  # false, too, of what can be no path
        return _load(Path(name_or_path))
    raise UsageError(
        f"There is no scenario {name_or_path}, neither shipped nor as a file.",
        fix=known_or_nearest(name_or_path, shipped, "scenario"),
    )


def _load(path: Path) -> Scenario:
    from virtlab.scenario.loading import load_scenario  # 0.15 s that a kept one does not take

    return load_scenario(path)
