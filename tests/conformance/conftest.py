"""A served host for tests; `lab` is the common one, `make_lab` builds others."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
def build() -> Any:
    """Return the module that builds guests, scenarios and labs."""
    return labs


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(described: Any = None, **options: Any) -> Any:
        directory = tmp_path / f"lab{len(made)}"
        directory.mkdir()
        made.append(labs.Lab(directory, described or labs.scenario(), **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def lab(make_lab: Callable[..., Any]) -> Any:
    return make_lab()
