"""A served host for tests; `lab` is the common one, `make_lab` builds others."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def _load(name: str, path: Path) -> Any:
    """Return a module of the tests that is no package's."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


labs: Any = _load("virtlab_tests_lab", Path(__file__).parents[1] / "hosts" / "lab.py")


@pytest.fixture
def real_uri(tmp_path: Path) -> Iterator[str]:
    """Give the URI of a real libvirtd, where one can run; else skip and say what is missing."""
    libvirtd = _load("virtlab_tests_libvirtd", Path(__file__).parent / "libvirtd.py")
    if reason := libvirtd.why_not():
        pytest.skip(f"no real libvirtd to compare with: {reason}")
    directory = tmp_path / "libvirtd"
    directory.mkdir()
    with libvirtd.private_libvirtd(directory) as uri:
        yield uri


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
