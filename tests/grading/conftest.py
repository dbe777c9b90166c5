"""Makes `timeline_builder` importable for the tests beside it, and gives served hosts."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# pytest's importlib mode leaves sys.path alone, so a module shared by tests is named here.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

_NAME = "virtlab_tests_lab"
if _NAME not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        _NAME, Path(__file__).parents[1] / "hosts" / "lab.py"
    )
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_NAME] = _module
    _spec.loader.exec_module(_module)
labs: Any = sys.modules[_NAME]


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(described: Any) -> Any:
        directory = tmp_path / f"lab{len(made)}"
        directory.mkdir()
        made.append(labs.Lab(directory, described))
        return made[-1]

    yield make
    for one in made:
        one.stop()
